"""Requests that ask what was asked before, in the same job or an earlier one.

Two requests are identical if they name the same endpoint and their bodies are equal as JSON, whatever the order of
their fields; the custom_id does not count.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import attrs
import msgspec

from overlay.errors import StorageError
from overlay.private import make_file
from overlay.results.result import Result


def canonical(line: bytes) -> bytes:
    """The same bytes for the same JSON, however it was written."""
    try:
        return msgspec.json.encode(msgspec.json.decode(line), order="sorted")
    except msgspec.DecodeError:  # a number beyond what Python's floats hold
        return line


class _Asked(msgspec.Struct):
    body: msgspec.Raw = msgspec.Raw(b"null")
    url: str = ""


_decode = msgspec.json.Decoder(_Asked).decode


def identity(line: bytes, endpoint: str) -> bytes:
    """The same 16 bytes for identical requests, given as lines of JSON; `endpoint` where a line names none."""
    try:
        asked = _decode(line)
    except msgspec.MsgspecError:
        return hashlib.blake2b(line, digest_size=16).digest()
    body = canonical(bytes(asked.body))
    return hashlib.blake2b((asked.url or endpoint).encode() + b"\n" + body, digest_size=16).digest()


class Table:
    """A SQLite file whose loss costs nothing but time."""

    def __init__(self, path: Path, *statements: str) -> None:
        import sqlite3  # noqa: PLC0415 - not loaded by `import overlay`

        self._path, self._error = path, sqlite3.Error
        with suppress(FileExistsError):
            make_file(path)
        try:
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=30)
            self._db.execute("PRAGMA trusted_schema=OFF")
            for statement in statements:
                self._db.execute(statement)
        except self._error as error:
            raise StorageError(f"{path}: {error}", path=path) from error

    def run(self, statement: str, *values: Any) -> Any:
        """Execute a statement. Raises StorageError."""
        try:
            return self._db.execute(statement, values)
        except self._error as error:
            raise StorageError(f"{self._path}: {error}", path=self._path) from error

    def close(self) -> None:
        with suppress(self._error):
            self._db.close()


@attrs.frozen
class Place:
    """Where a request of a job is: its shard, and its number there, from 0."""

    shard: int
    number: int


class FirstAsked(Table):
    """Where each of a job's requests was asked first. Discarded once they are on disk."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            path,
            "PRAGMA journal_mode=OFF",
            "PRAGMA synchronous=OFF",
            "CREATE TABLE asked (identity BLOB PRIMARY KEY, shard INTEGER, number INTEGER) WITHOUT ROWID",
            "BEGIN",
        )

    def find(self, identity: bytes) -> Place | None:
        """Where an identical request is, if there is one."""
        row = self.run("SELECT shard, number FROM asked WHERE identity = ?", identity).fetchone()
        return None if row is None else Place(*row)

    def add(self, identity: bytes, place: Place) -> None:
        self.run("INSERT INTO asked VALUES (?, ?, ?)", identity, place.shard, place.number)

    def close(self) -> None:
        super().close()
        with suppress(OSError):  # it goes with its folder, at the latest
            self._path.unlink(missing_ok=True)


class Answers(Protocol):
    """Good answers of earlier jobs."""

    def find(self, identity: bytes, /) -> Result | None: ...
    def close(self) -> None: ...


class Earlier:
    """What identical requests were asked before, and which of them were answered."""

    def __init__(self, answers: Answers | None, asked: FirstAsked | None) -> None:
        self._answers, self._asked = answers, asked

    def find(self, identity: bytes) -> Result | Place | None:
        """The answer to an identical request of an earlier job, or where this job asks it first."""
        if self._answers is not None and (found := self._answers.find(identity)) is not None:
            return found
        return None if self._asked is None else self._asked.find(identity)

    def add(self, identity: bytes, place: Place) -> None:
        """Note where this job asks a request first."""
        if self._asked is not None:
            self._asked.add(identity, place)

    def close(self) -> None:
        for each in (self._answers, self._asked):
            if each is not None:
                each.close()
