"""The loop: one beat after another, under one lock.

Entry rule: composes sense, rules, decide and act; knows no client."""
