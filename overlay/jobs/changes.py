"""Changes of a ledger as data, so that they can be kept elsewhere, and made again."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

if TYPE_CHECKING:
    import sqlite3

_TABLES = frozenset({"job", "unit", "spent", "lost", "litter"})
_NAME = re.compile(r"[a-z][a-z0-9_]*")


class Change(msgspec.Struct, frozen=True, array_like=True):
    """One change of one table.

    - `put` a row, in place of one of the same key; `keep` does so only if there is none;
    - `drop` the rows that have these values;
    - `clear` the table.
    """

    do: Literal["put", "keep", "drop", "clear"]
    table: str
    row: dict[str, Any] = {}


class Journal(Protocol):
    """Where the changes of a ledger are kept, too."""

    def append(self, changes: list[Change]) -> None:
        """Keep the changes of one commit, all or none. What is raised stops the commit, and all that follow."""
        ...

    def appended(self) -> None:
        """What was appended is in the ledger now."""
        ...


def apply(db: sqlite3.Connection, change: Change) -> None:
    """Make a change. Raises ValueError for one that is of no ledger."""
    table, names = change.table, list(change.row)
    if table not in _TABLES or not all(map(_NAME.fullmatch, names)):
        raise ValueError(f"a change of {table!r:.60} is not of a ledger")
    if change.do == "clear":
        statement = f"DELETE FROM {table}"  # noqa: S608 - one of our tables
    elif change.do == "drop":
        statement = f"DELETE FROM {table} WHERE {' AND '.join(f'{name} = ?' for name in names)}"  # noqa: S608 - checked names
    else:
        otherwise = "IGNORE" if change.do == "keep" else "REPLACE"
        marks = ", ".join("?" for _ in names)
        statement = f"INSERT OR {otherwise} INTO {table} ({', '.join(names)}) VALUES ({marks})"  # noqa: S608 - checked names
    db.execute(statement, tuple(change.row.values()))
