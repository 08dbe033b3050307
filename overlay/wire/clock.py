"""Time as flows see it; tests replace it to run a day in a second."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Protocol, TypeAlias

Seconds: TypeAlias = timedelta | float
"""A span of time, as callers give it."""


def seconds(value: Seconds) -> float:
    """A span of time in seconds, from a timedelta or a number of them."""
    return value.total_seconds() if isinstance(value, timedelta) else float(value)


class Clock(Protocol):
    """Seconds on a clock that only goes forward, seconds since 1970, and waiting."""

    def monotonic(self) -> float: ...
    def time(self) -> float: ...
    def sleep(self, seconds: float) -> None: ...
    async def asleep(self, seconds: float) -> None: ...


class SystemClock:
    """The real one."""

    def monotonic(self) -> float:
        return time.monotonic()

    def time(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    async def asleep(self, seconds: float) -> None:
        import anyio  # noqa: PLC0415 - not needed, and not loaded, by blocking clients

        await anyio.sleep(seconds)
