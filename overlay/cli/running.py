"""A job from the shell: sent if it was not sent before, or gone on with, and waited for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from overlay.cli.advice import advising, both
from overlay.cli.arguments import named
from overlay.cli.destination import Destination
from overlay.cli.intake import KnownJobError, check_new, unused
from overlay.cli.job_options import JobFlags
from overlay.cli.job_progress import JobProgress
from overlay.cli.output import shown
from overlay.cli.shell import Shell
from overlay.client import Client
from overlay.jobs.views import Job
from overlay.requests.request import Request


def run_job(
    shell: Shell,
    client: Client,
    requests: Path | Iterable[Request],
    *,
    flags: JobFlags,
    destination: Destination,
    go_on: Callable[[], str],
    extra_body: Mapping[str, Any] | None = None,
) -> Job:
    """The job of these requests, when it has ended. `go_on` gives the command that goes on with it.

    Raises WouldPayAgainError if only the service knows of it, ConfigurationError if the destination is taken, both
    before anything is sent; and what `submit` and `wait` raise.
    """
    with JobProgress() as progress:
        chosen: list[str] = []

        def name(job_id: str) -> str:
            """The id to send the requests under, or KnownJobError, or why they must not be sent."""
            chosen.append(unused(client, job_id) if flags.again else job_id)
            # Before anything is paid for.
            destination.check_free(*map(client.jobs.folder, {job_id, chosen[-1]}))
            if not flags.again:
                check_new(shell, client, chosen[-1])
            return chosen[-1]

        def command(job_id: str) -> str:
            return shell.again("jobs", "resume", job_id) if flags.again else go_on()

        with advising(shell, client, lambda: next(iter(chosen), None), command) as note:
            on_change = both(progress.watch, note)
            try:
                job = client.jobs.submit(
                    requests,
                    id=name,
                    metadata=flags.pairs,
                    **named(completion_window=flags.completion_window, extra_body=extra_body or None),
                    **flags.changes,
                    poll=flags.poll,
                    on_change=on_change,
                )
            except KnownJobError as known:
                job = known.job
                progress.note(_continuing(job))
            if not job.ended:
                note(job)
                job = client.jobs.wait(
                    job.id, timeout=flags.timeout, poll=flags.poll, on_change=on_change, **flags.changes
                )
    return job


def _continuing(job: Job) -> str:
    of = f"job {job.id} of {shown(job.created)}"
    if job.ended:
        return f"{of} has ended; nothing is sent, and nothing is paid for twice"
    return f"continuing {of}; nothing is paid for twice"
