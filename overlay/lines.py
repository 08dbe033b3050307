r"""A JSONL file as bytes: where its lines begin and end, and how one is written whole or not at all.

A line ends at the byte `\n` and nowhere else. `str.splitlines` and the line iterators of HTTP
libraries also cut at U+2028, U+2029 and U+0085, which JSON allows inside a string (RFC 8259, section
7); `\r` before the `\n` is white space to JSON (section 2) and stays with its line.

Lines are returned exactly as they are in the file, `\n` included, so that a file can be copied, counted and
hashed from them.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import secrets
import stat
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeGuard

from overlay.errors import InvalidResponseError, OverlayError, StorageError
from overlay.private import is_private, make_file

MIB = 1024 * 1024
BUFFER_BYTES = MIB // 4  # fits the processor's cache; a larger one does not
LINE_BYTES = 64 * MIB
"""The longest line that is read whole by default, in bytes."""

BOM = b"\xef\xbb\xbf"
"""UTF-8's byte order mark, with which some programs begin a file. JSON has none (RFC 8259, section 8.1): it is read
over."""
_PART_PREFIX = ".writing-"
_NAME_BYTES = 100

NESTING = 200
"""How deep arrays and objects may be nested."""


@contextmanager
def storage_errors(path: str | Path) -> Generator[None]:
    """Turn disk errors about `path` into StorageError."""
    try:
        yield
    except OverlayError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise StorageError(f"{path}: {reason}", path=path) from error


def open_lines(path: str | Path, *, buffer_bytes: int = BUFFER_BYTES) -> BinaryIO:
    """Open a file for `split`, or, with `buffer_bytes=0`, for reading in large pieces. Raises StorageError if it is
    missing, unreadable, or not a regular file.
    """
    with storage_errors(path):
        # Checked before opening: opening a pipe blocks, and reading a device may never end.
        if not stat.S_ISREG(Path(path).stat().st_mode):
            raise StorageError(f"{path}: not a regular file", path=path)
        return Path(path).open("rb", buffering=buffer_bytes)


def split(file: BinaryIO, limit: int = LINE_BYTES) -> Iterator[bytes]:
    r"""Each line with its `\n`; of a line longer than `limit` bytes, only the first `limit + 1` bytes.

    Raises StorageError if the disk fails meanwhile.
    """
    try:
        for line in iter(partial(file.readline, limit + 1), b""):
            if len(line) > limit:
                _skip_line(file, line)
            yield line
    except OSError as error:
        raise StorageError(f"{file.name}: {error.strerror}", path=file.name) from error


def _skip_line(file: BinaryIO, piece: bytes) -> None:
    while piece and not piece.endswith(b"\n"):
        piece = file.readline(MIB)


def is_array(value: object) -> TypeGuard[list[Any]]:
    """Whether decoded JSON is an array."""
    return isinstance(value, list)


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether decoded JSON is an object."""
    return isinstance(value, dict)


def brackets(line: bytes) -> int:
    """How many arrays and objects a line holds at most, which is cheap to count: nesting cannot be deeper."""
    return line.count(b"{") + line.count(b"[")


def too_deep(value: object, limit: int = NESTING) -> bool:
    """Whether decoded JSON holds arrays or objects more than `limit` deep."""
    level: list[Any] = [value] if isinstance(value, dict | list) else []
    for _ in range(limit):
        # A loop over levels: recursion would fail on exactly the values that this is for.
        level = [
            child
            for parent in level
            for child in (parent.values() if is_object(parent) else parent)
            if isinstance(child, dict | list)
        ]
        if not level:
            return False
    return True


