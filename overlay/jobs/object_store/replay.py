"""The ledger of a job, made anew from its log."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path

import msgspec

from overlay.errors import LedgerError
from overlay.jobs.changes import Change, apply
from overlay.jobs.ledger import APPLICATION_ID
from overlay.jobs.migrations import MIGRATIONS


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One commit of a ledger."""

    id: str
    """No two commits have the same, so that an owner knows its own."""
    version: int
    """Of the ledger: how many migrations it had been through."""
    changes: list[Change]


def replay(path: Path, entries: Iterable[Entry]) -> None:
    """Make the changes of commits, in order, in the ledger at `path`, or in a new one.

    Raises LedgerError if they cannot be made, or are by a newer version of this SDK.
    """
    try:
        db = sqlite3.connect(path, isolation_level=None)
        try:
            db.row_factory = sqlite3.Row
            db.execute("PRAGMA trusted_schema=OFF")
            db.execute("PRAGMA synchronous=OFF")  # a copy: what a crash leaves of it is made anew
            db.execute(f"PRAGMA application_id={APPLICATION_ID}")
            db.execute("BEGIN")
            for entry in entries:
                _migrate(db, entry.version)
                for change in entry.changes:
                    apply(db, change)
            db.execute("COMMIT")
        finally:
            db.close()
    except (sqlite3.Error, ValueError) as error:
        raise LedgerError(f"{path}: its log cannot be read: {error}", path=path) from error


def _migrate(db: sqlite3.Connection, version: int) -> None:
    """As the owner did that wrote what follows."""
    known = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version > len(MIGRATIONS):
        raise ValueError(f"it was written by a newer version of this SDK (ledger version {version}); upgrade")
    if version > known:
        for migrate in MIGRATIONS[known:version]:
            migrate(db)
        db.execute(f"PRAGMA user_version={version}")
