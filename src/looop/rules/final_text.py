"""Finding a decision in what a runner printed. Source: design §3 row 8.

Note [Echo]: the prompt itself shows decisions, and what sensors printed. A runner that prints it back must decide
nothing, so an object that stands in the prompt word for word counts only when nothing but a closing fence follows
it; the prompt never ends so.
"""

import json
import re

_END = re.compile(r"[\s`]*\Z")


def last_decision(text: str, asked: str) -> str | None:
    """The text of the last JSON object with an `action` key, None when there is none.

    Objects inside other objects do not count: a decision stands by itself. `asked` is the prompt, see Note [Echo].
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
                found = (at, end)
        at = text.find("{", end)
    if found is None or (text[slice(*found)] in asked and not _END.match(text, found[1])):
        return None
    return text[slice(*found)]
