"""Finding the batch that an unanswered `POST /batches` may have left behind.

It is recognised by the nonce that its create carried in the metadata. A service that keeps no metadata, as an
answered create of ours has shown, leaves less: our batch is the only one of the same input file, endpoint and
window that is not older than the attempt and was not given to us before. As long as nobody knows whether the
service keeps metadata, such a batch may or may not be ours: it is neither adopted, nor does it count as absent.

A list without the batch proves nothing while the attempt may still be in flight, or while the list lags behind: the
search continues for a grace time, and for some looks at least, since clocks jump. And a list that cannot be read to
its end proves nothing at all.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Container, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs

from overlay.errors import APIError, APIStatusError, ConflictError
from overlay.flows.steps import Flow, Sleep, call, deadline
from overlay.generated.api.batch import cancel_batch
from overlay.models import Batch
from overlay.operations.listing import batch_page
from overlay.operations.marks import callers_own, mark_of
from overlay.pages import Cursor
from overlay.wire import retry
from overlay.wire.connection import Settings
from overlay.wire.refusals import http_date

_log = logging.getLogger("overlay")

_LOOK_SECONDS = 5.0
_LOOKS = 3
"""How many complete looks prove an absence, where the grace is long enough for so many."""
_CLOCK_MARGIN = timedelta(seconds=5)
_UNKNOWN_SKEW = timedelta(minutes=5)
_PAGE = 100


def service_time(settings: Settings, monotonic: float) -> datetime | None:
    """A moment of the monotonic clock by the service's clock; None if the service has not told its time yet."""
    header, seen_at = settings.server_date or (None, 0.0)
    date = http_date(header)
    return None if date is None else date - timedelta(seconds=seen_at - monotonic)


@attrs.frozen
class Began:
    """When an attempt began: on the monotonic clock, and on the wall clock, which may be wrong."""

    monotonic: float
    time: float

    def by_the_service(self, settings: Settings) -> datetime:
        """By the service's clock, which sets `created_at`, less a margin."""
        date = service_time(settings, self.monotonic)
        if date is None:
            return datetime.fromtimestamp(self.time, UTC) - _UNKNOWN_SKEW
        return date - _CLOCK_MARGIN


@attrs.frozen(kw_only=True)
class Sought:
    """What tells our batch from the others in the list."""

    nonce: str | None
    """What its create carried; None for a create by version 0.1."""
    input_file_id: str
    endpoint: str
    window: str
    metadata: Any
    """All that was sent."""
    since: datetime | Began
    """Our batch is not older than this: a moment by the service's clock, or an attempt."""
    given: Container[str] = ()
    """Ids that are known already, as those of other batches."""

    def earliest(self, settings: Settings) -> datetime:
        # Computed after each look: the very first answer may be what tells the service's time.
        return self.since.by_the_service(settings) if isinstance(self.since, Began) else self.since

    def proves(self, batch: Batch) -> bool:
        """Whether a batch is certainly of this create."""
        if batch.id in self.given or batch.input_file_id not in {self.input_file_id, None}:
            return False
        if self.nonce is not None:
            return self._is_named(batch)
        # Nobody else has the file of a job, and the mark of version 0.1 names the job.
        return batch.input_file_id == self.input_file_id and batch.metadata == self.metadata

    def fits(self, batch: Batch, *, keeps_metadata: bool | None) -> bool:
        """Whether nothing rules out that a batch is of this create."""
        if batch.id in self.given:
            return False
        if self._is_named(batch):
            return True
        return (
            not keeps_metadata
            and mark_of(batch.metadata) is None
            and callers_own(batch.metadata) in ({}, callers_own(self.metadata))
            and batch.input_file_id in {self.input_file_id, None}
            and batch.endpoint in {self.endpoint, None}
            and batch.completion_window in {self.window, None}
        )

    def _is_named(self, batch: Batch) -> bool:
        mark = mark_of(batch.metadata)
        return mark is not None and mark.nonce is not None and mark.nonce == self.nonce


@attrs.frozen
class Found:
    """What came of a search."""

    ours: Sequence[Batch] = ()
    """The batches that are certainly of the create, oldest first. There are several only where something on the way
    repeats requests."""
    looks: int = 0
    """How often the list was read to its end without a batch that may be ours."""
    absent: bool = False
    """Whether there is no batch, as far as the grace time can tell."""
    obstacle: str | None = None
    """Why nobody can tell, though the grace time is over."""


