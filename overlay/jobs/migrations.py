"""How ledgers of earlier versions become what this one reads, and the checksum that each of their rows carries."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlite3


def seal_of(values: Mapping[str, Any]) -> int:
    """A checksum of a row, the same for a number whether it is stored as an integer or a float.

    NULLs do not count, so that columns can be appended.
    """
    plain = [
        (name, float(value) if isinstance(value, int | float) else value)
        for name, value in values.items()
        if value is not None
    ]
    return zlib.crc32(repr(plain).encode())


def _first(db: sqlite3.Connection) -> None:
    db.execute(
        "CREATE TABLE job (id TEXT, digest TEXT, base_url TEXT, created_at REAL, requests INTEGER, options TEXT,"
        " state TEXT, duplicates_cancelled INTEGER)"
    )
    db.execute(
        "CREATE TABLE unit (shard INTEGER, generation INTEGER, state TEXT, endpoint TEXT, model TEXT,"
        " requests INTEGER, shard_requests INTEGER, bytes INTEGER, tokens INTEGER, sha256 TEXT, file_id TEXT,"
        " file_created_at INTEGER, batch_id TEXT, creating_at REAL, created_at REAL, status TEXT,"
        " completed INTEGER, failed INTEGER, ok INTEGER, missing INTEGER, input_tokens INTEGER,"
        " output_tokens INTEGER, strays INTEGER, PRIMARY KEY (shard, generation)) WITHOUT ROWID"
    )
    # Batches that are not to be adopted: refused ones, and duplicates that were cancelled.
    db.execute("CREATE TABLE spent (batch_id TEXT PRIMARY KEY, why TEXT) WITHOUT ROWID")
    # Files of ours at the service that nothing needs any more.
    db.execute("CREATE TABLE litter (file_id TEXT PRIMARY KEY) WITHOUT ROWID")
    db.execute("CREATE TABLE created (at REAL)")
    db.execute("CREATE TABLE cap (model TEXT PRIMARY KEY, tokens INTEGER) WITHOUT ROWID")


def _second(db: sqlite3.Connection) -> None:
    # By default a page of SQLite has no checksum: what the disk has corrupted must not be acted on.
    for table in ("job", "unit"):
        db.execute(f"ALTER TABLE {table} ADD COLUMN seal INTEGER")
    db.execute("ALTER TABLE job ADD COLUMN swept INTEGER DEFAULT 0")
    db.execute(
        "CREATE TABLE lost (file_id TEXT PRIMARY KEY, file_created_at INTEGER, shard INTEGER, generation INTEGER)"
        " WITHOUT ROWID"
    )


def _third(db: sqlite3.Connection) -> None:
    db.execute("ALTER TABLE unit ADD COLUMN adopted TEXT")


def _fourth(db: sqlite3.Connection) -> None:
    # Parts of a shard: the primary key gets a third column, which takes a new table.
    columns = (
        "shard INTEGER, generation INTEGER, part INTEGER, state TEXT, endpoint TEXT, model TEXT, requests INTEGER,"
        " shard_requests INTEGER, bytes INTEGER, tokens INTEGER, sha256 TEXT, file_id TEXT,"
        " file_created_at INTEGER, batch_id TEXT, creating_at REAL, created_at REAL, status TEXT,"
        " completed INTEGER, failed INTEGER, ok INTEGER, missing INTEGER, input_tokens INTEGER,"
        " output_tokens INTEGER, strays INTEGER, adopted TEXT, nonce TEXT, looks INTEGER, problem TEXT,"
        " inputs INTEGER"
    )
    names = [column.split()[0] for column in columns.split(", ")]
    rows = [dict(row) for row in db.execute("SELECT * FROM unit")]
    db.execute("DROP TABLE unit")
    db.execute(
        f"CREATE TABLE unit ({columns}, seal INTEGER, PRIMARY KEY (shard, generation, part)) WITHOUT ROWID"
    )
    for row in rows:
        seal = row.pop("seal")
        kept = {name: row.get(name) for name in names} | {"part": 0, "looks": 0, "inputs": 0}
        # A row whose seal was broken gets none that fits: it is found out when it is read.
        sealed = seal_of(kept) if seal in (None, seal_of(row)) else -1
        marks = ", ".join("?" for _ in (*names, "seal"))
        db.execute(f"INSERT INTO unit VALUES ({marks})", (*kept.values(), sealed))  # noqa: S608 - marks only
    db.execute("ALTER TABLE job ADD COLUMN home TEXT")
    db.execute("ALTER TABLE job ADD COLUMN last_error TEXT")
    db.execute("ALTER TABLE lost ADD COLUMN part INTEGER DEFAULT 0")


def _seals_everywhere(db: sqlite3.Connection) -> None:
    # What is spent, lost or litter decides over batches and files, too.
    keys = {"spent": "batch_id", "litter": "file_id", "created": "rowid", "cap": "model", "lost": "file_id"}
    for table, key in keys.items():
        rows = [(row[0], dict(row)) for row in db.execute(f"SELECT {key}, * FROM {table}")]  # noqa: S608 - ours
        db.execute(f"ALTER TABLE {table} ADD COLUMN seal INTEGER")
        for name, row in rows:
            row.pop("rowid", None)
            db.execute(f"UPDATE {table} SET seal = ? WHERE {key} = ?", (seal_of(row), name))  # noqa: S608 - ours


def _sixth(db: sqlite3.Connection) -> None:
    db.execute("ALTER TABLE unit ADD COLUMN trouble TEXT")


def _seventh(db: sqlite3.Connection) -> None:
    db.execute("ALTER TABLE job ADD COLUMN counted_by TEXT")


def _names_and_retries(db: sqlite3.Connection) -> None:
    db.execute("ALTER TABLE job ADD COLUMN source TEXT")
    db.execute("ALTER TABLE unit ADD COLUMN attempts_from INTEGER")


def _sources(db: sqlite3.Connection) -> None:
    db.execute("ALTER TABLE unit ADD COLUMN source TEXT")


def _checks(db: sqlite3.Connection) -> None:
    for column in ("checked", "second_tries"):
        db.execute(f"ALTER TABLE job ADD COLUMN {column} INTEGER")


def _uploaded_shards(db: sqlite3.Connection) -> None:
    db.execute("ALTER TABLE job ADD COLUMN uploaded TEXT")
    db.execute("ALTER TABLE unit ADD COLUMN staged TEXT")


def _ends(db: sqlite3.Connection) -> None:
    for column in ("told", "notified"):
        db.execute(f"ALTER TABLE job ADD COLUMN {column} TEXT")


MIGRATIONS: list[Callable[[sqlite3.Connection], None]] = [
    _first,
    _second,
    _third,
    _fourth,
    _seals_everywhere,
    _sixth,
    _seventh,
    _names_and_retries,
    _sources,
    _checks,
    _uploaded_shards,
    _ends,
]
"""Append, never edit: a ledger's version is how many of these it has been through."""
