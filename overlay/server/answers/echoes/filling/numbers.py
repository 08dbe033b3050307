"""Numbers to propose, within bounds and on the steps of `multipleOf`."""

import math
from collections.abc import Iterator
from fractions import Fraction
from random import Random
from typing import Any

from overlay.server.answers.echoes.filling.fitting import exact

_USUAL = 100
"""The width of a range that has one end, or none."""
_VARIATIONS = 1000


def numbers(schemas: list[dict[str, Any]], draw: Random, *, whole: bool) -> Iterator[int | float]:
    """Proposals for a place under all these schemas: whole ones, or such with a point."""
    lows = [
        exact(each[name])
        for each in schemas
        for name in ("minimum", "exclusiveMinimum")
        if _bounds(each, name)
    ]
    highs = [
        exact(each[name])
        for each in schemas
        for name in ("maximum", "exclusiveMaximum")
        if _bounds(each, name)
    ]
    steps = [exact(each["multipleOf"]) for each in schemas if "multipleOf" in each]
    low = max(lows) if lows else min(highs) - _USUAL if highs else Fraction(0)
    high = min(highs) if highs else low + _USUAL
    if steps or whole:
        step = _common([*steps, Fraction(1)] if whole else steps)
        if not highs:
            high = max(high, low + 2 * step)
        elif not lows:
            low = min(low, high - 2 * step)
    else:
        step = (high - low) / _USUAL or Fraction(1)
    first, last = math.ceil(low / step), math.floor(high / step)
    count = last - first + 1
    if count > 0:
        start = draw.randrange(min(count, _USUAL))
        # Ends are tried last, as they may be open.
        for turn in range(min(count, _VARIATIONS)):
            value = (first + (start + turn) % count) * step
            yield int(value) if whole else float(value)
    if not whole and not steps:
        yield from (
            float(low),
            float(high),
            math.nextafter(float(low), math.inf),
            math.nextafter(float(high), -math.inf),
        )


def _bounds(schema: dict[str, Any], name: str) -> bool:
    return name in schema and not isinstance(schema[name], bool)


def _common(steps: list[Fraction]) -> Fraction:
    """The smallest number that is a multiple of all."""
    return Fraction(
        math.lcm(*(each.numerator for each in steps)), math.gcd(*(each.denominator for each in steps))
    )
