"""What is known of an account, by all jobs of a home folder: limits that were learned, and what is in use.

One small database in the home, `accounts.db`. An account is a base URL, a key (as a salted fingerprint, never the
key itself), and, if they are sent, an organization and a project. No job depends on it: where the database is
damaged or gone, the limits are learned again.

A batch that may be running holds a row, which its job renews on each round. Rows that are not renewed do not count.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import attrs

from overlay.errors import StorageError
from overlay.jobs.records import JobOptions, Unit, UnitKey
from overlay.private import make_file
from overlay.wire.connection import Settings

if TYPE_CHECKING:
    import sqlite3

_HOUR = 3600.0
_STATED_SECONDS = 3600.0
"""How long a limit that the service stated is believed: accounts rise to higher tiers."""
_RENEWED_SECONDS = 180.0
"""A job that is worked on renews its rows at least this often. What became of the batches of others is unknown, and
they do not count: at worst the service refuses a batch, which costs nothing."""
_GROWTH = 10
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS salt (value TEXT)",
    """CREATE TABLE IF NOT EXISTS cap (account TEXT, model TEXT, tokens INTEGER, stated INTEGER, at REAL,
    PRIMARY KEY (account, model)) WITHOUT ROWID""",
    "CREATE TABLE IF NOT EXISTS live_cap (account TEXT PRIMARY KEY, batches INTEGER, at REAL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS created (account TEXT, at REAL)",
    """CREATE TABLE IF NOT EXISTS held (account TEXT, job TEXT, shard INTEGER, generation INTEGER, part INTEGER,
    model TEXT, tokens INTEGER, inputs INTEGER, at REAL, PRIMARY KEY (account, job, shard, generation, part))
    WITHOUT ROWID""",
)
_ROOM = "SELECT count(*), total(tokens), total(inputs) FROM held WHERE account = ? AND at > ?"


@attrs.frozen
class InUse:
    """What batches that may be running hold together."""

    batches: int
    tokens: int
    inputs: int


class Account:
    """One account, seen from one job. Threads may share it. Raises StorageError."""

    def __init__(self, settings: Settings, job_id: str) -> None:
        import sqlite3  # noqa: PLC0415 - not loaded by `import overlay`

        self._sqlite = sqlite3
        self._path = settings.home / "accounts.db"
        self._job = job_id
        self._guard = threading.RLock()
        try:
            self._open()
        except self._sqlite.DatabaseError:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
            with self._translated():
                self._open()
        self._account = self._fingerprint(settings)

    def _open(self) -> None:
        with suppress(FileExistsError):
            make_file(self._path)
        self._db = self._sqlite.connect(self._path, check_same_thread=False, isolation_level=None, timeout=30)
        try:
            self._db.execute("PRAGMA trusted_schema=OFF")
            self._db.execute("BEGIN IMMEDIATE")
            for statement in _SCHEMA:
                self._db.execute(statement)
            if self._db.execute("SELECT count(*) FROM salt").fetchone()[0] == 0:
                self._db.execute("INSERT INTO salt VALUES (?)", (secrets.token_hex(16),))
            self._db.execute("COMMIT")
        except BaseException:
            self._db.close()
            raise

    def _fingerprint(self, settings: Settings) -> str:
        with self._translated():
            (salt,) = self._db.execute("SELECT value FROM salt").fetchone()
        scope = sorted((name.lower(), value) for name, value in settings.headers.items())
        key = settings.tokens.identity
        return hashlib.sha256(repr((salt, settings.base_url, key, scope)).encode()).hexdigest()[:24]

    def close(self) -> None:
        with self._guard:
            self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _translated(self) -> Generator[None]:
        try:
            yield
        except self._sqlite.Error as error:
            raise StorageError(f"{self._path}: {error}", path=self._path) from error

    @contextmanager
    def _transaction(self) -> Generator[sqlite3.Connection]:
        with self._guard, self._translated():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _one(self, query: str, *values: Any) -> Any:
        with self._guard, self._translated():
            return self._db.execute(query, values).fetchone()

    def hold(self, units: Sequence[Unit], now: float) -> None:
        """Note which of the job's batches may be running, in place of what was noted before."""
        with self._transaction() as db:
            db.execute("DELETE FROM held WHERE account = ? AND job = ?", (self._account, self._job))
            db.execute("DELETE FROM held WHERE at < ?", (now - _RENEWED_SECONDS,))
            self._insert(db, units, now)

    def _insert(self, db: sqlite3.Connection, units: Sequence[Unit], now: float) -> None:
        rows = [
            (self._account, self._job, *unit.key, unit.model or "", unit.tokens, unit.inputs, now)
            for unit in units
        ]
        db.executemany("INSERT OR REPLACE INTO held VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def recall(self, created: Sequence[float], now: float) -> None:
        """Note when batches were created, if nothing is known of that: this home folder is new."""
        lately = [(self._account, at) for at in created if now - _HOUR <= at <= now]
        with self._transaction() as db:
            known = db.execute("SELECT 1 FROM created WHERE account = ? LIMIT 1", (self._account,)).fetchone()
            if known is None:
                db.executemany("INSERT INTO created VALUES (?, ?)", lately)

    def admit(self, wanted: Sequence[Unit], options: JobOptions, now: float) -> list[Unit]:
        """Those of the units that may be created now, which hold their place from here on."""
        admitted: list[Unit] = []
        with self._transaction() as db:
            db.execute("DELETE FROM created WHERE at < ? OR at > ?", (now - _HOUR, now))
            (recent,) = db.execute(
                "SELECT count(*) FROM created WHERE account = ?", (self._account,)
            ).fetchone()
            for unit in wanted:
                if recent + len(admitted) >= options.max_creates_per_hour:
                    break
                if self._has_room(unit, options, now):
                    self._insert(db, [unit], now)
                    admitted.append(unit)
            db.executemany("INSERT INTO created VALUES (?, ?)", [(self._account, now)] * len(admitted))
        return admitted

    def _has_room(self, unit: Unit, options: JobOptions, now: float) -> bool:
        everything, model = self.in_use(now), self.in_use(now, model=unit.model or "")
        batches = min(options.max_batches or float("inf"), self.batches() or float("inf"))
        tokens = min(
            options.max_enqueued_tokens or float("inf"), self.tokens(unit.model or "", now) or float("inf")
        )
        inputs = options.max_enqueued_inputs or float("inf")
        # A unit that is over a limit all by itself can only be tried.
        return (
            everything.batches < batches
            and (not model.tokens or model.tokens + unit.tokens <= tokens)
            and (not unit.inputs or not everything.inputs or everything.inputs + unit.inputs <= inputs)
        )

    def in_use(self, now: float, *, model: str | None = None, without: UnitKey | None = None) -> InUse:
        """What batches that may be running hold, of one model or all; `without` leaves out a unit of this job."""
        query, values = _ROOM, [self._account, now - _RENEWED_SECONDS]
        if model is not None:
            query, values = f"{query} AND model = ?", [*values, model]
        if without is not None:
            query = f"{query} AND NOT (job = ? AND shard = ? AND generation = ? AND part = ?)"
            values = [*values, self._job, *without]
        batches, tokens, inputs = self._one(query, *values)
        return InUse(batches, int(tokens), int(inputs))

    def tokens(self, model: str, now: float) -> int | None:
        """The tokens that batches of a model may hold, where that was learned."""
        row = self._one(
            "SELECT tokens, stated, at FROM cap WHERE account = ? AND model = ?", self._account, model
        )
        if row is None or (row[1] and not 0 <= now - row[2] < _STATED_SECONDS):
            return None
        return int(row[0])

    def learn_tokens(self, model: str, tokens: int, *, stated: bool, now: float) -> None:
        with self._transaction() as db:
            values = (self._account, model, tokens, stated, now)
            db.execute("INSERT OR REPLACE INTO cap VALUES (?, ?, ?, ?, ?)", values)

    def grow(self, model: str) -> None:
        """A batch of the model has ended: where its limit is a guess, try a little more."""
        with self._transaction() as db:
            grown = (
                "UPDATE cap SET tokens = tokens + tokens / ? WHERE account = ? AND model = ? AND NOT stated"
            )
            db.execute(grown, (_GROWTH, self._account, model))

    def batches(self) -> int | None:
        """How many batches may run at a time, where that was learned."""
        row = self._one("SELECT batches FROM live_cap WHERE account = ?", self._account)
        return None if row is None else int(row[0])

    def learn_batches(self, batches: int, now: float) -> None:
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO live_cap VALUES (?, ?, ?)", (self._account, batches, now))


def remove_job(path: Path, job_id: str) -> None:
    """Let go of what a deleted job held."""
    import sqlite3  # noqa: PLC0415 - not loaded by `import overlay`

    with suppress(sqlite3.Error, OSError):
        db = sqlite3.connect(path, isolation_level=None, timeout=5)
        try:
            db.execute("DELETE FROM held WHERE job = ?", (job_id,))
        finally:
            db.close()
