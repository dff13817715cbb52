"""What things are called: frozen records, typed moves, ids, the error tree.

Entry rule: no I/O, no clock, no judgement. Everything here is a value any other room may hold."""
