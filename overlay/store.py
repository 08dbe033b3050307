"""The ledger of a job: what was promised to the service, and what came of it, in SQLite.

Every intent is committed before its request is sent, so that whatever dies, the next process knows what may
have happened. It holds no token and no text of a request or an answer.

The journal is the rollback journal, synced in full (`synchronous=EXTRA`), not WAL: most builds of Python carry
a SQLite whose WAL can lose a commit when it is reset (fixed in 3.51.3), and a few hundred commits a job do not
need it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import msgspec

from overlay.errors import LedgerError, StorageError
from overlay.records import JobOptions, JobRecord, Unit

if TYPE_CHECKING:
    import sqlite3

APPLICATION_ID = 0x4F564C59
"""What marks a SQLite file as a ledger: "OVLY"."""


def _columns(kind: type) -> str:
    types = {"int": "INTEGER", "float": "REAL"}
    names = []
    for field in attrs.fields(kind):
        base = str(field.type).removesuffix(" | None")
        names.append(f"{field.name} {types.get(base, 'TEXT')}")
    return ", ".join(names)


def _first(db: sqlite3.Connection) -> None:
    db.execute(f"CREATE TABLE job ({_columns(JobRecord)})")
    db.execute(f"CREATE TABLE unit ({_columns(Unit)}, PRIMARY KEY (shard, generation)) WITHOUT ROWID")
    # Batches that are not to be adopted: refused ones, and duplicates that were cancelled.
    db.execute("CREATE TABLE spent (batch_id TEXT PRIMARY KEY, why TEXT) WITHOUT ROWID")
    # Files of ours at the service that nothing needs any more.
    db.execute("CREATE TABLE litter (file_id TEXT PRIMARY KEY) WITHOUT ROWID")
    db.execute("CREATE TABLE created (at REAL)")
    db.execute("CREATE TABLE cap (model TEXT PRIMARY KEY, tokens INTEGER) WITHOUT ROWID")


MIGRATIONS: list[Callable[[sqlite3.Connection], None]] = [_first]
"""Append, never edit: a ledger's version is how many of these it has been through."""


class Ledger:
    """An open ledger. Threads may share it; each method is one transaction."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        import sqlite3  # noqa: PLC0415 - not loaded by `import overlay`

        self._sqlite = sqlite3
        self.path = path
        self._guard = threading.RLock()
        if not create and not path.exists():
            raise LedgerError(f"{path}: the ledger is gone; `overlay jobs recover` rebuilds it", path=path)
        with self._translated():
            self._db = self._sqlite.connect(path, check_same_thread=False, isolation_level=None, timeout=30)
        try:
            with self._translated():
                self._prepare(create=create)
        except BaseException:
            self._db.close()
            raise

    def _prepare(self, *, create: bool) -> None:
        self._db.row_factory = self._sqlite.Row
        self._db.execute("PRAGMA journal_mode=DELETE")
        self._db.execute("PRAGMA synchronous=EXTRA")
        if create:
            self._db.execute(f"PRAGMA application_id={APPLICATION_ID}")
        elif self._db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
            raise LedgerError(f"{self.path}: not a ledger of this SDK", path=self.path)
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > len(MIGRATIONS):
            raise LedgerError(
                f"{self.path}: written by a newer version of this SDK (ledger version {version}); upgrade",
                path=self.path,
            )
        if not create and self._db.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise LedgerError(f"{self.path}: damaged; `overlay jobs recover` rebuilds it", path=self.path)
        if version < len(MIGRATIONS):
            with self.transaction():
                for number, migrate in enumerate(MIGRATIONS[version:], start=version + 1):
                    migrate(self._db)
                    self._db.execute(f"PRAGMA user_version={number}")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (self._sqlite.OperationalError, OSError) as error:
            # Full, read-only, locked for too long: the file may be sound.
            raise StorageError(f"{self.path}: {error}", path=self.path) from error
        except self._sqlite.DatabaseError as error:
            raise LedgerError(
                f"{self.path}: {error}; `overlay jobs recover` rebuilds it from the service's records",
                path=self.path,
            ) from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of what the block does, or nothing of it. On the disk when the block ends."""
        with self._guard, self._translated():
            if self._db.in_transaction:
                yield
                return
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def close(self) -> None:
        with self._guard:
            self._db.close()

    def _select(self, query: str, *values: Any) -> list[sqlite3.Row]:
        with self._guard, self._translated():
            return self._db.execute(query, values).fetchall()

    def _put(self, table: str, row: Any) -> None:
        values = attrs.asdict(row)
        if "options" in values:
            values["options"] = msgspec.json.encode(values["options"]).decode()
        names = ", ".join(values)
        marks = ", ".join("?" for _ in values)
        self._db.execute(f"INSERT OR REPLACE INTO {table} ({names}) VALUES ({marks})", tuple(values.values()))  # noqa: S608 - names are ours

    def job(self) -> JobRecord:
        rows = self._select("SELECT * FROM job")
        if len(rows) != 1:
            raise LedgerError(f"{self.path}: holds {len(rows)} jobs instead of one", path=self.path)
        values = dict(rows[0])
        values["options"] = JobOptions(**msgspec.json.decode(values["options"]))
        return JobRecord(**values)

    def save_job(self, job: JobRecord) -> None:
        with self.transaction():
            self._db.execute("DELETE FROM job")
            self._put("job", job)

    def units(self) -> list[Unit]:
        return [Unit(**dict(row)) for row in self._select("SELECT * FROM unit ORDER BY shard, generation")]

    def save(self, *units: Unit) -> None:
        with self.transaction():
            for unit in units:
                self._put("unit", unit)

    def spend(self, batch_id: str, why: str) -> None:
        with self.transaction():
            self._db.execute("INSERT OR IGNORE INTO spent VALUES (?, ?)", (batch_id, why))

    def spent(self) -> dict[str, str]:
        return {row["batch_id"]: row["why"] for row in self._select("SELECT * FROM spent")}

    def litter(self) -> list[str]:
        return [row["file_id"] for row in self._select("SELECT file_id FROM litter")]

    def add_litter(self, *file_ids: str | None) -> None:
        with self.transaction():
            self._db.executemany(
                "INSERT OR IGNORE INTO litter VALUES (?)", [(name,) for name in file_ids if name]
            )

    def remove_litter(self, file_id: str) -> None:
        with self.transaction():
            self._db.execute("DELETE FROM litter WHERE file_id = ?", (file_id,))

    def count_create(self, now: float) -> None:
        with self.transaction():
            self._db.execute("DELETE FROM created WHERE at < ? OR at > ?", (now - 3600, now))
            self._db.execute("INSERT INTO created VALUES (?)", (now,))

    def creates_since(self, moment: float) -> int:
        return int(self._select("SELECT count(*) FROM created WHERE at >= ?", moment)[0][0])

    def caps(self) -> dict[str, int]:
        return {row["model"]: row["tokens"] for row in self._select("SELECT * FROM cap")}

    def learn_cap(self, model: str, tokens: int) -> None:
        with self.transaction():
            self._db.execute("INSERT OR REPLACE INTO cap VALUES (?, ?)", (model, tokens))
