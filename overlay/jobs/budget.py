"""A limit on what a job may cost, checked when its requests are on disk and before anything is sent."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import attrs

from overlay.costs.estimate import Estimate, Tally
from overlay.costs.prices import PriceList, Prices
from overlay.errors import ConfigurationError
from overlay.jobs.account import Account
from overlay.wire.connection import Settings

if TYPE_CHECKING:
    from overlay.jobs.spool import Spooled

_WINDOW = re.compile(r"(\d+)\s*([hd])")
_HOURS = {"h": 1.0, "d": 24.0}


def _positive(_: object, attribute: attrs.Attribute[float], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise ConfigurationError(f"{attribute.name} must be an amount of zero or more, not {value!r}")


@attrs.frozen
class Budget:
    """What a job may cost at most, and how that is reckoned. Raises ConfigurationError."""

    max_cost: float = attrs.field(validator=_positive)
    prices: Prices | None
    tally: Tally

    def check(self, settings: Settings, spooled: Spooled, *, window: str, max_tokens: int | None) -> None:
        """Raise CostLimitError if requests that are on disk may cost more."""
        reckon(settings, self.tally, spooled, self.prices, window=window, max_tokens=max_tokens).check(
            self.max_cost
        )


def budget(
    max_cost: float | None, prices: Prices | None, expected_output_tokens: int | None
) -> Budget | None:
    """What the caller has said of costs; None without a limit. Raises ConfigurationError."""
    if max_cost is None:
        if prices is not None or expected_output_tokens is not None:
            raise ConfigurationError("prices and expected_output_tokens are for max_cost, which is not given")
        return None
    return Budget(max_cost, prices, Tally(expected_output_tokens))


def reckon(
    settings: Settings,
    tally: Tally,
    spooled: Spooled,
    prices: Prices | None,
    *,
    window: str,
    max_tokens: int | None,
) -> Estimate:
    """The estimate of requests that are on disk."""
    with Account(settings, "") as account:

        def limit_of(model: str) -> int | None:
            known = [each for each in (max_tokens, account.tokens(model, settings.clock.time())) if each]
            return min(known, default=None)

        found = _WINDOW.fullmatch(window)
        return tally.estimate(
            PriceList(settings.base_url, prices),
            batches=len(spooled.units),
            counted_by=spooled.counted_by,
            window_hours=int(found[1]) * _HOURS[found[2]] if found else None,
            limit_of=limit_of,
        )
