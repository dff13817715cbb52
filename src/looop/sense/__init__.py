"""Reading the world: run the sensors, compute the system readings, read it all once.

Entry rule: may write readings, nothing else; never decides."""
