"""What was sent of a job before, from wherever: the question before its requests are paid for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from overlay.flows.steps import Flow
from overlay.jobs.home import checked_job_id
from overlay.jobs.recovery import Origins, origins
from overlay.operations.adopting import service_time
from overlay.operations.listing import batch_page
from overlay.wire.connection import Settings

_LOOK_BACK = timedelta(days=30)
"""OpenAI keeps result files this long: those of older batches can no longer be fetched."""
_LOOK_AT = 1_000
"""The most batches to look at: ten calls."""


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
    seen = yield from origins(settings, since=now - _LOOK_BACK, at_most=_LOOK_AT)
    return Origins(seen.of(job_id), seen.complete)
