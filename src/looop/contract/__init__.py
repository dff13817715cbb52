"""What a client may do: verbs over values.

Entry rule: a client sees no path, no store key and no process beyond this door."""
