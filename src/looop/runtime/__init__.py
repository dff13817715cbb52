"""Processes, the clock, events, waiting.

Entry rule: talks to the operating system, knows nothing of goals or moves."""
