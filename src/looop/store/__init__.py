"""Keeping: one protocol of seven methods over keys and bytes.

Entry rule: knows bytes, never what they mean. Backends are reached through `store.open`."""
