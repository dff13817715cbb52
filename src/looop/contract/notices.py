"""What a person wants of `looop notify`, as a value."""

from msgspec import Struct


class Wishes(Struct, frozen=True):
    """What a person wants of `looop notify`; seconds. `urls` hold secrets. `listen` is `[HOST:]PORT`, "" for not."""

    urls: tuple[str, ...] = ()
    file: str = ""
    batch_s: int = 5
    nudge_s: int = 14400
    quiet: str = ""
    zone: str = ""
    limit_s: int = 30
    listen: str = ""
    allow_remote: bool = False
    token_file: str = ""
    once: bool = False
    test: bool = False
