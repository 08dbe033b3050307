"""Answers that nobody claims: their ids came back as null, or changed, while requests have no answer.

They were paid for. Where there are as many as requests without an answer, they can be matched by order, if the
service keeps it; whether it does is for the caller to decide.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, TypeAlias

import attrs

from overlay.errors import ConfigurationError
from overlay.results.line_index import CLAIMED, NAMELESS, REPEATED, STRAY, UNCLAIMED, LineIndex
from overlay.results.reading import failure_of
from overlay.results.result import Result
from overlay.results.shapes import custom_id_bytes

Match: TypeAlias = Literal["custom_id", "order"]
"""How answers find their requests: by their custom_id alone, or those that name no request by their order, too."""
MATCHES = ("custom_id", "order")


def checked_match(match: str) -> None:
    """Raises ConfigurationError."""
    if match not in MATCHES:
        raise ConfigurationError(f'match must be "custom_id" or "order", not {match!r:.200}')


@attrs.frozen
class Unclaimed:
    """The lines that name no request, and the requests without an answer."""

    requests: int
    missing: int
    entries: list[int]
    """The lines, in the order of the files."""
    holds_answers: bool
    """Whether one of them is the answer to some request: the others only say that something failed."""
    _index: LineIndex

    @property
    def may_be_missed(self) -> bool:
        """Whether these may be the very answers that are missing."""
        return self.holds_answers and 0 < self.missing <= len(self.entries)

    def results(self) -> Iterator[Result]:
        return map(self._index.read, self.entries)


def unclaimed(custom_ids: Iterable[bytes], index: LineIndex) -> Unclaimed:
    """Compare all requests with all lines."""
    requests = missing = 0
    claimed: set[int] = {entry for entry, fate in enumerate(index.fates) if fate == CLAIMED}
    for custom_id in custom_ids:
        requests += 1
        found = index.find(custom_id)
        if found is None:
            missing += 1
        else:
            claimed.add(found[0])
    entries = [
        entry
        for entry in index.entries(UNCLAIMED, NAMELESS, REPEATED, STRAY)
        if entry not in claimed and not _repeats(entry, index, claimed)
    ]
    holds_answers = any(failure_of(index.read(entry).raw) is None for entry in entries)
    return Unclaimed(requests, missing, entries, holds_answers, index)


def _repeats(entry: int, index: LineIndex, claimed: set[int]) -> bool:
    """Whether a line is another answer to a request that has one."""
    if index.fates[entry] not in (REPEATED, STRAY):
        return False
    custom_id = custom_id_bytes(index.read(entry).raw)
    found = None if custom_id is None else index.find(custom_id)
    return found is not None and found[0] in claimed
