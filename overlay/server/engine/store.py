"""What the service remembers: files and batches, in SQLite, and their contents in a folder beside it.

Objects are kept as the JSON they are answered with, so that a page of a list is read and sent undecoded. A sequence
number orders each kind, and is what cursors resolve to: a page costs the same wherever it lies.
Deleted files leave a row behind, so that a cursor that names one still has its place.
"""

import errno
import hashlib
import os
import re
import shutil
import sqlite3
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from overlay.server.disk import Disk, NoRoomError, room
from overlay.server.engine.progress import Progress, decode_progress
from overlay.server.objects import FINAL, Batch, File, decode_batch, decode_file

_VERSION = 1
_SCHEMA = """
CREATE TABLE files (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    purpose TEXT NOT NULL,
    gone_at REAL,      -- hidden from the API from then on: deleted, or expired
    usable_until REAL, -- input of new batches until then
    document BLOB NOT NULL
);
CREATE INDEX files_by_purpose ON files (purpose, seq);
CREATE TABLE batches (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    final INTEGER NOT NULL,
    born REAL NOT NULL,
    document BLOB NOT NULL,
    progress BLOB NOT NULL
);
CREATE INDEX batches_unfinished ON batches (seq) WHERE final = 0;
"""


# Of the database: it is full, or its disk fails.
_NO_ROOM = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR})
# Ids that can be the name of a file: others are too long, or have slashes.
_PLAIN = re.compile(r"\w[\w-]{0,127}", re.ASCII)


def _name(identifier: str) -> str:
    if _PLAIN.fullmatch(identifier):
        return identifier
    return hashlib.sha256(identifier.encode("utf-8", "surrogatepass")).hexdigest()


class StateInUseError(RuntimeError):
    """Another process has this state folder open."""


