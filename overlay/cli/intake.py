"""Whether a file may be sent: the questions that are asked when its id is known and nothing has been sent yet."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count, islice

from overlay.cli.endings import WouldPayAgainError
from overlay.cli.shell import Shell
from overlay.client import Client
from overlay.errors import APIStatusError, JobNotFoundError, OverlayError
from overlay.jobs.views import Job
from overlay.operations.marks import mark_of

_LOOK_BACK = timedelta(days=30)
"""OpenAI keeps result files this long: those of older batches can no longer be fetched."""
_LOOK_AT = 1_000
"""The most batches to look at: ten calls."""
_NO_LIST = frozenset({404, 405, 501})


class KnownJobError(OverlayError):
    """These requests are a job on this machine already; it goes on."""

    def __init__(self, job: Job) -> None:
        super().__init__(f"job {job.id} exists")
        self.job = job


def unused(client: Client, job_id: str) -> str:
    """The id for another job of the same requests."""
    return next(name for number in count(2) if _known(client, name := f"{job_id}-{number}") is None)


def check_new(shell: Shell, client: Client, job_id: str) -> None:
    """Raise KnownJobError if this machine has the job, WouldPayAgainError if only the service has its batches."""
    job = _known(client, job_id)
    if job is not None:
        raise KnownJobError(job)
    recent = client.batches.list(limit=100, created_after=datetime.now(UTC) - _LOOK_BACK)
    try:
        before = next(
            (
                batch
                for batch in islice(recent, _LOOK_AT)
                if (mark := mark_of(batch.metadata)) is not None and mark.job == job_id
            ),
            None,
        )
    except APIStatusError as error:
        if error.status_code not in _NO_LIST:
            raise
        shell.say(
            "warning: the service cannot list batches, so it is unknown whether this file was sent before"
        )
        return
    if before is not None:
        raise WouldPayAgainError(
            f"these requests were already sent from another machine or home folder, as job {job_id} with "
            f"{before.id}; running them again would pay again. To recover that job here: "
            f"{shell.again('jobs', 'recover')}. To pay again anyway, add --again"
        )


def _known(client: Client, job_id: str) -> Job | None:
    try:
        return client.jobs.retrieve(job_id)
    except JobNotFoundError:
        return None
