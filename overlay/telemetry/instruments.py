"""The instruments of one meter provider, made once: a second gauge of the same name would never be asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any
from weakref import WeakKeyDictionary

import attrs

from overlay.telemetry import names
from overlay.version import VERSION

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60, 300)
"""The boundaries that the HTTP conventions recommend, and some for uploads."""


class _Global:
    """Stands for whichever provider the application has set."""


_GLOBAL = _Global()
_made: WeakKeyDictionary[Any, Instruments] = WeakKeyDictionary()


@attrs.define(eq=False)
class Watched:
    """A job that this process works on."""

    job: str
    live: int = 0
    """Batches that have not ended."""
    looked: float = attrs.field(factory=time.monotonic)
    """When the service last told how they are doing; at first, when the work began."""

    def saw(self) -> None:
        """The service has told just now how the batches are doing."""
        self.looked = time.monotonic()


class Instruments:
    """Counters, a histogram, and gauges of the jobs that are watched."""

    def __init__(self, metrics: Any, provider: Any) -> None:
        meter = metrics.get_meter("overlay", VERSION, provider)
        self.watched: list[Watched] = []

        def counter(name: str) -> Any:
            unit, description = names.METRICS[name]
            return meter.create_counter(name, unit=unit, description=description)

        def gauge(name: str, value: Callable[[Watched], float]) -> None:
            def observe(_: object) -> Iterator[Any]:
                for each in tuple(self.watched):
                    yield metrics.Observation(value(each), {names.JOB: each.job})

            unit, description = names.METRICS[name]
            meter.create_observable_gauge(name, callbacks=[observe], unit=unit, description=description)

        unit, description = names.METRICS[names.CALLS]
        self.calls: Any = meter.create_histogram(
            names.CALLS, unit=unit, description=description, explicit_bucket_boundaries_advisory=_SECONDS
        )
        self.input_tokens, self.output_tokens = counter(names.USED_INPUT), counter(names.USED_OUTPUT)
        self.answered, self.failed = counter(names.ANSWERED), counter(names.FAILED)
        self.sent_again, self.cost = counter(names.SENT_AGAIN), counter(names.COST)
        gauge(names.LIVE_BATCHES, lambda each: each.live)
        gauge(names.SINCE_LOOK, lambda each: time.monotonic() - each.looked)


def instruments_of(metrics: Any, provider: Any) -> Instruments:
    """Those of a meter provider, or of the global one."""
    key = _GLOBAL if provider is None else provider
    made = _made.get(key)
    if made is None:
        made = _made[key] = Instruments(metrics, provider)
    return made
