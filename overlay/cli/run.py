"""`overlay run`: from a file of requests, of any size, to a file of results.

It is a job whose id derives from the requests and the base URL: the same command run again continues where the
last one stopped, or writes the results again, and never pays twice. What another machine, or another home
folder, has sent is found by the job id in each batch's metadata.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count, islice
from typing import Annotated

import typer

from overlay.cli.advice import advising, both
from overlay.cli.arguments import (
    DeleteFiles,
    MaxAttempts,
    MaxBatches,
    MaxCreates,
    MaxTokens,
    Metadata,
    Poll,
    RequestsFile,
    Timeout,
    Window,
    named,
    pairs,
)
from overlay.cli.delivery import deliver_job
from overlay.cli.destination import check_destination
from overlay.cli.endings import Exit, WouldPayAgainError
from overlay.cli.job_progress import JobProgress
from overlay.cli.output import shown
from overlay.cli.shell import Shell, command
from overlay.client import Client
from overlay.errors import APIStatusError, JobNotFoundError
from overlay.jobs.records import JobOptions
from overlay.jobs.views import Job
from overlay.operations.marks import mark_of

_LOOK_BACK = timedelta(days=30)
"""OpenAI keeps result files this long: those of older batches can no longer be fetched."""
_LOOK_AT = 1_000
"""The most batches to look at: ten calls."""
_NO_LIST = frozenset({404, 405, 501})


def register(app: typer.Typer) -> None:
    """Add the command."""

    @command(app)
    def run(
        shell: Shell,
        file: RequestsFile,
        *,
        output_path: Annotated[
            str,
            typer.Option("--output", "-o", metavar="PATH", help="Where results go; - is standard output."),
        ],
        completion_window: Window = "24h",
        metadata: Metadata = None,
        max_enqueued_tokens: MaxTokens = None,
        max_batches: MaxBatches = None,
        max_creates_per_hour: MaxCreates = None,
        max_attempts: MaxAttempts = None,
        delete_files: DeleteFiles = None,
        timeout: Timeout = None,
        poll: Poll = 5.0,
        again: Annotated[
            bool, typer.Option("--again", help="Send the file even if it was sent before, and pay again.")
        ] = False,
    ) -> Exit:
        """Send a file of requests as one job, wait for it, and write the results in the order of the requests."""
        check_destination(output_path)
        added = pairs(metadata)
        JobOptions(metadata=added)  # rejects bad metadata before any call
        changes = named(
            max_enqueued_tokens=max_enqueued_tokens,
            max_batches=max_batches,
            max_creates_per_hour=max_creates_per_hour,
            max_attempts=max_attempts,
            delete_files=delete_files,
        )
        with shell.client() as client:
            with JobProgress() as progress:
                job_id = client.jobs.identify(file)
                if again:
                    job_id = _unused(client, job_id)
                job = _known(client, job_id)
                if job is not None:
                    progress.note(_continuing(job))
                elif not again:
                    _refuse_to_pay_again(shell, client, job_id)
                go_on = (
                    shell.again("jobs", "resume", job_id)
                    if again
                    else shell.again("run", file, "-o", output_path)
                )
                with advising(shell, client, job_id, go_on) as note:
                    on_change = both(progress.watch, note)
                    if job is None or job.refused:
                        job = client.jobs.submit(
                            file,
                            id=job_id,
                            completion_window=completion_window,
                            metadata=added,
                            **changes,
                            poll=poll,
                            on_change=on_change,
                        )
                    if not job.ended:
                        note(job)
                        job = client.jobs.wait(
                            job_id, timeout=timeout, poll=poll, on_change=on_change, **changes
                        )
            # The live view is gone by now: on the same terminal, it and the results would overwrite each other.
            return deliver_job(shell, job, client.jobs.results(job_id), output_path)


def _continuing(job: Job) -> str:
    of = f"job {job.id} of {shown(job.created)}"
    if job.refused:
        return f"starting {of} once more: the service refused it, and nothing was paid"
    if job.ended:
        return f"{of} has ended; nothing is sent, and nothing is paid for twice"
    return f"continuing {of}; nothing is paid for twice"


def _known(client: Client, job_id: str) -> Job | None:
    try:
        return client.jobs.retrieve(job_id)
    except JobNotFoundError:
        return None


def _unused(client: Client, job_id: str) -> str:
    return next(name for number in count(2) if _known(client, name := f"{job_id}-{number}") is None)


def _refuse_to_pay_again(shell: Shell, client: Client, job_id: str) -> None:
    """Raise WouldPayAgainError if the service has batches of this job, of which this machine has no ledger."""
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
