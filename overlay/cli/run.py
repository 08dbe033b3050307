"""`overlay run`: from a file of requests, of any size, to a file of results.

It is a job whose id derives from the requests and the base URL: the same command run again continues where the
last one stopped, or writes the results again, and never pays twice. What another machine, or another home
folder, has sent is found by the job id in each batch's metadata.
"""

from __future__ import annotations

from itertools import count
from typing import Annotated

import typer

from overlay.cli.arguments import (
    DeleteFiles,
    MatchBy,
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
from overlay.cli.earlier import refuse_to_pay_again
from overlay.cli.endings import Exit
from overlay.cli.job_progress import JobProgress
from overlay.cli.output import shown
from overlay.cli.shell import Shell, command
from overlay.client import Client
from overlay.errors import JobNotFoundError
from overlay.jobs.records import JobOptions
from overlay.jobs.views import Job


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
        match: MatchBy = None,
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
            match=match,
        )
        with shell.client() as client:
            with JobProgress() as progress:
                job_id = client.jobs.identify(file)
                if again:
                    job_id = _unused(client, job_id)
                job = _known(client, job_id)
                if job is not None:
                    progress.note(
                        f"continuing job {job_id} of {shown(job.created)}; nothing is paid for twice"
                    )
                elif not again:
                    refuse_to_pay_again(shell, client, job_id)
                go_on = (
                    shell.again("jobs", "resume", job_id)
                    if again
                    else shell.again("run", file, "-o", output_path)
                )
                shell.advise(
                    f"any batches of job {job_id} keep running at the service; resume with: {go_on}",
                    on_error=True,
                )
                if job is None:
                    client.jobs.submit(
                        file,
                        id=job_id,
                        completion_window=completion_window,
                        metadata=added,
                        **changes,
                        poll=poll,
                        on_change=progress.watch,
                    )
                if job is None or not job.ended:
                    job = client.jobs.wait(
                        job_id, timeout=timeout, poll=poll, on_change=progress.watch, **changes
                    )
            # The live view is gone by now: on the same terminal, it and the results would overwrite each other.
            return deliver_job(shell, job, client.jobs.results(job_id), output_path)


def _known(client: Client, job_id: str) -> Job | None:
    try:
        return client.jobs.retrieve(job_id)
    except JobNotFoundError:
        return None


def _unused(client: Client, job_id: str) -> str:
    return next(name for number in count(2) if _known(client, name := f"{job_id}-{number}") is None)
