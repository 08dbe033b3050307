"""What tokens cost at batch rates: by the caller's own table, or by genai-prices (extra `prices`).

genai-prices falls back to the full price, silently, where it knows no batch rate of a model. A rate that is the
full price is therefore no batch rate, and counts as unknown: no cost is better than one that is twice too high.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal
from functools import cache
from typing import Any, TypeAlias, cast

import attrs

from overlay.errors import ConfigurationError

_MILLION = 1_000_000
_SAMPLE = 1_000
"""Tokens of a request by which a rate is asked for: some rates rise with very long prompts."""


@attrs.frozen
class Price:
    """What a million tokens cost, in any currency: the batch price, usually half the regular one."""

    input: float
    output: float = 0.0

    def of(self, input_tokens: int, output_tokens: int) -> float:
        """What so many tokens cost."""
        return (input_tokens * self.input + output_tokens * self.output) / _MILLION


Prices: TypeAlias = Mapping[str, Price | tuple[float, float]]
"""Prices by model: `Price`, or what a million input and a million output tokens cost."""


class PriceList:
    """The batch prices at one service. Those that the caller gives come first.

    Raises ConfigurationError for prices that are none.
    """

    def __init__(self, base_url: str, prices: Prices | None = None) -> None:
        self._base_url = base_url
        self._own = {model: _checked(model, price) for model, price in (prices or {}).items()}

    def price(self, model: str | None) -> Price | None:
        """The batch price of a model; None where it is not known."""
        if model is None:
            return None
        return self._own.get(model) or _known_price(self._base_url, model)

    def why_unknown(self, model: str | None) -> str:
        """What to say where there is no price."""
        if _library() is None:
            return (
                f"no price of {model} is known: pip install 'openai-batch-overlay[prices]', or give it with "
                f"prices= (--price {model}=INPUT,OUTPUT, for a million tokens each)"
            )
        return (
            f"no batch rate of {model} is known at {self._base_url}: give it with prices= "
            f"(--price {model}=INPUT,OUTPUT, for a million tokens each)"
        )


def _checked(model: str, given: object) -> Price:
    price: object = given
    if isinstance(given, tuple | list):
        with suppress(ValueError):  # not two
            price_in, price_out = cast("tuple[float, float]", given)
            price = Price(price_in, price_out)
    if isinstance(price, Price):
        amounts: tuple[object, ...] = (price.input, price.output)
        if all(
            isinstance(each, int | float) and not isinstance(each, bool) and each >= 0 for each in amounts
        ):
            return price
    raise ConfigurationError(
        f"the price of {model} must be what a million input and a million output tokens cost, such as "
        f"(0.075, 0.3), not {given!r:.100}"
    )


@cache
def _library() -> Any:
    try:
        import genai_prices  # noqa: PLC0415 - optional
    except ImportError:
        return None
    return genai_prices


@cache
def _known_price(base_url: str, model: str) -> Price | None:
    library = _library()
    if library is None:
        return None
    rates = [
        [_rate(library, base_url, model, context, kind) for kind in ("input", "output")]
        for context in ({"processing": "batch"}, {})
    ]
    batch, full = rates
    if None in batch or batch == full:
        return None
    return Price(*(float(rate) for rate in batch if rate is not None))


def _rate(library: Any, base_url: str, model: str, context: dict[str, str], kind: str) -> Decimal | None:
    """What a million tokens cost, of the `input` or the `output`."""
    usage = library.Usage(**{f"{kind}_tokens": _SAMPLE})
    try:
        found = library.calc_price(usage, model, provider_api_url=base_url, price_context=context)
    except LookupError:
        return None
    return Decimal(found.total_price) * (_MILLION // _SAMPLE)
