"""What the tools of the tests understand on their command lines."""

import argparse
from collections.abc import Callable
from math import inf
from typing import TypeVar

Number = TypeVar("Number", int, float)


def above_zero(kind: type[Number]) -> Callable[[str], Number]:
    """An argument's type for argparse: a number above zero, and one that ends."""

    def read(word: str) -> Number:
        try:
            value = kind(word)
        except ValueError:
            value = kind(0)
        if not 0 < value < inf:
            raise argparse.ArgumentTypeError(f"expected a number above 0, found {word!r}")
        return value

    return read
