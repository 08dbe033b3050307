"""The result files of an ended batch, brought to disk whole.

A file is whole if it is as long as the service says: the answer's own length, or the record of the file. Some
services say neither; then a connection that ends early looks like the end of the file, and what tells is how many
answers the batch counts. What seems cut is fetched again, a few times.

A service may end a batch seconds before its files can be read: for ten minutes, a file that is not there yet is no
file that is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeAlias

import attrs

from overlay.errors import APIError, FileGoneError, IncompleteResultsError, InvalidResponseError
from overlay.flows.steps import Deadline, Flow, Work, deadline, pause
from overlay.lines import check_complete, count_lines, is_torn
from overlay.models import Batch, says_complete
from overlay.operations.files import fetch_measured
from overlay.statuses import plain_status
from overlay.wire import retry
from overlay.wire.connection import Settings
from overlay.wire.refusals import http_date

Get: TypeAlias = Callable[[str, Path], Flow["bool | None"]]
"""Fetches the file with an id to a path; gives whether its length is known, or None to go on without it."""

_TRIES = 3
"""How often a file that seems cut is fetched."""
_APPEAR_SECONDS = 600.0
"""How long after the end of its batch a file may still appear."""
_LOOK_SECONDS, _LONGEST_LOOK, _LOOK_GROWTH = 2.0, 30.0, 1.5
_NOT_FOUND = 404


@attrs.frozen
class _Doubt:
    """Why files seem to be cut, and whether they surely are."""

    why: str
    sure: bool


def fetch_answers(
    batch: Batch, place: Callable[[str], Path], get: Get, *, errors_only: bool = False
) -> Flow[list[Path]]:
    """The files of a batch's answers, of output and of errors, each at its `place`.

    Raises IncompleteResultsError if they are cut whenever they are fetched, and what `get` raises.
    """
    # Some services send an empty id for none.
    named = (("output", batch.output_file_id), ("error", batch.error_file_id))
    files = [(file_id, place(name)) for name, file_id in named[errors_only:] if file_id]
    fetched: dict[Path, bool] = {}
    for attempt in range(_TRIES):
        for file_id, path in files:
            if not fetched.get(path):
                measured = yield from get(file_id, path)
                if measured is not None:
                    fetched[path] = measured
        expected = None if errors_only or len(fetched) < len(files) else expected_lines(batch)
        doubt: _Doubt | None = yield Work(partial(_doubt, batch, fetched, expected))
        if doubt is None:
            break
        if attempt + 1 < _TRIES:
            yield from pause(doubt.why, retry.jitter(attempt))
        elif doubt.sure:
            raise IncompleteResultsError(
                f"{doubt.why}, however often they are fetched; nothing is sent again for the rest, which may have "
                "been paid for; try again later, or ask the service's support",
                batch_id=batch.id,
            )
    return list(fetched)


def fetch_patiently(
    settings: Settings, batch: Batch, broken: dict[str, APIError], file_id: str, path: Path
) -> Flow[bool]:
    """Fetch a result file that need not last, and wait for one that may still appear.

    `broken` holds the errors that ended earlier tries, by file id.
    """
    until: Deadline | None = None
    look = _LOOK_SECONDS
    while True:
        try:
            earlier = broken.pop(file_id, None)
            return (yield from fetch_measured(settings, file_id, path, lasting=False, broken=earlier))
        except FileGoneError as error:
            until = until or deadline(settings, may_appear_for(settings, batch))
            if until.left <= 0 or not is_absent(error):
                raise
            why = str(error)
        yield from pause(why, min(until.left, look))
        look = min(_LONGEST_LOOK, look * _LOOK_GROWTH)


def is_absent(error: FileGoneError) -> bool:
    """Whether a file may only not be there yet; 410 says that it was there."""
    return error.status_code == _NOT_FOUND


def may_appear_for(settings: Settings, batch: Batch) -> float:
    """How many seconds a file of this ended batch may still take to appear, by the service's own clock.

    If it does not say when the batch ended, or what time it is, the batch counts as ended just now.
    """
    ended, now = _ended(batch), _service_time(settings)
    if ended is None or now is None:
        return _APPEAR_SECONDS
    return min(_APPEAR_SECONDS, max(0.0, _APPEAR_SECONDS - (now - ended).total_seconds()))


def _ended(batch: Batch) -> datetime | None:
    moments = {
        "completed": batch.completed,
        "failed": batch.failed,
        "expired": batch.expired,
        "cancelled": batch.cancelled,
    }
    return moments.get(plain_status(batch.status))


def _service_time(settings: Settings) -> datetime | None:
    header, seen_at = settings.server_date or (None, 0.0)
    date = http_date(header)
    if date is None:
        return None
    return datetime.fromtimestamp(date.timestamp() + settings.clock.monotonic() - seen_at, UTC)


def expected_lines(batch: Batch) -> int | None:
    """How many lines a batch's files must have at least, by its counts; None if they do not say."""
    counts = batch.request_counts
    if counts is None:
        return None
    # Of a batch that did not complete, what never ran may count as failed, and stand in neither file.
    done = _number(counts.completed) + (_number(counts.failed) if says_complete(batch) else 0)
    total = _number(counts.total)
    return min(done, total) if total else done or None


def _number(value: object) -> int:
    return max(0, value) if isinstance(value, int) and not isinstance(value, bool) else 0


def _doubt(batch: Batch, fetched: Mapping[Path, bool], expected: int | None) -> _Doubt | None:
    """Whether the files whose lengths are unknown seem to be cut."""
    unmeasured = [path for path, measured in fetched.items() if not measured]
    if not unmeasured:
        return None
    if expected is None:
        try:
            for path in unmeasured:
                check_complete(path)
        except InvalidResponseError as error:
            return _Doubt(f"batch {batch.id}: {error}", sure=True)
        return None
    lines = sum(map(count_lines, fetched))
    if lines < expected:
        # Without a file for them, failures may have been counted and left out.
        completed = _number(batch.request_counts.completed) if batch.request_counts is not None else 0
        why = f"batch {batch.id}: {lines:,} of the {expected:,} answers that it counts arrived"
        return _Doubt(why, sure=bool(batch.error_file_id) or lines < completed)
    if any(map(is_torn, unmeasured)):
        return _Doubt(f"batch {batch.id}: its results end within a line", sure=False)
    return None
