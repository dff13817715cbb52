"""What a client may know of its surroundings without reading the environment itself."""

from looop.config.knobs import Knobs, variable
from looop.config.terminal import debugging, may_colour

__all__ = ["debugging", "knob_names", "may_colour"]


def knob_names() -> list[str]:
    """Every environment knob, by variable name; the manual must name them all."""
    return [variable(field) for field in Knobs.__struct_fields__]