@attrs.frozen
class _Look:
    ours: Sequence[Batch]
    unproven: Sequence[Batch]
    complete: bool

    @property
    def obstacle(self) -> str | None:
        if self.unproven:
            names = ", ".join(batch.id for batch in self.unproven)
            return f"{names} may be it: the input file is the same, and nothing shows who created it"
        return None if self.complete else "the service's list of batches cannot be read to its end"


def looks_needed(grace: float) -> int:
    """How many complete looks it takes before a batch counts as absent, besides the grace time in seconds."""
    return max(1, min(_LOOKS, math.ceil(grace / _LOOK_SECONDS)))


def search(
    settings: Settings, sought: Sought, *, grace: float, needed: int, time: float = math.inf
) -> Flow[Found]:
    """Look for a batch until there is one, or until it is clear that there is none.

    That takes `grace` seconds and `needed` complete looks, the last of which comes after the grace. The search
    is given up after `time` seconds. Raises APIError if the last look fails, or if any is refused.
    """
    if not settings.service.lists:
        return Found(obstacle=f"{settings.service} cannot list batches")
    patience, end = deadline(settings, grace), deadline(settings, time)
    looks = 0
    while True:
        over, given_up = patience.left <= 0, end.left <= 0
        try:
            look = yield from _look(settings, sought)
        except APIError as error:
            if over or given_up or (isinstance(error, APIStatusError) and not retry.is_transient(error)):
                raise
        else:
            if look.ours:
                return Found(look.ours, looks)
            looks += look.obstacle is None
            if over and look.obstacle is not None:
                return Found((), looks, obstacle=look.obstacle)
            if given_up or (over and looks >= needed):
                return Found((), looks, absent=over and looks >= needed)
        yield Sleep(
            min(_LOOK_SECONDS, max(end.left, 0.05), max(patience.left, 0.05) if not over else math.inf)
        )


def _look(settings: Settings, sought: Sought) -> Flow[_Look]:
    ours: dict[str, Batch] = {}
    others: dict[str, Batch] = {}
    cursor = Cursor(None)
    while not cursor.ended:
        page = yield from batch_page(settings, after=cursor.after, limit=_PAGE)
        cursor.since = sought.earliest(settings)
        if any(has_nonce(batch) for batch in page.data):
            settings.keeps_metadata = True  # whatever the answers to creates leave out
        for batch in page.data if cursor.takes(page) else ():
            if batch.created is None or batch.created >= cursor.since:
                (ours if sought.proves(batch) else others)[batch.id] = batch
    keeps = settings.keeps_metadata
    unproven = [batch for batch in others.values() if sought.fits(batch, keeps_metadata=keeps)]
    if keeps is False and not ours and len(unproven) == 1 and cursor.complete and _is_whole(unproven[0]):
        return _Look(unproven, (), complete=True)
    return _Look(_oldest_first(ours.values()), unproven, cursor.complete)


def has_nonce(batch: Batch) -> bool:
    """Whether a batch shows what a create of this SDK carries."""
    mark = mark_of(batch.metadata)
    return mark is not None and mark.nonce is not None


def _is_whole(batch: Batch) -> bool:
    """Whether a batch says all that it can be known by where there is no metadata."""
    return None not in {batch.input_file_id, batch.endpoint, batch.completion_window}


def _oldest_first(found: Iterable[Batch]) -> list[Batch]:
    # The list is mostly newest first, even within one second.
    ordered = list(found)
    ordered.reverse()
    ordered.sort(key=lambda batch: batch.created or datetime.min.replace(tzinfo=UTC))
    return ordered


def keep_oldest(settings: Settings, found: Sequence[Batch]) -> Flow[Batch]:
    """Keep the first of the batches of one create; the others, which a repeated request has made, are cancelled."""
    kept, *extras = found
    for extra in extras:
        yield from cancel_duplicate(settings, extra, of=kept.id)
    return kept


def cancel_duplicate(settings: Settings, extra: Batch, *, of: str) -> Flow[None]:
    """Cancel a second batch of the same create, or of the same unit of a job, if the service still can."""
    _log.warning("batch %s is a duplicate of %s: cancelling it", extra.id, of)
    try:
        yield from call(settings, cancel_batch, final=ConflictError, batch_id=extra.id)
    except APIStatusError as error:
        _log.warning("batch %s could not be cancelled: %s", extra.id, error)
