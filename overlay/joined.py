"""Requests and answers brought together, in memory that does not grow with what was answered.

The answers are read once, for where each custom_id's line begins; then line after line is taken from the
disk in the order of the requests. What one request costs in memory is some 40 bytes.

Where several lines answer one request, equal ones are counted and one is kept; of different ones the
first success is kept, and the conflict is recorded.
"""

from __future__ import annotations

import os
import re
from array import array
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Self, TypeAlias

import attrs
import msgspec

from overlay.errors import InvalidInputError, Problem
from overlay.lines import LINE_BYTES, open_lines, split, storage_errors
from overlay.odd_lines import decode_loosely
from overlay.result import Result, missing_result

Place: TypeAlias = tuple[int, int, int]
"""The number of a file, and the offset and length of a line in it, in bytes."""


@attrs.define(kw_only=True)
class JoinReport:
    """What joining found. Complete once the results have been iterated to the end."""

    total: int = 0
    """Requests, and so results."""
    ok: int = 0
    failed: int = 0
    """Results that are not `ok`, the missing ones among them."""
    missing: int = 0
    """Requests that no line answers."""
    duplicates: int = 0
    """Lines that say again what another line says."""
    conflicts: list[str] = attrs.field(factory=list[str])
    """The custom_ids that were answered in different ways."""
    unknown: int = 0
    """Lines that answer a custom_id which no request has."""
    malformed: int = 0
    """Lines that cannot be read."""


# The beginning of a line as services write it; anything else is decoded instead.
_BEGINNING = re.compile(rb'\s*\{\s*(?:"id"\s*:\s*"[^"\\]*"\s*,\s*)?"custom_id"\s*:\s*"([^"\\]*)"\s*[,}]')


class _Named(msgspec.Struct):
    custom_id: str


_decode = msgspec.json.Decoder(_Named).decode


def custom_id_of(line: bytes) -> str | None:
    """Whom a line names, read from its beginning alone where possible; None where it names nobody."""
    try:
        if found := _BEGINNING.match(line):
            return found[1].decode()
        return _decode(line).custom_id
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        value = decode_loosely(line) or {}
        custom_id = value.get("custom_id")
        return custom_id if isinstance(custom_id, str) else None


class _Places:
    """Where lines stand: file, offset and length, in plain arrays."""

    def __init__(self) -> None:
        self._files = array("H")
        self._offsets = array("Q")
        self._lengths = array("Q")

    def __len__(self) -> int:
        return len(self._offsets)

    def __getitem__(self, entry: int) -> Place:
        return self._files[entry], self._offsets[entry], self._lengths[entry]

    def __setitem__(self, entry: int, place: Place) -> None:
        self._files[entry], self._offsets[entry], self._lengths[entry] = place

    def append(self, place: Place) -> None:
        file, offset, length = place
        self._files.append(file)
        self._offsets.append(offset)
        self._lengths.append(length)


class _Index:
    """The entries by hash: open addressing over plain arrays, for a dict of a million strings takes 200 MB.

    An entry found is a candidate, which the caller confirms by reading its line.
    """

    def __init__(self) -> None:
        self._slots = array("i", [-1]) * 1024
        self._hashes = array("q")

    def find(self, key: int, after: int = -1) -> int:
        """The first entry with this hash, or the next one after an entry that was not it; -1 for none."""
        mask = len(self._slots) - 1
        slot = key & mask
        while (entry := self._slots[slot]) >= 0:
            # Entries with the same hash stand in the order in which they were added.
            if entry > after and self._hashes[entry] == key:
                return entry
            slot = (slot + 1) & mask
        return -1

    def add(self, key: int) -> None:
        if 2 * len(self._hashes) >= len(self._slots):
            self._slots = array("i", [-1]) * (4 * len(self._slots))
            for entry, known in enumerate(self._hashes):
                self._place(known, entry)
        self._place(key, len(self._hashes))
        self._hashes.append(key)

    def _place(self, key: int, entry: int) -> None:
        mask = len(self._slots) - 1
        slot = key & mask
        while self._slots[slot] >= 0:
            slot = (slot + 1) & mask
        self._slots[slot] = entry


