"""The ledger of a job: what was promised to the service, and what came of it, in SQLite.

Every intent is committed before its request is sent, so that whatever dies, the next process knows what may
have happened. It holds no token and no text of a request or an answer.

The journal is the rollback journal, synced in full (`synchronous=EXTRA`), not WAL: most builds of Python carry
a SQLite whose WAL can lose a commit when it is reset (fixed in 3.51.3), and a few hundred commits per job do
not need it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Container, Generator
from contextlib import contextmanager, suppress
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import msgspec

from overlay.errors import LedgerError, StorageError
from overlay.jobs.changes import Change, Journal, apply
from overlay.jobs.migrations import MIGRATIONS, seal_of
from overlay.jobs.records import JobOptions, JobRecord, LostFile, Unit, UnitKey
from overlay.lines import storage_errors
from overlay.private import check_owner, open_private

if TYPE_CHECKING:
    import sqlite3

R = TypeVar("R", JobRecord, Unit)
APPLICATION_ID = 0x4F564C59
"""What marks a SQLite file as a ledger: "OVLY"."""


# Result codes of https://sqlite.org/rescode.html after which the file may be sound: no permission, busy, locked, no
# memory, read-only, interrupted, I/O error, disk full, cannot open.
_SOUND = frozenset({3, 5, 6, 7, 8, 9, 10, 13, 14})
_PRIMARY = 0xFF
_LARGEST_BYTES = 1024**3
"""A million units take half of it; a larger file is none of ours, and would take hours to check."""
_RECOVER = "`overlay jobs recover` rebuilds it from the service's records"


_NO_JOB = Change("clear", "job")


def _page_size(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA page_size").fetchone()[0])


class Ledger:
    """An open ledger. Threads may share it; each method is one transaction."""

    def __init__(self, path: Path, *, create: bool = False, journal: Journal | None = None) -> None:
        """Open a ledger. Its changes are kept in `journal`, too, before they are committed here."""
        import sqlite3  # noqa: PLC0415 - not loaded by `import overlay`

        self._sqlite = sqlite3
        self.path = path
        self._guard = threading.RLock()
        self._within = False
        self._saved: dict[UnitKey, Unit] | None = None
        self._journal = journal
        self._changes: list[Change] = []
        self._broken: BaseException | None = None
        """What kept the journal and this file from being the same: nothing is changed any more."""
        self._check_file(path, create=create)
        with self._translated():
            self._db = self._sqlite.connect(path, check_same_thread=False, isolation_level=None, timeout=30)
        try:
            with self._translated():
                self._prepare(create=create)
        except BaseException:
            self._db.close()
            raise

    def _check_file(self, path: Path, *, create: bool) -> None:
        """SQLite makes files that others may read, and follows every link."""
        with storage_errors(path):
            if create:
                os.close(open_private(path, os.O_RDWR | os.O_CREAT))
            try:
                size = check_owner(path).st_size
            except (FileNotFoundError, NotADirectoryError):
                raise LedgerError(f"{path}: the ledger is missing; {_RECOVER}", path=path) from None
            if size > _LARGEST_BYTES:
                raise LedgerError(f"{path}: {size:,} bytes, larger than any ledger; {_RECOVER}", path=path)

    def _prepare(self, *, create: bool) -> None:
        self._db.row_factory = self._sqlite.Row
        self._db.execute("PRAGMA trusted_schema=OFF")
        self._db.execute(f"PRAGMA max_page_count={_LARGEST_BYTES // _page_size(self._db)}")
        self._db.execute("PRAGMA journal_mode=DELETE")
        self._db.execute("PRAGMA synchronous=EXTRA")
        if create:
            self._db.execute(f"PRAGMA application_id={APPLICATION_ID}")
        elif self._db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
            raise LedgerError(f"{self.path}: not a ledger of this SDK", path=self.path)
        if self._version() > len(MIGRATIONS):
            raise LedgerError(
                f"{self.path}: written by a newer version of this SDK (ledger version {self._version()}); upgrade",
                path=self.path,
            )
        if not create and self._db.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise self._damaged("damaged")
        if self._version() < len(MIGRATIONS):
            with self.transaction():
                # Asked again: another process may have been first.
                for migrate in MIGRATIONS[self._version() :]:
                    migrate(self._db)
                self._db.execute(f"PRAGMA user_version={len(MIGRATIONS)}")

    def _version(self) -> int:
        return int(self._db.execute("PRAGMA user_version").fetchone()[0])

    @contextmanager
    def _translated(self) -> Generator[None]:
        try:
            yield
        except UnicodeDecodeError as error:  # of a column's name
            raise self._damaged(str(error)) from error
        except self._sqlite.Error as error:
            closed = isinstance(error, self._sqlite.ProgrammingError)
            if closed or getattr(error, "sqlite_errorcode", 0) & _PRIMARY in _SOUND:
                raise StorageError(f"{self.path}: {error}", path=self.path) from error
            raise self._damaged(str(error)) from error

    def _damaged(self, how: str) -> LedgerError:
        return LedgerError(f"{self.path}: {how}; {_RECOVER}", path=self.path)

    @contextmanager
    def transaction(self) -> Generator[None]:
        """Everything the block does, or nothing. It is on disk when the block ends."""
        with self._guard, self._translated():
            if self._within:
                yield  # the outermost one commits
                return
            if self._broken is not None:
                raise self._broken
            self._within = True
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield
                self._commit()
            except BaseException:
                self._saved = None
                # After some errors, a full disk among them, SQLite has rolled back by itself.
                if self._db.in_transaction:
                    with suppress(self._sqlite.Error):
                        self._db.execute("ROLLBACK")
                raise
            finally:
                self._within = False
                self._changes.clear()

    def _commit(self) -> None:
        if self._journal is None or not self._changes:
            self._db.execute("COMMIT")
            return
        try:
            self._journal.append(list(self._changes))
            self._db.execute("COMMIT")
        except BaseException as error:
            self._broken = error
            raise
        self._journal.appended()

    def image(self) -> bytes:
        """The ledger as it is, as bytes of a file."""
        with self._guard, self._translated():
            return self._db.serialize()

    def close(self) -> None:
        with self._guard, suppress(self._sqlite.Error):  # what was committed is on disk
            self._db.close()

    def _select(self, query: str, *values: Any) -> list[sqlite3.Row]:
        with self._guard, self._translated():
            return self._db.execute(query, values).fetchall()

    def _put(self, table: str, row: Any, *, once: bool = False) -> None:
        """Store a record, in place of one of the same key; `once` keeps that instead."""
        self._make(_change(table, attrs.asdict(row), once=once))

    def _make(self, change: Change) -> None:
        apply(self._db, change)
        if self._journal is not None:
            self._changes.append(change)

    def _rows(self, table: str) -> list[dict[str, Any]]:
        """What `_put` stored in a table. Raises LedgerError if any of it has changed."""
        return [self._unsealed(row) for row in self._select(f"SELECT * FROM {table}")]  # noqa: S608 - names are ours

    def _unsealed(self, row: sqlite3.Row) -> dict[str, Any]:
        values = dict(row)
        seal = values.pop("seal", None)
        if seal is not None and seal != seal_of(values):
            raise self._damaged("damaged, a record does not match its checksum")
        return values

    def job(self) -> JobRecord:
        rows = self._select("SELECT * FROM job")
        if len(rows) != 1:
            raise self._damaged(f"holds {len(rows)} jobs instead of one")
        return self._got(JobRecord, rows[0])

    def _got(self, kind: type[R], row: sqlite3.Row) -> R:
        """What `_put` stored. Raises LedgerError if it has changed."""
        values = self._unsealed(row)
        try:
            if "options" in values:
                values["options"] = JobOptions(**msgspec.json.decode(values["options"]))
            return kind(**values)
        except (TypeError, ValueError, msgspec.MsgspecError) as error:
            raise self._damaged(f"damaged, a record cannot be read ({error})") from error

    def save_job(self, job: JobRecord) -> None:
        with self.transaction():
            self._make(_NO_JOB)
            self._put("job", job)

    def units(self) -> list[Unit]:
        """All units, in order, for the caller to change."""
        return [copy(unit) for unit in self.saved()]

    def saved(self) -> list[Unit]:
        """The same, but not to be changed. They are read only once: the holder of the job's lock may ask for them
        at every event of a job of thousands of shards.
        """
        with self._guard:
            if self._saved is None:
                rows = self._select("SELECT * FROM unit")
                self._saved = {unit.key: unit for unit in (self._got(Unit, row) for row in rows)}
            return [self._saved[key] for key in sorted(self._saved)]

    def units_beyond(self, known: Container[UnitKey]) -> list[Unit]:
        """The units whose keys are not among those, for the caller to change."""
        return [copy(unit) for unit in self.saved() if unit.key not in known]

    def has(self, key: UnitKey) -> bool:
        """Whether there is such a unit."""
        with self._guard:
            if self._saved is None:
                self.saved()
            return key in (self._saved or ())

    def save(self, *units: Unit) -> None:
        with self.transaction():
            for unit in units:
                self._put("unit", unit)
                if self._saved is not None:
                    self._saved[unit.key] = copy(unit)

    def spend(self, batch_id: str, why: str) -> None:
        with self.transaction():
            self._make(_change("spent", {"batch_id": batch_id, "why": why}, once=True))

    def spent(self) -> dict[str, str]:
        return {row["batch_id"]: row["why"] for row in self._rows("spent")}

    def lose(self, file: LostFile) -> None:
        with self.transaction():
            self._put("lost", file, once=True)

    def lost(self) -> list[LostFile]:
        return [LostFile(**row) for row in self._rows("lost")]

    def litter(self) -> list[str]:
        return [row["file_id"] for row in self._rows("litter")]

    def add_litter(self, *file_ids: str | None) -> None:
        with self.transaction():
            for name in filter(None, file_ids):
                self._make(_change("litter", {"file_id": name}, once=True))

    def remove_litter(self, file_id: str) -> None:
        with self.transaction():
            self._make(Change("drop", "litter", {"file_id": file_id}))


def job_changes(job: JobRecord) -> list[Change]:
    """What makes a job the one of a ledger."""
    return [_NO_JOB, _change("job", attrs.asdict(job))]


def _change(table: str, values: dict[str, Any], *, once: bool = False) -> Change:
    """The row with these values, sealed, in place of one of the same key; `once` keeps that instead."""
    if "options" in values:
        values["options"] = msgspec.json.encode(values["options"]).decode()
    values["seal"] = seal_of(values)
    return Change("keep" if once else "put", table, values)
