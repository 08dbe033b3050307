"""Where a download lands: a part file that grows as bytes arrive and can be resumed.

The part is trusted only if the service confirms it: a range is requested under the ETag it belongs to
(RFC 9110, sections 13.1.5 and 14), and any answer but that range starts the part over. It is locked
while it is written, so that two downloads to one path do not write into each other's part.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import weakref
from collections.abc import Mapping
from contextlib import closing, suppress
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from overlay.errors import APITimeoutError, InvalidResponseError
from overlay.lines import storage_errors
from overlay.private import is_private, open_private
from overlay.wire.clock import Clock

_BUFFER = 1024 * 1024
_GRACE_SECONDS = 60.0
_LEAST_RATE = 16 * 1024
"""Bytes a second, over a whole try: less is a trickle, which would satisfy any per-read timeout."""
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


class PartFile:
    """The part file of one download, through all its tries: `part`, or, if another download is writing that,
    its own, which is removed if this download fails. Raises StorageError.
    """

    def __init__(self, part: Path) -> None:
        with storage_errors(part):
            handle = _lock_part(part)
            self._shared = handle is not None
            if handle is None:
                part = part.with_name(f".{secrets.token_hex(8)}.part")
                handle = _open_part(part)
        self.part = part
        self._handle = handle
        self._release = weakref.finalize(self, _close, handle)
        self.offset = 0
        """How many bytes of the part to keep."""
        self.total: int | None = None
        """How many bytes the whole file has, if the service said so."""
        self.etag: str | None = None
        self._resumable = True

    @property
    def size(self) -> int:
        """How many bytes the part has now."""
        return os.fstat(self._handle).st_size

    def clear(self) -> None:
        """Start over."""
        with storage_errors(self.part):
            os.ftruncate(self._handle, 0)

    def settle(self, target: Path, *, lasting: bool) -> None:
        """Turn the part into the file: synced to disk first, if it is to last, then renamed."""
        with storage_errors(target):
            if lasting:
                os.fsync(self._handle)
            self.part.replace(target)
        self._release()

    def close(self) -> None:
        """Release the part. It is kept for the next download if that can find it and it is not empty."""
        if self._release.alive:
            with suppress(OSError):
                if not (self._shared and self.size):
                    self.part.unlink()
            self._release()

    @property
    def request_headers(self) -> dict[str, str]:
        if not self.offset or not self._resumable:
            return {}
        condition = {"If-Range": self.etag} if self.etag else {}
        return {"Range": f"bytes={self.offset}-", **condition}

    def open(self, status_code: int, headers: Mapping[str, str], clock: Clock) -> Sink:
        """Start writing the answer, after what is kept of the part."""
        size = content_length(headers)
        packed = headers.get("content-encoding", "identity").lower() != "identity"
        # A range counts the bytes as they were sent; the part has them unpacked.
        self._resumable = not packed
        if packed and status_code == HTTPStatus.PARTIAL_CONTENT:
            self.clear()
            raise InvalidResponseError("the rest of a file came compressed, which cannot be joined")
        if status_code == HTTPStatus.PARTIAL_CONTENT:
            found = _CONTENT_RANGE.fullmatch(headers.get("content-range", "").strip())
            if found is None or int(found[1]) != self.offset:
                self.clear()
                raise InvalidResponseError(f"asked for bytes from {self.offset:,} on and got another range")
            self.total = None if found[3] == "*" else int(found[3])
        else:
            self.offset = 0
            self.total = size
        etag = headers.get("etag", "")
        # A weak ETag cannot vouch for bytes (RFC 9110, section 13.1.5).
        self.etag = etag if etag and not etag.startswith("W/") and not packed else None
        return Sink(self.part, self.offset, clock)


def _lock_part(part: Path) -> int | None:
    """A locked handle of the part; None if another download has it."""
    while True:
        handle = _open_part(part)
        try:
            # `flock` and not `lockf`, which does not keep threads of one process apart.
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        except OSError:
            return handle  # a file system without locks
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), part.stat()):
                return handle
        os.close(handle)  # its holder has renamed or removed it meanwhile


def _close(handle: int) -> None:
    with suppress(OSError):  # whatever was written has been synced, or is not relied on
        os.close(handle)


def _open_part(part: Path) -> int:
    if is_private(part.parent):
        return open_private(part, os.O_RDWR | os.O_CREAT)
    return os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)


class Sink:
    """An open part file: written to as chunks come, or a megabyte at a time if writing needs a thread.

    Disk errors leave the block as StorageError.
    """

    def __init__(self, part: Path, offset: int, clock: Clock) -> None:
        self._part = part
        with storage_errors(part):
            self._file: BinaryIO = part.open("r+b" if offset else "wb")
            self._file.seek(offset)
            self._file.truncate()
        self._chunks: list[bytes] = []
        self._held = 0
        self._taken = 0
        self._clock = clock
        self._began = clock.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with storage_errors(self._part), closing(self._file):
            # What arrived before a break is kept for the next try; a disk error is not retried.
            if isinstance(error, OSError):
                raise error
            self.flush()

    def write(self, chunk: bytes) -> None:
        """Write a chunk."""
        self._count(chunk)
        self._file.write(chunk)

    def take(self, chunk: bytes) -> bool:
        """Buffer a chunk; True when there is enough to be worth a `flush`."""
        self._count(chunk)
        self._chunks.append(chunk)
        self._held += len(chunk)
        return self._held >= _BUFFER

    def flush(self) -> None:
        """Write what was buffered."""
        chunks, self._chunks, self._held = self._chunks, [], 0
        self._file.writelines(chunks)
        self._file.flush()

    def _count(self, chunk: bytes) -> None:
        self._taken += len(chunk)
        check_pace(self._clock.monotonic() - self._began, self._taken)


def content_length(headers: Mapping[str, str]) -> int | None:
    """How many bytes an answer announces; None if it does not say."""
    length = headers.get("content-length", "")
    return int(length) if length.isdecimal() else None


def check_pace(seconds: float, size: int) -> None:
    """Raise APITimeoutError if this many bytes should not have taken this long."""
    if seconds > _GRACE_SECONDS + size / _LEAST_RATE:
        raise APITimeoutError(f"the download slowed to {size / seconds:.0f} bytes a second")
