"""Obtaining one move: reflexes first, then the configured runner.

Entry rule: returns an attempt; never performs a move."""
