"""Answers that are compressed though nobody asked for it: unpacked piece by piece, and within bounds.

httpx unpacks each piece whole, so that half a megabyte of gzip takes hundreds of megabytes of memory. Here no piece
is larger than a quarter of a megabyte, whoever reads can stop, and what grows beyond reason is refused.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx

from overlay.errors import InvalidResponseError

_PIECE = 256 * 1024
_FREE = 64 * 1024 * 1024
"""How many bytes may come out, whatever went in."""
_MOST_GROWTH = 100
"""How many times its size a larger content may become. Repetitive JSON lines reach 20 to 50."""
_WINDOWS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}

_HEAD = 2


def _has_header(start: bytes) -> bool:
    """Whether a deflate stream begins as RFC 1950, section 2.2, says."""
    return start[0] & 0x0F == zlib.DEFLATED and int.from_bytes(start[:_HEAD]) % 31 == 0


def can_unpack(encoding: str) -> bool:
    """Whether an answer of this Content-Encoding can be unpacked."""
    return encoding in _WINDOWS


class _Unpacker:
    def __init__(self, encoding: str, call: Callable[[], str]) -> None:
        self._window = _WINDOWS[encoding]
        self._call = call
        self._inner = zlib.decompressobj(self._window)
        self._came = self._went = 0
        self._head = b""
        """The first byte of a deflate stream, kept until the second shows which of two forms it has."""

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """What comes out of a piece, in pieces. Raises InvalidResponseError."""
        if self._window == zlib.MAX_WBITS and self._came < _HEAD:
            self._came += len(chunk)
            chunk = self._head = self._head + chunk
            if len(chunk) < _HEAD:
                return
            if not _has_header(chunk):
                # Some servers call it deflate and leave the header of RFC 1950 out.
                self._window = -zlib.MAX_WBITS
                self._inner = zlib.decompressobj(self._window)
            self._head = b""
        else:
            self._came += len(chunk)
        more = bool(chunk)
        while more:
            if self._inner.eof:  # of several gzip members, one after the other
                if not chunk.strip(b"\0"):
                    return  # what some programs fill blocks up with
                self._inner = zlib.decompressobj(self._window)
            try:
                piece = self._inner.decompress(chunk, _PIECE)
            except zlib.error:
                raise InvalidResponseError(f"{self._call()}: the compressed answer is damaged") from None
            self._went += len(piece)
            if self._went > _FREE and self._went > _MOST_GROWTH * self._came:
                raise InvalidResponseError(
                    f"{self._call()}: the compressed answer grows to more than {_MOST_GROWTH} times its size"
                )
            if piece:
                yield piece
            chunk = self._inner.unconsumed_tail or self._inner.unused_data
            # All that came may be inside, and not yet out.
            more = bool(chunk) or len(piece) == _PIECE

    def finish(self) -> None:
        """Raise InvalidResponseError if the end is missing."""
        if self._came and not self._inner.eof:
            raise InvalidResponseError(f"{self._call()}: the compressed answer is cut")


class UnpackedStream(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A compressed body, unpacked."""

    def __init__(self, stream: Any, encoding: str, call: Callable[[], str]) -> None:
        self._stream = stream
        self._unpacker = _Unpacker(encoding, call)

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._stream:
            yield from self._unpacker.feed(chunk)
        self._unpacker.finish()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            for piece in self._unpacker.feed(chunk):
                yield piece
        self._unpacker.finish()

    def close(self) -> None:
        self._stream.close()

    async def aclose(self) -> None:
        await self._stream.aclose()
