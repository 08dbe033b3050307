"""Whether a file may be sent: the questions that are asked when its id is known and nothing has been sent yet."""

from __future__ import annotations

from itertools import count

from overlay.cli.earlier import refuse_to_pay_again
from overlay.cli.shell import Shell
from overlay.client import Client
from overlay.errors import JobNotFoundError, OverlayError
from overlay.jobs.views import Job


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
    if job is not None and job.refused:
        shell.say(f"starting job {job.id} once more: the service refused it, and nothing was paid")
        return
    if job is not None:
        raise KnownJobError(job)
    refuse_to_pay_again(shell, client, job_id)


def refuse_elsewhere(shell: Shell, client: Client, job_id: str) -> None:
    """Raise WouldPayAgainError if only the service has batches of this job; one that is here is compared later."""
    if _known(client, job_id) is None:
        refuse_to_pay_again(shell, client, job_id)


def _known(client: Client, job_id: str) -> Job | None:
    try:
        return client.jobs.retrieve(job_id)
    except JobNotFoundError:
        return None
