"""Which custom_ids have been seen: a set of digests on disk, so that a million of them take no memory.

It is discarded after use and after a crash, so it need not be durable.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from overlay.errors import StorageError


class SeenIds:
    """Digests of ids, and the place where each was first seen."""

    def __init__(self, path: Path) -> None:
        import sqlite3  # noqa: PLC0415 - costs `import overlay` as much as httpx's own models do

        self._path = path
        self._error = sqlite3.Error
        try:
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._db.executescript(
                "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-16000;"
                "CREATE TABLE seen (id BLOB PRIMARY KEY, place INTEGER) WITHOUT ROWID; BEGIN"
            )
        except self._error as error:
            raise StorageError(f"{path}: {error}", path=path) from error

    def add(self, ids: Sequence[tuple[bytes, int]]) -> Iterator[tuple[int, int]]:
        """Add ids with their places; yields the places of those seen before, each with the first place."""
        before = self._db.total_changes
        try:
            self._db.executemany("INSERT OR IGNORE INTO seen VALUES (?, ?)", ids)
        except self._error as error:
            raise StorageError(f"{self._path}: {error}", path=self._path) from error
        if self._db.total_changes - before < len(ids):
            for name, place in ids:
                (first,) = self._db.execute("SELECT place FROM seen WHERE id = ?", (name,)).fetchone()
                if first != place:
                    yield place, first

    def close(self) -> None:
        with suppress(self._error):
            self._db.close()
        with suppress(OSError):  # it goes with its folder, at the latest
            self._path.unlink(missing_ok=True)
