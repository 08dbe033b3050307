"""Files of requests as people have them: packed, with a byte order mark, with blank lines at the end."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, cast

from overlay.errors import ConfigurationError, InvalidInputError, Problem, StorageError
from overlay.lines import BOM, BUFFER_BYTES, LINE_BYTES, open_lines, split

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
"""RFC 1952, section 2.3.1; RFC 8878, section 3.1.1."""
_TABLES = (b"PAR1", b"ARROW1", b"PK\x03\x04")
"""How Parquet, Arrow and spreadsheets begin."""
_TABLE_NAMES = frozenset({".csv", ".tsv", ".parquet", ".pq", ".arrow", ".feather", ".xlsx"})


def file_lines(path: Path, line_bytes: int = LINE_BYTES) -> Iterator[bytes]:
    """The lines of a file of requests, unpacked, without a byte order mark and blank lines at the end.

    Raises StorageError; InvalidInputError if it is a table.
    """
    with open_lines(path) as file:
        _refuse_table(path, _beginning(file))
        yield from request_lines(unpacked(file, path), line_bytes)


def request_lines(file: BinaryIO, line_bytes: int = LINE_BYTES) -> Iterator[bytes]:
    """The same for a file that is open, and unpacked."""
    blank: list[bytes] = []
    # What is sent is written anew: only what is uploaded as it is must have no byte order mark.
    beginning = BOM
    try:
        for line in split(file, line_bytes):
            kept, beginning = line.removeprefix(beginning), b""
            if not kept.strip():
                blank.append(kept)  # refused, with its number, if anything follows
                continue
            yield from blank
            blank.clear()
            yield kept
    except EOFError as error:
        raise StorageError(
            f"{file.name}: the packed file is cut off or damaged: {error}", path=file.name
        ) from error


def unpacked(file: BinaryIO, name: str | Path) -> BinaryIO:
    """What a file holds: gzip and Zstandard are known by how they begin. Raises ConfigurationError if Zstandard is
    not installed.
    """
    first = _beginning(file)
    if first.startswith(_GZIP):
        return _reader(gzip.GzipFile(fileobj=file), name, OSError, zlib.error)
    if first.startswith(_ZSTD):
        zstd = _zstd()
        return _reader(zstd.ZstdFile(file), name, zstd.ZstdError)
    return file


def _zstd() -> Any:
    for name in ("compression.zstd", "backports.zstd"):  # of Python from 3.14 on; an extra
        with suppress(ImportError):
            return import_module(name)
    raise ConfigurationError("reading .zst needs backports.zstd: pip install 'openai-batch-overlay[cli]'")


def _reader(file: Any, name: str | Path, *damage: type[Exception]) -> BinaryIO:
    return cast("BinaryIO", io.BufferedReader(_Unpacked(file, str(name), damage), BUFFER_BYTES))


class _Unpacked(io.RawIOBase):
    """A packed file that is read through its name: whatever its library raises for damage is an EOFError."""

    def __init__(self, file: Any, name: str, damage: tuple[type[Exception], ...]) -> None:
        self._file = file
        self._damage = damage
        self.name = name

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            piece: bytes = self._file.read(len(buffer))
        except self._damage as error:
            raise EOFError(str(error)) from error
        buffer[: len(piece)] = piece
        return len(piece)


def _beginning(file: BinaryIO) -> bytes:
    """Its first bytes, which stay to be read."""
    return cast("io.BufferedReader", file).peek(8)[:8]


def _refuse_table(path: Path, first: bytes) -> None:
    names_table = bool(_TABLE_NAMES & {suffix.lower() for suffix in path.suffixes[-2:]})
    if first.startswith(_TABLES) or (names_table and not first.removeprefix(BOM).lstrip().startswith(b"{")):
        raise InvalidInputError(
            path,
            [
                Problem(
                    None,
                    "a table, where JSON lines of requests are expected: use `overlay map`, or "
                    "client.jobs.map, which asks about each row",
                )
            ],
        )
