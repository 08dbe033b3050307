"""Where `-o` points: standard output, a file that is either complete or absent, or a device."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from overlay.cli import output
from overlay.errors import StorageError
from overlay.lines import replacing, storage_errors

STDOUT = "-"


def check_destination(path: str) -> None:
    """Make sure that results can be written, before they are paid for. Raises StorageError."""
    if path == STDOUT:
        return
    with storage_errors(path):
        target = _target(path)
        if target.is_dir():
            raise StorageError(f"{path}: is a directory", path=path)
        if _is_plain(target):
            tempfile.TemporaryFile(dir=target.parent).close()


@contextmanager
def destination(path: str) -> Generator[Callable[[bytes], object]]:
    """A function that writes bytes to the path. A file gets its name when the block ends.

    Raises StorageError, and PipeClosedError if nobody reads standard output.
    """
    if path == STDOUT:
        yield output.write
        return
    with storage_errors(path):
        target = _target(path)
    # Renaming onto a device or a pipe would replace it.
    with replacing(target) if _is_plain(target) else _opened(target) as file:

        def write(data: bytes) -> None:
            with storage_errors(path):
                file.write(data)

        yield write


def _target(path: str) -> Path:
    """The file itself, if the path is a link to it."""
    return Path(path).resolve()


def _is_plain(target: Path) -> bool:
    return target.is_file() or not target.exists()


@contextmanager
def _opened(target: Path) -> Generator[BinaryIO]:
    with storage_errors(target), target.open("wb") as file:
        yield file
