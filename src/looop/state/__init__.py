"""Typed records over a store: one book per subject.

Entry rule: a book knows its keys and its record, nothing about other books, and judges nothing."""
