"""Pushes questions to a person who is elsewhere, and takes signed replies."""
