"""A job from the shell: sent if it was not sent before, or gone on with, and waited for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from overlay.cli.advice import advising, noting
from overlay.cli.arguments import named
from overlay.cli.columns import shown
from overlay.cli.destination import Destination
from overlay.cli.intake import KnownJobError, check_new, refuse_elsewhere, unused
from overlay.cli.job_options import JobFlags
from overlay.cli.job_progress import job_progress
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
    destination: Destination | None,
    go_on: Callable[[str], str],
    extra_body: Mapping[str, Any] | None = None,
    job_id: str | None = None,
) -> Job:
    """The job of these requests, when it has ended or, without a destination, when it has been started.

    `go_on` gives the command that goes on with the job of an id; `job_id` is the one that it is to have, by default
    it derives from the requests.

    Raises WouldPayAgainError if only the service knows of it, ConfigurationError if the destination is taken, both
    before anything is sent; and what `submit` and `wait` raise.
    """
    with job_progress(quiet=flags.quiet) as progress:
        chosen: list[str] = []

        def name(derived: str) -> str:
            """The id to send the requests under, or KnownJobError, or why they must not be sent."""
            wanted = job_id or derived
            chosen.append(unused(client, wanted) if flags.again else wanted)
            # Before anything is paid for.
            if destination is not None:
                destination.check_free(*map(client.jobs.folder, {wanted, chosen[-1]}))
            if job_id is not None and not flags.again:
                refuse_elsewhere(shell, client, job_id)
            elif not flags.again:
                check_new(shell, client, chosen[-1])
            return chosen[-1]

        def command(job_id: str) -> str:
            return shell.again("jobs", "resume", job_id) if flags.again else go_on(job_id)

        with advising(shell, client, lambda: next(iter(chosen), None), command) as note:
            watching: dict[str, Any] = {"on_change": noting(note), "progress": progress}
            try:
                job = client.jobs.submit(
                    requests,
                    id=name,
                    metadata=flags.pairs,
                    **named(completion_window=flags.completion_window, extra_body=extra_body or None),
                    **flags.changes,
                    **flags.limits_of_cost,
                    reuse=flags.reuse,
                    dedupe=flags.dedupe,
                    poll=flags.poll,
                    **watching,
                )
            except KnownJobError as known:
                job = known.job
                if not flags.quiet:
                    progress.note(_continuing(job))
            if destination is not None and (not job.ended or job.unnotified):
                note(job)
                job = client.jobs.wait(
                    job.id, timeout=flags.timeout, poll=flags.poll, **watching, **flags.changes
                )
    return job


def _continuing(job: Job) -> str:
    of = f"job {job.id} of {shown(job.created)}"
    if job.ended:
        return f"{of} has ended; nothing is sent, and nothing is paid for twice"
    return f"continuing {of}; nothing is paid for twice"
