"""`overlay run`: from a file of requests, of any size, to a file of results.

It is a job whose id derives from the requests and the base URL: the same command run again continues where the
last one stopped, or writes the results again, and never pays twice. The file is read once: its id, and what is
sent, come from the same bytes. What another machine, or another home folder, has sent is found by the job id in
each batch's metadata, before anything is sent.
"""

from __future__ import annotations

from typing import Annotated

import typer

from overlay.cli.advice import advising, both
from overlay.cli.arguments import (
    DeleteFiles,
    Force,
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
from overlay.cli.destination import Destination
from overlay.cli.endings import Exit
from overlay.cli.intake import KnownJobError, check_new, unused
from overlay.cli.job_progress import JobProgress
from overlay.cli.output import shown
from overlay.cli.shell import Shell, command
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
        force: Force = False,
        completion_window: Window = None,
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
        destination = Destination(output_path, force)
        destination.check(file)
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
                chosen: list[str] = []

                def name(job_id: str) -> str:
                    """The id to send the file under, or KnownJobError, or why it must not be sent."""
                    chosen.append(unused(client, job_id) if again else job_id)
                    # Before anything is paid for.
                    destination.check_free(*map(client.jobs.folder, {job_id, chosen[-1]}))
                    if not again:
                        check_new(shell, client, chosen[-1])
                    return chosen[-1]

                def go_on(job_id: str) -> str:
                    if again:
                        return shell.again("jobs", "resume", job_id)
                    return shell.again("run", file, "-o", output_path, *["--force"] * force)

                with advising(shell, client, lambda: next(iter(chosen), None), go_on) as note:
                    on_change = both(progress.watch, note)
                    try:
                        job = client.jobs.submit(
                            file,
                            id=name,
                            metadata=added,
                            **named(completion_window=completion_window),
                            **changes,
                            poll=poll,
                            on_change=on_change,
                        )
                    except KnownJobError as known:
                        job = known.job
                        progress.note(_continuing(job))
                    if not job.ended:
                        note(job)
                        job = client.jobs.wait(
                            job.id, timeout=timeout, poll=poll, on_change=on_change, **changes
                        )
            # The live view is gone by now: on the same terminal, it and the results would overwrite each other.
            return deliver_job(shell, client, job, destination)


def _continuing(job: Job) -> str:
    of = f"job {job.id} of {shown(job.created)}"
    if job.ended:
        return f"{of} has ended; nothing is sent, and nothing is paid for twice"
    return f"continuing {of}; nothing is paid for twice"
