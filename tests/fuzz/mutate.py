"""Changes to an input that keep its form: JSON, YAML, conditions and commands are all made of words, texts and signs.

Flipped bits rarely pass a parser in C, which shows the fuzzer nothing of itself; a word in the place of a word does.
"""

import re
from collections.abc import Callable, Sequence
from random import Random

Mutate = Callable[[bytes, int], bytes]
BITS_SHARE, STEPS, LONGEST_RUN = 0.25, (1, 1, 1, 2, 4), 12
VALUES = (
    b"null", b"true", b"false", b"0", b"-1", b"1.5", b"1e999", b"-0.0", b"NaN", b"9" * 19, b"9" * 400, b'""', b"[]",
    b"{}", rb'"\ud800"', rb'"\u001b[31m"', b"\xff", b"\x00", b"\n", b'"9999-12-31T23:59:59-23:59"', b"0001-01-01",
    b"[" * 200,
)  # fmt: skip
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[A-Za-z_0-9.+-]+|\s+|.', re.DOTALL)


def mutator(words: list[bytes], mutate: Mutate) -> Callable[[bytes, int, int], bytes]:
    """What makes a new input of one, given how long it may be and a seed. `mutate` is the fuzzer's own way."""
    known = (VALUES, words) if words else (VALUES,)

    def changed(data: bytes, most: int, seed: int) -> bytes:
        rng = Random(seed)
        if rng.random() < BITS_SHARE or not data:
            return mutate(data, most)
        tokens = _TOKEN.findall(data)
        for _ in range(rng.choice(STEPS)):
            _step(tokens, known, rng, mutate)
        return b"".join(tokens)[:most]

    return changed


def _step(tokens: list[bytes], known: tuple[Sequence[bytes], ...], rng: Random, mutate: Mutate) -> None:
    """One token, or a run of them, replaced, added, removed, repeated or changed inside."""
    at = rng.randrange(len(tokens) + 1)
    end = min(at + rng.randint(1, LONGEST_RUN), len(tokens))
    way, word = rng.randrange(8), rng.choice(rng.choice(known))
    if at == len(tokens) or way == 0:
        tokens.insert(at, word)
    elif way == 1:
        tokens[at] = word
    elif way == 2:
        tokens[at] = rng.choice(tokens)
    elif way == 3:
        tokens[at] = mutate(tokens[at], len(tokens[at]) + 8)
    elif way == 4:
        del tokens[at:end]
    elif way in (5, 6):
        tokens[at] = _with_word(tokens[at], word, rng)
    else:
        place = rng.randrange(len(tokens) + 1)
        tokens[place:place] = tokens[at:end]


def _with_word(token: bytes, word: bytes, rng: Random) -> bytes:
    """The token with the word in it; inside the quotes of one that has some."""
    quotes = token[:1] == b'"' and len(token) > 1
    first, last = (1, len(token) - 1) if quotes else (0, len(token))
    at = rng.choice((first, last, rng.randint(first, last)))
    return token[:at] + (word.strip(b'"') if quotes else word) + token[at:]
