"""What differs between the requests of a job and others that were given under its id."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import attrs
import msgspec

from overlay.jobs.identity import Table, canonical
from overlay.jobs.spool import lines_of, notes_path
from overlay.requests.checks import custom_id_of

_SHORTENED = 60
_DIGEST = 16


def note(line: bytes, custom_id: str) -> bytes:
    """A request that is not kept, as a line of its digest and its custom_id."""
    return _digest(line).hex().encode() + msgspec.json.encode(custom_id) + b"\n"


def _digest(line: bytes) -> bytes:
    return hashlib.blake2b(canonical(line), digest_size=_DIGEST).digest()


@attrs.define
class _Kind:
    count: int = 0
    first: str | None = None

    def add(self, custom_id: str) -> None:
        self.count += 1
        self.first = self.first or custom_id

    def told(self, word: str) -> str | None:
        if not self.count:
            return None
        name = self.first or ""
        shown = name if len(name) <= _SHORTENED else name[:_SHORTENED] + "…"
        return f"{self.count:,} {word} ({'the first: ' * (self.count > 1)}{shown!r})"


def difference(job: Path, spool: Path) -> str:
    """How the requests that a spool notes, or keeps, differ from those of a job, in words. Raises StorageError."""
    table = Table(
        spool / "differing",
        "PRAGMA journal_mode=OFF",
        "PRAGMA synchronous=OFF",
        "CREATE TABLE request (name TEXT PRIMARY KEY, digest BLOB) WITHOUT ROWID",
        "BEGIN",
    )
    added, changed, removed = _Kind(), _Kind(), _Kind()
    try:
        for line in _requests_of(job):
            table.run("INSERT OR IGNORE INTO request VALUES (?, ?)", custom_id_of(line) or "", _digest(line))
        for name, digest in _given(spool):
            known = table.run("SELECT digest FROM request WHERE name = ?", name).fetchone()
            if known is None:
                added.add(name)
            elif known[0].hex().encode() != digest:
                changed.add(name)
            table.run("DELETE FROM request WHERE name = ?", name)
        (removed.count,) = table.run("SELECT count(*) FROM request").fetchone()
        removed.first = (table.run("SELECT min(name) FROM request").fetchone())[0]
    finally:
        table.close()
    words = (added.told("added"), changed.told("changed"), removed.told("removed"))
    return ", ".join(filter(None, words)) or "only their order differs"


def _given(spool: Path) -> Iterator[tuple[str, bytes]]:
    notes = notes_path(spool)
    if notes.exists():
        for line in lines_of(notes):
            yield msgspec.json.decode(line[2 * _DIGEST :], type=str), line[: 2 * _DIGEST]
    else:
        for line in _requests_of(spool):
            yield custom_id_of(line) or "", _digest(line).hex().encode()


def _requests_of(folder: Path) -> Iterator[bytes]:
    """The requests in a job's folder, or a spool, as they were given."""
    for path in sorted((folder / "shards").glob("*-0.jsonl")):
        yield from lines_of(path)
