"""The body of an answer as a file: read piece by piece, as fast as whoever reads it wants it."""

from __future__ import annotations

import io
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import httpx

from overlay.errors import InvalidResponseError, OverlayError
from overlay.wire.clock import Clock
from overlay.wire.part_file import check_pace, content_length


class Body(io.RawIOBase):
    """The bytes of an answer. Reading raises typed errors, at its end too if there should have been more."""

    def __init__(
        self, response: httpx.Response, clock: Clock, typed: Callable[[Exception], OverlayError | None]
    ) -> None:
        self.name = f"{response.request.method} {response.request.url.path}"
        self.size = (
            None if response.status_code == HTTPStatus.PARTIAL_CONTENT else content_length(response.headers)
        )
        """How many bytes were announced; None where that cannot be told."""
        self._response = response
        self._chunks = response.iter_raw()
        self._left = memoryview(b"")
        self._came = 0
        self._clock = clock
        self._waited = 0.0
        self._typed = typed

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._came - len(self._left)

    def readinto(self, buffer: Any) -> int:
        if not self._left:
            self._left = memoryview(self._next())
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count

    def _next(self) -> bytes:
        """A piece that is not empty, or the end."""
        problem: OverlayError | None = None
        began = self._clock.monotonic()
        chunk = b""
        try:
            chunk = next(filter(None, self._chunks), b"")
        except Exception as error:
            problem = self._typed(error)
            if problem is None:
                raise
        if problem is not None:
            # Raised outside of the except block, so that the cause, which may hold a token, is let go.
            raise problem
        self._came += len(chunk)
        # How long the reader takes between two pieces is not the service's doing.
        self._waited += self._clock.monotonic() - began
        check_pace(self._waited, self._came)
        if not chunk and self._came != self.size:
            raise InvalidResponseError(f"{self.name}: {self._came:,} bytes arrived of {self.size:,}")
        return chunk

    def close(self) -> None:
        self._response.close()
        super().close()
