"""What the child knows of a provider: how a request is made, sent and read, and what to change when it is refused."""

import re
from collections.abc import Callable
from typing import Any, Protocol

from msgspec import Struct

from looop.config.api import ModelApi
from looop.decide.model_answer import Failed, Reply

Body = dict[str, Any]


class Asked(Struct, frozen=True):
    """What is asked: a prompt of two parts, the first of which stays the same from beat to beat."""

    stable: str
    rest: str


class Bend(Struct, frozen=True):
    """What to change in a request that was refused (HTTP 400) with words that match; each is tried once."""

    words: re.Pattern[str]
    change: Callable[[Body], None]
    said: str


class Wire(Protocol):
    """One provider's API through its SDK, whose own retries are off."""

    sdk: Any
    bends: tuple[Bend, ...]

    def body(self, asked: Asked) -> Body:
        """The request."""
        ...

    def send(self, body: Body, timeout: Any) -> Any:
        """Send it once; returns the raw HTTP response. Raises the SDK's APIError."""
        ...

    def read(self, answer: Body) -> Reply:
        """What a decoded answer holds; whatever is missing reads as nothing."""
        ...


def missing(api: ModelApi, error: ImportError) -> Failed:
    """The SDK cannot be imported: which command installs it."""
    if isinstance(error, ModuleNotFoundError) and error.name == api.provider:
        why = f"the {api.provider} SDK is not installed"
    else:
        why = f"the {api.provider} SDK cannot be loaded ({error})"
    return Failed(f"{why}: pip install 'looop[{api.provider}]' (in a clone: scripts/install --extra {api.provider})")