@contextmanager
def replacing(path: str | Path) -> Generator[BinaryIO]:
    """A file to write that replaces `path` when the block ends, and is removed if it raises.

    Until then `path` is untouched; afterwards it survives a loss of power. In a folder that only its owner may
    enter, the file is its owner's alone. Raises StorageError.
    """
    target = Path(path)
    with storage_errors(path):
        part, file = _new_part(target)
    try:
        try:
            yield file
            with storage_errors(path):
                file.flush()
                os.fsync(file.fileno())
        finally:
            with suppress(OSError):  # what could not be flushed has been reported already
                file.close()
        with storage_errors(path):
            part.replace(target)
            sync_folder(target.parent)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _new_part(target: Path) -> tuple[Path, BinaryIO]:
    """A new file beside the target. It is locked for as long as it is open: that tells it from a dead process's."""
    private = is_private(target.parent)
    while True:
        part = target.with_name(f"{_PART_PREFIX}{secrets.token_hex(8)}-{short_name(target.name)}.part")
        if private:
            file = make_file(part).open("wb", buffering=BUFFER_BYTES)
        else:
            file = part.open("xb", buffering=BUFFER_BYTES)
        try:
            if _lock(file.fileno()) and os.path.samestat(os.fstat(file.fileno()), part.stat()):
                return part, file
        except FileNotFoundError:
            pass
        except BaseException:
            file.close()
            part.unlink(missing_ok=True)
            raise
        file.close()  # it was taken for a dead process's in the moment before it was locked


def _lock(handle: int) -> bool:
    """Lock a file for as long as its handle is open; False if another has it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # a file system without locks: nothing can be told apart, and nothing is removed there
    return True


def remove_stale_parts(target: Path) -> None:
    """Remove what processes that were killed in `replacing` have left beside a file."""
    name = short_name(target.name)
    for part in target.parent.glob(f"{_PART_PREFIX}*.part"):
        if not re.fullmatch(
            re.escape(_PART_PREFIX) + "[0-9a-f]{16}-" + re.escape(name) + r"\.part", part.name
        ):
            continue
        with suppress(OSError):
            handle = os.open(part, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                part.unlink()
            finally:
                os.close(handle)


def short_name(name: str) -> str:
    """A name short enough to leave room for the rest of a part's name, within the 255 bytes allowed."""
    if len(os.fsencode(name)) <= _NAME_BYTES:
        return name
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:32]


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def decode_loosely(json_object: bytes) -> dict[str, Any] | None:
    """The JSON object in these bytes; None if there is none.

    A byte order mark before it is skipped, and invalid UTF-8 reads as U+FFFD.
    """
    return decode_text(json_object.removeprefix(BOM).decode("utf-8", "replace"))


def decode_text(text: str) -> dict[str, Any] | None:
    """The JSON object in this text; None if there is none."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if is_object(value) else None


def count_lines(path: Path) -> int:
    """How many lines of a file are not blank. Raises StorageError."""
    with open_lines(path) as file:
        return sum(not line.isspace() for line in split(file))


def is_torn(path: str | os.PathLike[str]) -> bool:
    """Whether a file ends within a line: its last line has no end, and is no JSON object.

    Raises StorageError if the file cannot be read.
    """
    path = Path(path)
    with open_lines(path) as file, storage_errors(path):
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        return file.read() not in {b"", b"\n"} and not _is_whole(_last_line(file))


def check_complete(path: str | os.PathLike[str]) -> None:
    """Make sure, as far as its content can tell, that a downloaded file was not cut short: its last line must be a
    JSON object.

    An empty file passes. Raises InvalidResponseError, or StorageError if the file cannot be read.
    """
    path = Path(path)
    with open_lines(path) as file, storage_errors(path):
        last = _last_line(file)
    if not _is_whole(last):
        raise InvalidResponseError(f"{path.name}: the last line is incomplete; the download was cut short")


def _is_whole(line: bytes) -> bool:
    # A line too long to be read is not judged here: reading the results flags it.
    return not line or len(line) > LINE_BYTES or decode_loosely(line) is not None


def _last_line(file: BinaryIO) -> bytes:
    """The last line that is not blank, or its end if it is longer than LINE_BYTES."""
    tail = b""
    begin, step = file.seek(0, os.SEEK_END), MIB
    while begin > 0 and b"\n" not in tail and len(tail) <= LINE_BYTES:
        end, begin = begin, max(0, begin - step)
        file.seek(begin)
        tail = (file.read(end - begin) + tail).rstrip()
        step *= 2
    return tail.rpartition(b"\n")[2]
