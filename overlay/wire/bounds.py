"""Limits on an answer: how long its headers may take, how long its body, and how large that may be.

httpx's own read timeout applies to each read, so a byte now and then satisfies it for days.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from math import ceil
from typing import Any

import httpx

from overlay.errors import APITimeoutError, InvalidResponseError
from overlay.wire.clock import Clock

_MIB = 1024 * 1024


class TotalTimeout:
    """A read timeout for all reads together, from the first on.

    httpx passes the `timeout` extension of a request on as it is, and whatever waits for a read (a socket, anyio
    or trio) converts it to a number each time: here, to the time that is left. Sockets ask for whole seconds.
    """

    def __init__(self, seconds: float, clock: Clock) -> None:
        self.seconds = seconds
        self._clock = clock
        self._until: float | None = None

    def restart(self) -> None:
        """Count from the next read on."""
        self._until = None

    def __float__(self) -> float:
        now = self._clock.monotonic()
        if self._until is None:
            self._until = now + self.seconds
        if now >= self._until:
            raise TimeoutError(f"no answer within {self.seconds:.0f} s")
        return self._until - now

    def __index__(self) -> int:
        return ceil(float(self))

    def __radd__(self, now: float) -> float:
        return now + float(self)

    def __lt__(self, seconds: float) -> bool:
        return float(self) < seconds


class SentStream(httpx.SyncByteStream, httpx.AsyncByteStream):
    """The body of a request: when the last of it is sent, the time for the answer begins."""

    def __init__(self, stream: Any, total: TotalTimeout) -> None:
        self._stream = stream
        self._total = total

    def __iter__(self) -> Iterator[bytes]:
        yield from self._stream
        self._total.restart()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            yield chunk
        self._total.restart()

    def close(self) -> None:
        self._stream.close()

    async def aclose(self) -> None:
        await self._stream.aclose()


class Meter:
    """Counts a body as it arrives: at most `cap` bytes, in at most `seconds`.

    Past the cap the body is cut, or refused.
    """

    def __init__(
        self, call: Callable[[], str], *, cap: int, refuse: bool, seconds: float, clock: Clock
    ) -> None:
        self._call = call
        self._cap = cap
        self._left = cap
        self._refuse = refuse
        self._seconds = seconds
        self._clock = clock
        self._until = clock.monotonic() + seconds

    def admits(self, chunk: bytes) -> bool:
        """Whether to keep reading."""
        self._left -= len(chunk)
        if self._clock.monotonic() > self._until:
            raise APITimeoutError(
                f"{self._call()}: the answer began, but was not complete after {self._seconds:.0f} s"
            )
        if self._left < 0 and self._refuse:
            raise InvalidResponseError(f"{self._call()}: the answer is larger than {self._cap // _MIB} MiB")
        return self._left >= 0


class MeteredStream(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body counted by a meter."""

    def __init__(self, stream: Any, meter: Meter) -> None:
        self._stream = stream
        self._meter = meter

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._stream:
            if not self._meter.admits(chunk):
                return
            yield chunk

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            if not self._meter.admits(chunk):
                return
            yield chunk

    def close(self) -> None:
        self._stream.close()

    async def aclose(self) -> None:
        await self._stream.aclose()
