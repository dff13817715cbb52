"""Performing a move: effect, journal line, intent record.

Entry rule: everything that changes the world or the policy goes through here."""
