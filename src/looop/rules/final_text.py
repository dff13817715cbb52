"""Finding a decision in what a runner printed. Source: design §3 row 8."""

import json


def last_decision(text: str) -> str | None:
    """The text of the last JSON object with an `action` key, None when there is none.

    Objects inside other objects do not count: a decision stands by itself.
    """
    decoder = json.JSONDecoder()
    found, at = None, text.find("{")
    while at >= 0:
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            end = at + 1
        else:
            if isinstance(value, dict) and "action" in value:
                found = text[at:end]
        at = text.find("{", end)
    return found
