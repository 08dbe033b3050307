"""Failures as people ask about them: how many of which kind, and what one of them says."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from overlay.results.result import Result
from overlay.results.shapes import NOT_YET


@attrs.frozen
class Failure:
    """The failures of one kind."""

    code: str
    """Their error code or, where they have none, `status` with their HTTP status, or `error`."""
    count: int
    custom_id: str | None
    """Which request the first of them is."""
    message: str
    """What it says."""

    def __str__(self) -> str:
        return f"{self.count:,} {self.code}, such as {self.custom_id}: {self.message}"

    def to_dict(self) -> dict[str, str | int | None]:
        """It as a dict for JSON."""
        return attrs.asdict(self)


class FailureTally:
    """Counts failures by their code."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._first: dict[str, tuple[str | None, str]] = {}

    def add(self, result: Result) -> None:
        """Count a result, if it is a failure; what has no answer so far is none."""
        error = result.error
        if error is None or error.code == NOT_YET:
            return
        status = result.status_code
        code = error.code or (f"status {status}" if status else "error")
        self._counts[code] = self._counts.get(code, 0) + 1
        self._first.setdefault(code, (result.custom_id, error.message))

    def failures(self) -> list[Failure]:
        """What was counted, the most frequent first."""
        ordered = sorted(self._counts.items(), key=lambda each: -each[1])
        return [Failure(code, count, *self._first[code]) for code, count in ordered]


def failures_in(results: Iterable[Result]) -> list[Failure]:
    """The failures among results, by their code, the most frequent first."""
    tally = FailureTally()
    for result in results:
        tally.add(result)
    return tally.failures()
