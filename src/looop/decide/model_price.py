"""What an answer cost, by the price list of `genai-prices` where that is installed. Never asks the network."""

from looop.config.api import ModelApi
from looop.model.usage import Tokens


def cost_of(api: ModelApi, model: str, tokens: Tokens | None) -> float | None:
    """US dollars, None when it cannot be told: then the configured price or an estimate is taken. Design §6.

    An endpoint that is not the list's own has no price: a local server costs what its owner says.
    """
    if tokens is None or api.priced:
        return None
    try:
        from genai_prices import Usage, calc_price  # noqa: TID251  this runs in the child of a decide only
    except ImportError:
        return None
    usage = Usage(
        input_tokens=tokens.input + tokens.cache_read + tokens.cache_write,
        output_tokens=tokens.output,
        cache_read_tokens=tokens.cache_read,
        cache_write_tokens=tokens.cache_write,
    )
    for name in (model, api.model):
        try:
            return float(calc_price(usage, name, provider_api_url=api.base_url).total_price)
        except (LookupError, ValueError, TypeError, ArithmeticError):
            continue
    return None
