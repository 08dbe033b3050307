"""Where each answer's line begins, for as many answers as there may be.

A dict of a million custom_ids would take some 200 MB. Here a line takes less than 40 bytes: a hash of its
custom_id, the offset at which it begins, and a place in a table with open addressing, all in plain
arrays. Two custom_ids may share a hash, so an entry found is confirmed by reading its line.
"""

from __future__ import annotations

import os
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from typing import BinaryIO

from overlay.errors import StorageError
from overlay.lines import split
from overlay.results.result import Result
from overlay.results.shapes import BEGINNING, custom_id_bytes

_hash = hash
_FREE = -1

# What became of a line, one byte each.
UNCLAIMED = 0
"""Its custom_id has not been asked for yet."""
CLAIMED = 1
"""It is a request's result."""
STRAY = 2
"""Another line was preferred as the answer to the same request."""
REPEATED = 3
"""It says what another line has said."""
NAMELESS = 4
"""It names no request."""
BLANK = 5
"""It says nothing."""


class LineIndex:
    """The lines of several files, numbered consecutively and found by custom_id."""

    def __init__(self, line_bytes: int) -> None:
        self._line_bytes = line_bytes
        self._files: list[BinaryIO] = []
        self._first_entries: list[int] = []
        self._starts = array("Q")
        self._hashes = array("q")
        self.fates = bytearray()
        self._slots = array("i", [_FREE]) * 1024
        self._indexed = 0

    def scan(self, file: BinaryIO) -> Iterator[tuple[int, bytes | None, bytes]]:
        """Index a file's lines, and give those that need a decision: entry, custom_id and line.

        These have no custom_id, or that of an earlier line.
        """
        self._files.append(file)
        entry = len(self._starts)
        self._first_entries.append(entry)
        slots, hashes, mask = self._slots, self._hashes, len(self._slots) - 1
        match = BEGINNING.match  # the one call that most lines need
        start = 0
        for line in split(file, self._line_bytes):
            found = match(line)
            custom_id = found[1] if found else custom_id_bytes(line)
            key = 0 if custom_id is None else _hash(custom_id)
            self._starts.append(start)
            hashes.append(key)
            self.fates.append(UNCLAIMED)
            slot = key & mask
            while (other := slots[slot]) != _FREE and hashes[other] != key:
                slot = (slot + 1) & mask
            if custom_id is not None and other == _FREE:
                slots[slot] = entry
                self._indexed += 1
                if 2 * self._indexed > mask:
                    self._grow()
                    slots, mask = self._slots, len(self._slots) - 1
            elif line.isspace():
                self.fates[entry] = BLANK
            elif custom_id is not None and self.find(custom_id) is None:  # another one with the same hash
                self._insert(key, entry)
                self._indexed += 1
            else:
                yield entry, custom_id, line
            entry += 1
            start = start + len(line) if len(line) <= self._line_bytes else file.tell()
        # An extra entry says where the last line ends.
        self._starts.append(start)
        hashes.append(0)
        self.fates.append(BLANK)

    def find(self, custom_id: bytes) -> tuple[int, Result] | None:
        """The entry and line that answer a custom_id, given in UTF-8. Raises StorageError."""
        key = _hash(custom_id)
        slots, mask = self._slots, len(self._slots) - 1
        slot = key & mask
        while (entry := slots[slot]) != _FREE:
            if self._hashes[entry] == key:
                result = self.read(entry)
                # Confirmed by a full reading, which the caller needs anyway.
                if (result.custom_id or "").encode() == custom_id:
                    return entry, result
            slot = (slot + 1) & mask
        return None

    def read(self, entry: int) -> Result:
        """The line of an entry, cut as `split` cuts it. Raises StorageError."""
        start = self._starts[entry]
        size = self._starts[entry + 1] - start
        if size > self._line_bytes:
            size = self._line_bytes + 1
        file = self._files[bisect_right(self._first_entries, entry) - 1]
        try:
            return Result(os.pread(file.fileno(), size, start))
        except (OSError, ValueError) as error:  # ValueError: closed
            raise StorageError(f"{file.name}: {error}", path=file.name) from error

    def entries(self, *fates: int) -> Iterator[int]:
        """The entries with one of these fates, in the order of the files."""
        return (entry for entry, fate in enumerate(self.fates) if fate in fates)

    def lines(self) -> Iterator[int]:
        """The entries of all lines that are not blank."""
        return (entry for entry, fate in enumerate(self.fates) if fate != BLANK)

    def replace(self, old: int, new: int) -> None:
        """Let the newer of two lines for a custom_id be found instead of the older."""
        mask = len(self._slots) - 1
        slot = self._hashes[old] & mask
        while self._slots[slot] != old:
            slot = (slot + 1) & mask
        self._slots[slot] = new

    def _insert(self, key: int, entry: int) -> None:
        mask = len(self._slots) - 1
        slot = key & mask
        while self._slots[slot] != _FREE:
            slot = (slot + 1) & mask
        self._slots[slot] = entry

    def _grow(self) -> None:
        old = self._slots
        self._slots = array("i", [_FREE]) * (4 * len(old))
        for entry in old:
            if entry != _FREE:
                self._insert(self._hashes[entry], entry)
