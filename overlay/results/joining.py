"""Answers matched to requests, in memory that does not grow with the size of the answers.

The answers are read once to index their lines; then each line is read from disk in the order of the requests.
If several lines answer one request, equal ones are counted and one is kept; of different ones the first success
is kept, and the conflict is recorded. At the first request without an answer, it is decided what becomes of lines
that name no request.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Self, TypeAlias

import attrs

from overlay.errors import InvalidInputError, Problem, ResultError
from overlay.lines import LINE_BYTES, open_lines, split
from overlay.results.line_index import CLAIMED, NAMELESS, REPEATED, STRAY, UNCLAIMED, LineIndex
from overlay.results.matching import Match, Unclaimed, unclaimed
from overlay.results.result import Result, missing_result, renamed
from overlay.results.shapes import BEGINNING, MALFORMED, custom_id_bytes

Refuse: TypeAlias = Callable[[Unclaimed], Exception | None]
"""What to raise because of lines that name no request; None to go on."""


@attrs.define(kw_only=True)
class JoinReport:
    """What joining found. Complete once the results have been iterated to the end."""

    ok: int = 0
    failed: int = 0
    """Results that are not `ok`, the missing ones among them."""
    missing: int = 0
    """Requests that no line answers."""
    duplicates: int = 0
    """Lines that repeat another line."""
    conflicts: list[str] = attrs.field(factory=list[str])
    """The custom_ids that were answered in different ways, in the order found."""
    unknown: int = 0
    """Lines with a custom_id that no request has."""
    malformed: int = 0
    """Lines that cannot be read."""

    @property
    def total(self) -> int:
        """Requests, and so results."""
        return self.ok + self.failed


class JoinedResults:
    """An iterator over one result for each request; `report` says what was found.

    It holds the answer files open until it is closed, its `with` block is left, or it is dropped.
    """

    def __init__(
        self,
        requests: str | os.PathLike[str] | Iterable[str],
        answers: Iterable[str | os.PathLike[str]],
        *,
        line_bytes: int = LINE_BYTES,
        match: Match = "custom_id",
        refuse: Refuse | None = None,
    ) -> None:
        self.report = JoinReport()
        self._index = LineIndex(line_bytes)
        self._conflicting: set[bytes] = set()
        self._stack = ExitStack()
        # Tied to the index, which is all that a running iteration keeps alive.
        weakref.finalize(self._index, self._stack.close)
        order = partial(_order, requests, line_bytes)
        # What can be gone through only once cannot be compared beforehand.
        compares = (match == "order" or refuse is not None) and not isinstance(requests, Iterator)
        spare = partial(_spare, order, self._index, match, refuse) if compares else list[int]
        self._results = _join(order(), self._index, self.report, spare)
        try:
            for path in answers:
                file = self._stack.enter_context(open_lines(Path(path)))
                for entry, custom_id, line in self._index.scan(file):
                    self._settle(entry, custom_id, line)
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[Result]:
        return self._results  # and not self: one call fewer for each result

    def __next__(self) -> Result:
        return next(self._results)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files."""
        self._results.close()
        self._stack.close()

    def strays(self) -> Iterator[Result]:
        """The lines that match no request: with an unknown custom_id, with none, or the losers of a conflict.

        Complete once the results have been iterated to the end; read them before `close`.
        """
        for entry in self._index.entries(UNCLAIMED, NAMELESS, STRAY):
            yield self._index.read(entry)

    def _settle(self, entry: int, custom_id: bytes | None, line: bytes) -> None:
        """Decide on a line that names no request, or one that has an answer already."""
        found = None if custom_id is None else self._index.find(custom_id)
        if custom_id is None or found is None:
            self.report.malformed += 1
            self._index.fates[entry] = NAMELESS
            return
        kept, other = found[1], Result(line)
        if _same_answer(kept, other):
            self.report.duplicates += 1
            self._index.fates[entry] = REPEATED
            return
        if custom_id not in self._conflicting:
            self._conflicting.add(custom_id)
            self.report.conflicts.append(kept.custom_id or "")
        if other.ok and not kept.ok:
            self._index.replace(found[0], entry)
            entry = found[0]
        self._index.fates[entry] = STRAY


def _join(
    custom_ids: Iterable[bytes], index: LineIndex, report: JoinReport, find_spare: Callable[[], list[int]]
) -> Generator[Result]:
    spare: Iterator[int] | None = None
    for custom_id in custom_ids:
        found = index.find(custom_id)
        if found is None:
            spare = iter(find_spare()) if spare is None else spare
            entry = next(spare, None)
            if entry is None:
                result = missing_result(custom_id.decode("utf-8", "replace"))
                report.missing += 1
            else:
                result = renamed(index.read(entry), custom_id.decode("utf-8", "replace"))
                report.malformed -= index.fates[entry] == NAMELESS
                index.fates[entry] = CLAIMED
        else:
            entry, result = found
            index.fates[entry] = CLAIMED
        error = result.error
        if error is None:
            report.ok += 1
        else:
            report.failed += 1
            report.malformed += error.code == MALFORMED
        yield result
    report.unknown = sum(1 for _ in index.entries(UNCLAIMED))


def _spare(
    order: Callable[[], Iterable[bytes]], index: LineIndex, match: Match, refuse: Refuse | None
) -> list[int]:
    """The lines that go to the requests without an answer, in their order; raises what `refuse` says."""
    if match != "order" and sum(1 for _ in index.lines()) < sum(1 for _ in order()):
        return []  # whoever claims them, there are not enough: all need not be compared
    found = unclaimed(order(), index)
    if match == "order" and len(found.entries) == found.missing:
        return found.entries
    error = refuse(found) if refuse is not None else None
    if error is not None:
        raise error
    return []


def _order(requests: str | os.PathLike[str] | Iterable[str], line_bytes: int) -> Iterator[bytes]:
    if not isinstance(requests, str | os.PathLike):
        yield from (custom_id.encode("utf-8", "replace") for custom_id in requests)
        return
    path = Path(requests)
    with open_lines(path) as file:
        for number, line in enumerate(split(file, line_bytes), start=1):
            found = BEGINNING.match(line)
            custom_id = found[1] if found else custom_id_bytes(line)
            if custom_id is None:
                raise InvalidInputError(path, [Problem(number, "no custom_id can be read")])
            yield custom_id


def _same_answer(one: Result, other: Result) -> bool:
    """Whether two lines differ only in the ids, which change when a line is written twice."""
    if one.raw == other.raw:
        return True
    with suppress(ResultError):  # bodies nested too deep to be compared
        return (one.status_code, one.error, one.body) == (other.status_code, other.error, other.body)
    return False
