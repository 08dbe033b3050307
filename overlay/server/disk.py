"""What is written to the disk: whole, and there after a power cut.

The kernel may take a part of what it is given, and keeps it in memory until a file is synced; a new name in a
folder is on the disk once the folder is synced, too. A disk that is full, or fails, refuses the rest.
"""

import errno
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

# What a disk says that takes no more: it is full, a quota or a limit is reached, or it fails.
_REFUSALS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS})


class NoRoomError(OSError):
    """The disk takes no more: what was to be written can be written once there is room."""


class _Writable(Protocol):
    def write(self, data: memoryview, /) -> int | None: ...


@contextmanager
def room() -> Generator[None]:
    """Raise `NoRoomError` out of the block for what a disk says that takes no more."""
    try:
        yield
    except NoRoomError:
        raise
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        raise NoRoomError(error.errno, f"the disk takes no more: {error.strerror}") from error


def write_whole(file: _Writable, data: bytes | memoryview) -> None:
    """Write all of it to an unbuffered file, which may take less at a time. Raises `NoRoomError`."""
    left = memoryview(data)
    with room():
        while left:
            left = left[file.write(left) or 0 :]


class Disk:
    """The disk as a service uses it: `synced` says whether it waits until what it writes is there."""

    def __init__(self, *, synced: bool) -> None:
        self.synced = synced

    def keep(self, *paths: Path) -> None:
        """Return when these files, and their names, outlive a power cut. Raises `NoRoomError`. Blocks."""
        if not self.synced:
            return
        with room():
            for path in paths:
                _sync(path, os.O_RDONLY)
            for folder in {path.parent for path in paths}:
                _sync(folder, os.O_RDONLY | os.O_DIRECTORY)


class Growing:
    """A file that grows by whole lines: one that a full disk cut is taken back."""

    def __init__(self, path: Path, disk: Disk) -> None:
        self._path = path
        self._disk = disk
        self._file = path.open("ab", buffering=0)
        self._size = path.stat().st_size
        self._torn = False

    def append(self, lines: bytes) -> None:
        """Raises `NoRoomError`; then the file is as it was."""
        if self._torn:
            self._take_back()
        try:
            write_whole(self._file, lines)
        except OSError:
            self._torn = True
            self._take_back()
            raise
        self._size += len(lines)

    def sync(self) -> None:
        """Return when its lines outlive a power cut. Raises `NoRoomError`. Blocks."""
        if self._path.exists():  # a client may delete a file that is still being written
            self._disk.keep(self._path)

    def close(self) -> None:
        self._file.close()

    def _take_back(self) -> None:
        with room():
            self._file.truncate(self._size)
        self._torn = False


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
