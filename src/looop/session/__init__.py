"""PTY sessions: one supervisor process per worker.

Entry rule: standard library only, and nothing of ours; the supervisor must stay light."""
