"""Judgement: pure functions of model values and `now`.

Entry rule: same arguments, same answer. No disk, clock, process, chance or log."""
