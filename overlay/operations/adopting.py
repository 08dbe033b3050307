"""Finding the batch that an unanswered `POST /batches` may have left behind.

It is recognised by its input file, which no other caller's batch has, by the metadata sent, and by not being
older than the attempt. An empty list proves nothing while the attempt may still be in flight, or while the
list lags behind: the search continues for a grace time.
"""

from __future__ import annotations

import logging
from collections.abc import Container, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs

from overlay import models
from overlay.errors import APIError, APIStatusError, ConflictError
from overlay.flows.steps import Flow, Sleep, call, deadline
from overlay.generated.api.batch import cancel_batch, list_batches
from overlay.models import Batch
from overlay.pages import Cursor, Window
from overlay.wire import retry
from overlay.wire.connection import Settings
from overlay.wire.refusals import http_date

_log = logging.getLogger("overlay")

_LOOK_SECONDS = 5.0
_CLOCK_MARGIN = timedelta(seconds=5)
_UNKNOWN_SKEW = timedelta(minutes=5)


@attrs.frozen
class Began:
    """When an attempt began: on the monotonic clock, and on the wall clock, which may be wrong."""

    monotonic: float
    time: float

    def by_the_service(self, settings: Settings) -> datetime:
        """By the service's clock, which sets `created_at`, less a margin."""
        header, seen_at = settings.server_date or (None, 0.0)
        date = http_date(header)
        if date is None:
            return datetime.fromtimestamp(self.time, UTC) - _UNKNOWN_SKEW
        return date - timedelta(seconds=seen_at - self.monotonic) - _CLOCK_MARGIN


@attrs.frozen
class Sought:
    """What tells our batch from the others in the list."""

    input_file_id: str
    metadata: Any
    since: datetime | Began
    """Our batch is not older than this: a moment by the service's clock, or an attempt."""
    spent: Container[str] = ()
    """Ids to ignore."""

    def earliest(self, settings: Settings) -> datetime:
        # Computed after each look: the very first answer may be what tells the service's time.
        return self.since.by_the_service(settings) if isinstance(self.since, Began) else self.since

    def matches(self, batch: Batch) -> bool:
        return (
            batch.input_file_id == self.input_file_id
            and batch.id not in self.spent
            # A service that keeps no metadata cannot rule out a batch.
            and (not batch.metadata or batch.metadata == (self.metadata or {}))
        )


def search(settings: Settings, sought: Sought, *, grace: float) -> Flow[list[Batch]]:
    """The batches found, oldest first, as soon as there is one; none after `grace` seconds.

    The last look comes after the grace time. Raises APIError if that look fails, or if any is refused.
    """
    until = deadline(settings, grace)
    while True:
        last = until.left <= 0
        try:
            found = yield from _look(settings, sought)
        except APIError as error:
            if last or (isinstance(error, APIStatusError) and not retry.is_transient(error)):
                raise
            found = []
        if found or last:
            found.reverse()  # the list is newest first, even within one second
            return sorted(found, key=lambda batch: batch.created_at or 0)
        yield Sleep(min(_LOOK_SECONDS, max(until.left, 0.05)))


def _look(settings: Settings, sought: Sought) -> Flow[list[Batch]]:
    found: list[Batch] = []
    cursor = Cursor(None)
    while not cursor.ended:
        received: Any = yield from call(settings, list_batches, after=cursor.after, limit=100)
        data = [models.batch(item) for item in (received.data or ())]
        page = Window(sought.earliest(settings)).page(data, has_more=received.has_more is True)
        if cursor.takes(page):
            found += filter(sought.matches, page.data)
    return found


def keep_oldest(settings: Settings, found: Sequence[Batch]) -> Flow[Batch]:
    """Keep the first of the batches found; the others, which have the same requests, are cancelled."""
    kept, *extras = found
    for extra in extras:
        yield from cancel_duplicate(settings, extra, of=kept.id)
    return kept


def cancel_duplicate(settings: Settings, extra: Batch, *, of: str) -> Flow[None]:
    """Cancel a second batch of the same requests, if the service still can."""
    _log.warning("batch %s is a duplicate of %s: cancelling it", extra.id, of)
    try:
        yield from call(settings, cancel_batch, final=ConflictError, batch_id=extra.id)
    except APIStatusError as error:
        _log.warning("batch %s could not be cancelled: %s", extra.id, error)
