"""The body of an answer as a file: read piece by piece, at the reader's pace."""

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
    """The bytes of an answer. Reading raises typed errors, also at the end if bytes are missing."""

    def __init__(
        self, response: httpx.Response, clock: Clock, typed: Callable[[Exception], OverlayError | None]
    ) -> None:
        self.name = f"{response.request.method} {response.request.url.path}"
        self.size = (
            None if response.status_code == HTTPStatus.PARTIAL_CONTENT else content_length(response.headers)
        )
        """How many bytes were announced; None if unknown."""
        self._response = response
        self._chunks = response.iter_raw()
        self._unread = memoryview(b"")
        self._received = 0
        self._clock = clock
        self._waited = 0.0
        self._typed = typed

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._received - len(self._unread)

    def readinto(self, buffer: Any) -> int:
        if not self._unread:
            self._unread = memoryview(self._next())
        count = min(len(buffer), len(self._unread))
        buffer[:count] = self._unread[:count]
        self._unread = self._unread[count:]
        return count

    def _next(self) -> bytes:
        """The next piece that is not empty, or the end."""
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
            # Raised outside the except block, so that the cause, which may hold a token, is not kept.
            raise problem
        self._received += len(chunk)
        # The time that the reader takes between two pieces does not count.
        self._waited += self._clock.monotonic() - began
        check_pace(self._waited, self._received)
        if not chunk and self._received != self.size:
            raise InvalidResponseError(f"{self.name}: {self._received:,} of {self.size:,} bytes arrived")
        return chunk

    def close(self) -> None:
        self._response.close()
        super().close()
