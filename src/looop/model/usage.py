"""What a model run has used, and what that costs. None is a figure nobody has given: unmetered, never zero."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

_MILLION = 1_000_000
Usd = Annotated[float, Meta(ge=0)]


class Tokens(Struct, frozen=True):
    """Tokens of a run. `input` excludes what was read from or written to a cache; `output` includes reasoning."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0

    @property
    def total(self) -> int:
        """All of them: what a limit on tokens counts."""
        return self.input + self.output + self.cache_read + self.cache_write


class Usage(Struct, frozen=True):
    """What a run has used so far, as far as it is known.

    `unbilled` are those of the tokens that `cost_usd` does not cover yet; `estimated`: a price list had a part in it.
    """

    tokens: Tokens | None = None
    cost_usd: float | None = None
    model: str | None = None
    unbilled: Tokens | None = None
    estimated: bool = False


class Price(Struct, frozen=True, forbid_unknown_fields=True):
    """US dollars for a million tokens. The defaults are those of the dearest models: an estimate errs upwards."""

    input: Usd = 15.0
    output: Usd = 75.0
    cache_read: Usd = 1.5
    cache_write: Usd = 18.75

    def of(self, tokens: Tokens) -> float:
        """What these tokens cost."""
        parts = (
            tokens.input * self.input,
            tokens.output * self.output,
            tokens.cache_read * self.cache_read,
            tokens.cache_write * self.cache_write,
        )
        return sum(parts) / _MILLION


class CostSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """Where a runner's own stream says what it cost: the number at the JSON `pointer` of each event of this `type`."""

    type: str
    pointer: Annotated[str, Meta(pattern="^(/|$)")]
    mode: Literal["sum", "last", "max", "total"] = "sum"


class Bill(Struct, frozen=True):
    """A sum of runs."""

    usd: float = 0.0
    tokens: int = 0


def add_usage(one: Usage, other: Usage) -> Usage:
    """Two runs as one; a figure that only one of them has is the sum's."""
    both = one.tokens and other.tokens
    return Usage(
        tokens=add_tokens(one.tokens, other.tokens) if both else one.tokens or other.tokens,
        cost_usd=one.cost_usd if other.cost_usd is None else other.cost_usd + (one.cost_usd or 0.0),
        model=other.model or one.model,
        estimated=one.estimated or other.estimated,
    )


def add_tokens(one: Tokens | None, other: Tokens | None) -> Tokens:
    """The sum; None counts as nothing."""
    a, b = one or Tokens(), other or Tokens()
    return Tokens(a.input + b.input, a.output + b.output, a.cache_read + b.cache_read, a.cache_write + b.cache_write)
