"""Where the batches of a job were sent from: the question before its requests are paid for, or it is recovered."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial

import attrs

from overlay.errors import ConfigurationError
from overlay.flows.steps import Flow, Work
from overlay.jobs.home import checked_job_id, home_id
from overlay.models import Batch
from overlay.operations.adopting import service_time
from overlay.operations.listing import batch_page
from overlay.operations.marks import mark_of
from overlay.pages import Cursor
from overlay.wire.connection import Settings

_log = logging.getLogger("overlay")
_LOOK_BACK = timedelta(days=30)
"""OpenAI keeps result files this long: those of older batches can no longer be fetched."""
_LOOK_AT = 1_000
"""The most batches to look at: ten calls."""
_PAGE = 100


@attrs.frozen(kw_only=True)
class Origin:
    """Where batches of a job were sent from."""

    job_id: str
    home: str | None
    """The id of the home folder; None for version 0.1, which wrote none."""
    here: bool
    """Whether it is this home folder."""
    batches: Sequence[Batch] = attrs.field(repr=False)

    def __str__(self) -> str:
        if self.here:
            return "this home folder"
        return f"home folder {self.home}" if self.home else "version 0.1 of this SDK"


@attrs.frozen
class Origins:
    """What the service's list shows of jobs."""

    found: Sequence[Origin]
    complete: bool
    """Whether the list was read without gaps, as far as it was wanted."""

    def of(self, job_id: str) -> list[Origin]:
        return [origin for origin in self.found if origin.job_id == job_id]


def list_origins(
    settings: Settings, *, since: datetime | None = None, at_most: int | None = None
) -> Flow[Origins]:
    """The jobs of this SDK of which the project has batches, by home folder.

    It looks at batches created at `since` or later, and at about `at_most` batches.
    """
    home: str = yield Work(partial(home_id, settings))
    found: dict[tuple[str, str | None], list[Batch]] = {}
    cursor = Cursor(None, since)
    looked, unreadable = 0, False
    while not cursor.ended and (at_most is None or looked < at_most):
        page = yield from batch_page(settings, after=cursor.after, limit=_PAGE)
        for batch in page.data if cursor.takes(page) else ():
            looked += 1
            mark = mark_of(batch.metadata)
            if mark is None or mark.job is None or _is_before(batch, since):
                continue
            created: object = batch.created_at
            if not batch.input_file_id or not (created is None or isinstance(created, int | float)):
                _log.warning(
                    "batch %s of job %s is left out: it names no input file, or no time", batch.id, mark.job
                )
                unreadable = True
                continue
            with suppress(ConfigurationError):
                found.setdefault((checked_job_id(mark.job), mark.home), []).append(batch)
    return Origins(
        [
            Origin(job_id=job_id, home=where, here=where == home, batches=batches)
            for (job_id, where), batches in sorted(
                found.items(), key=lambda each: (each[0][0], each[0][1] or "")
            )
        ],
        cursor.complete and cursor.ended and not unreadable,
    )


def _is_before(batch: Batch, since: datetime | None) -> bool:
    return since is not None and batch.created is not None and batch.created < since


def sent_before(settings: Settings, job_id: str) -> Flow[Origins]:
    """The batches that the project has of a job of this name, by the home folder that sent them.

    It looks at those of the last 30 days by the service's clock, and at 1,000 at most; `complete` is False if there
    were more, or if the list could not be read without gaps.

    Raises ConfigurationError for an id that no job can have, APIStatusError if the service has no list.
    """
    checked_job_id(job_id)
    # This machine's clock may be weeks off. What the service's says comes with the first answer.
    if service_time(settings, settings.clock.monotonic()) is None:
        yield from batch_page(settings, after=None, limit=1)
    now = service_time(settings, settings.clock.monotonic())
    if now is None:
        now = datetime.fromtimestamp(settings.clock.time(), UTC)
    seen = yield from list_origins(settings, since=now - _LOOK_BACK, at_most=_LOOK_AT)
    return Origins(seen.of(job_id), seen.complete)