class Store:
    """`folder` holds the contents; `database` is a path, or ":memory:"."""

    def __init__(self, folder: Path, database: str, *, synced: bool = False) -> None:
        """`synced` says that what is acknowledged outlives a power cut, not only the end of the process."""
        self.disk = Disk(synced=synced)
        self._contents = folder / "files"
        self._inputs = folder / "inputs"
        self.parts = folder / "parts"
        """The folder of files that are on their way, part by part: see `engine.uploads`."""
        for each in (self._contents, self._inputs, self.parts):
            each.mkdir(parents=True, exist_ok=True)
        self.disk.keep(folder, self._contents, self._inputs, self.parts)
        self._db = sqlite3.connect(database, isolation_level=None, check_same_thread=False, timeout=0.2)
        # One process owns a state folder: two would write each other's output files. The lock is taken by the first
        # write below and dies with the process.
        try:
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._db.execute(f"PRAGMA synchronous = {'FULL' if synced else 'NORMAL'}")
            self._db.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            self._db.close()
            raise StateInUseError(f"{folder} is in use by another service") from error
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise ValueError(f"{folder} does not hold the state of a service: {error}") from error
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > _VERSION:
            self._db.close()
            raise ValueError(f"{folder} was written by a newer version")
        if version == 0:
            for statement in _SCHEMA.split(";\n"):
                self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {_VERSION}")
        self._db.execute("COMMIT")
        # A commit to the log ahead is one sync, where a rollback journal takes four.
        self._db.execute("PRAGMA journal_mode = WAL")

    def close(self) -> None:
        self._db.close()

    def execute(self, statement: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        """For what keeps tables of its own beside files and batches, too. Raises `NoRoomError`."""
        try:
            return self._db.execute(statement, values)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in _NO_ROOM:
                raise
            raise NoRoomError(errno.ENOSPC, f"the disk takes no more: {error}") from error

    @contextmanager
    def transaction(self) -> Generator[None]:
        """All that is written in the block, or nothing of it. Raises `NoRoomError`."""
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            # SQLite takes some failures back by itself.
            if self._db.in_transaction:
                self.execute("ROLLBACK")
            raise

    # Contents

    def content(self, file_id: str) -> Path:
        return self._contents / _name(file_id)

    def input_of(self, batch_id: str) -> Path:
        return self._inputs / _name(batch_id)

    def keep_input(self, file_id: str, batch_id: str) -> None:
        """Give a batch a name of its own for its input, which outlives the deletion of the file."""
        source, target = self.content(file_id), self.input_of(batch_id)
        try:
            os.link(source, target)
        except OSError:
            with room():
                shutil.copyfile(source, target)
        self.disk.keep(target)

    def drop_content(self, file_id: str) -> None:
        self.content(file_id).unlink(missing_ok=True)

    def sweep(self, now: float, unfinished: set[str], batches: set[str]) -> None:
        """Remove contents of no file, or of one that is over, and inputs likewise: a killed process leaves such.

        `unfinished` names the files that are still being written, `batches` those that are not final.
        """
        inputs = {_name(each) for each in batches}
        for path in self._inputs.iterdir():
            if path.name not in inputs:
                path.unlink()
        query = "SELECT id FROM files WHERE usable_until IS NULL OR usable_until > ?"
        kept = {_name(each) for each in unfinished.union(row[0] for row in self.execute(query, (now,)))}
        for path in self._contents.iterdir():
            if path.name not in kept:
                path.unlink()

    # Files

    def add_file(self, file: File) -> None:
        self.execute(
            "INSERT INTO files (id, purpose, gone_at, usable_until, document) VALUES (?, ?, ?, ?, ?)",
            (file.id, file.purpose, file.expires_at, file.expires_at, msgspec.json.encode(file)),
        )

    def grow_file(self, file: File) -> None:
        """Add a file that is still being written, or update it; one that was deleted stays so."""
        self.execute(
            "INSERT INTO files (id, purpose, gone_at, usable_until, document) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET document = excluded.document, gone_at = excluded.gone_at,"
            " usable_until = excluded.usable_until WHERE usable_until IS NULL",
            (file.id, file.purpose, file.expires_at, file.expires_at, msgspec.json.encode(file)),
        )

    def file(self, file_id: str, now: float) -> File | None:
        return self._file("gone_at", file_id, now)

    def usable_file(self, file_id: str, now: float) -> File | None:
        """As `file`, but also one that was deleted and can still be named by a new batch."""
        return self._file("usable_until", file_id, now)

    def _file(self, limit: str, file_id: str, now: float) -> File | None:
        row = self.execute(
            f"SELECT document FROM files WHERE id = ? AND ({limit} IS NULL OR {limit} > ?)",  # noqa: S608  a column
            (file_id, now),
        ).fetchone()
        return decode_file(row[0]) if row else None

    def delete_file(self, file_id: str, now: float, usable_until: float) -> None:
        self.execute(
            "UPDATE files SET gone_at = ?, usable_until = ? WHERE id = ?", (now, usable_until, file_id)
        )

    def files(
        self, now: float, *, after: int | None, limit: int, ascending: bool, purpose: str | None
    ) -> list[tuple[str, bytes]]:
        """(id, document), at most `limit`, beyond the place `after` in the given direction."""
        where, order = ("seq > ?", "ASC") if ascending else ("seq < ?", "DESC")
        start = after if after is not None else (0 if ascending else 2**62)
        narrowed, values = (" AND purpose = ?", [purpose]) if purpose is not None else ("", [])
        return self.execute(
            f"SELECT id, document FROM files WHERE {where}{narrowed} AND (gone_at IS NULL OR gone_at > ?)"  # noqa: S608
            f" ORDER BY seq {order} LIMIT ?",
            (start, *values, now, limit),
        ).fetchall()

    def file_place(self, file_id: str) -> int | None:
        return self._place("files", file_id)

    # Batches

    def add_batch(self, batch: Batch, progress: Progress) -> None:
        self.execute(
            "INSERT INTO batches (id, final, born, document, progress) VALUES (?, 0, ?, ?, ?)",
            (batch.id, progress.born, msgspec.json.encode(batch), msgspec.json.encode(progress)),
        )

    def save_batch(self, batch: Batch, progress: Progress) -> None:
        self.execute(
            "UPDATE batches SET final = ?, document = ?, progress = ? WHERE id = ?",
            (batch.status in FINAL, msgspec.json.encode(batch), msgspec.json.encode(progress), batch.id),
        )

    def batch(self, batch_id: str) -> Batch | None:
        row = self.execute("SELECT document FROM batches WHERE id = ?", (batch_id,)).fetchone()
        return decode_batch(row[0]) if row else None

    def batches(self, *, after: int | None, limit: int, born_by: float) -> list[tuple[str, bytes]]:
        """(id, document), newest first, at most `limit`, older than the place `after`."""
        return self.execute(
            "SELECT id, document FROM batches WHERE seq < ? AND born <= ? ORDER BY seq DESC LIMIT ?",
            (after if after is not None else 2**62, born_by, limit),
        ).fetchall()

    def progress(self, batch_id: str) -> Progress | None:
        row = self.execute("SELECT progress FROM batches WHERE id = ?", (batch_id,)).fetchone()
        return decode_progress(row[0]) if row else None

    def final_statuses(self) -> dict[str, int]:
        """How many batches ended in each status. Reads all of them."""
        status = "json_extract(CAST(document AS TEXT), '$.status')"
        query = f"SELECT {status}, COUNT(*) FROM batches WHERE final = 1 GROUP BY 1"  # noqa: S608  a column
        return dict(self.execute(query).fetchall())

    def batch_place(self, batch_id: str) -> int | None:
        return self._place("batches", batch_id)

    def unfinished(self) -> list[tuple[Batch, Progress]]:
        rows = self.execute("SELECT document, progress FROM batches WHERE final = 0 ORDER BY seq").fetchall()
        return [(decode_batch(document), decode_progress(progress)) for document, progress in rows]

    def _place(self, table: str, identifier: str) -> int | None:
        row = self.execute(f"SELECT seq FROM {table} WHERE id = ?", (identifier,)).fetchone()  # noqa: S608
        return row[0] if row else None