class JoinedResults:
    """An iterator over one result for each request; `report` says what was found.

    It holds the answer files open: close it, or leave its `with` block, to let go of them early.
    """

    def __init__(
        self,
        requests: str | os.PathLike[str] | Iterable[str],
        answers: Iterable[str | os.PathLike[str]],
        *,
        line_bytes: int = LINE_BYTES,
    ) -> None:
        self.report = JoinReport()
        self._line_bytes = line_bytes
        self._stack = ExitStack()
        self._files: list[BinaryIO] = []
        self._index = _Index()
        self._places = _Places()
        self._used = bytearray()
        self._strays = _Places()
        try:
            for path in answers:
                self._files.append(self._stack.enter_context(open_lines(Path(path))))
                self._scan(len(self._files) - 1)
        except BaseException:
            self.close()
            raise
        self._results = self._join(requests)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Result:
        return next(self._results)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the answer files."""
        self._stack.close()

    def strays(self) -> Iterator[Result]:
        """The lines that went to no request: malformed, or of an unknown custom_id, or the losers of a
        conflict.

        Complete once the results have been iterated to the end. To be read before `close`.
        """
        for entry in range(len(self._strays)):
            yield Result(self._read(self._strays[entry]))

    def _scan(self, file: int) -> None:
        offset = 0
        reader = self._files[file]
        for line in split(reader, self._line_bytes):
            place = (file, offset, len(line))
            if len(line) <= self._line_bytes:
                offset += len(line)
            else:
                offset = reader.tell()
            if line.isspace():
                continue
            custom_id = custom_id_of(line)
            if custom_id is None:
                self._strays.append(place)
                self.report.malformed += 1
                continue
            entry = self._entry(custom_id)
            if entry >= 0:
                self._settle(custom_id, entry, place, line)
                continue
            self._index.add(hash(custom_id))
            self._places.append(place)
            self._used.append(0)

    def _entry(self, custom_id: str) -> int:
        """The entry of this custom_id's line, or -1."""
        key = hash(custom_id)
        entry = self._index.find(key)
        while entry >= 0 and custom_id_of(self._read(self._places[entry])) != custom_id:
            entry = self._index.find(key, after=entry)
        return entry

    def _settle(self, custom_id: str, entry: int, place: Place, line: bytes) -> None:
        """Choose between two lines for one request."""
        kept, other = Result(self._read(self._places[entry])), Result(line)
        if kept.raw == other.raw or _same_answer(kept, other):
            self.report.duplicates += 1
            return
        if custom_id not in self.report.conflicts:
            self.report.conflicts.append(custom_id)
        if other.ok and not kept.ok:
            place, self._places[entry] = self._places[entry], place
        self._strays.append(place)

    def _read(self, place: Place) -> bytes:
        file, offset, length = place
        with storage_errors(self._files[file].name):
            return os.pread(self._files[file].fileno(), length, offset)

    def _join(self, requests: str | os.PathLike[str] | Iterable[str]) -> Iterator[Result]:
        if isinstance(requests, str | os.PathLike):
            requests = _order(Path(requests), self._line_bytes)
        for custom_id in requests:
            entry = self._entry(custom_id)
            if entry < 0:
                result = missing_result(custom_id)
                self.report.missing += 1
            else:
                result = Result(self._read(self._places[entry]))
                self._used[entry] = 1
            self.report.total += 1
            yield result
            # Judged after the caller's turn: most callers have asked by now, and asking again costs nothing.
            if result.ok:
                self.report.ok += 1
            else:
                self.report.failed += 1
        for entry, used in enumerate(self._used):
            if not used:
                self.report.unknown += 1
                self._strays.append(self._places[entry])


def _order(path: Path, line_bytes: int) -> Iterator[str]:
    """The custom_ids of an input file."""
    with open_lines(path) as file:
        for number, line in enumerate(split(file, line_bytes), start=1):
            custom_id = custom_id_of(line)
            if custom_id is None:
                raise InvalidInputError(path, [Problem(number, "no custom_id to be read")])
            yield custom_id


def _same_answer(one: Result, other: Result) -> bool:
    """Whether two lines differ only in what the service numbers anew, such as the line's own id."""
    return (one.status_code, one.error, one.body) == (other.status_code, other.error, other.body)
