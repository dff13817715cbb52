"""The doors people and agents come through.

Entry rule: parse, call the contract, render. Clients do not know each other."""
