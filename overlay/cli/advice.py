"""What to do next when work on a job is stopped, or fails: true of the job as it then is."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

from overlay.cli.shell import Shell
from overlay.client import Client
from overlay.errors import JobNotFoundError, OverlayError
from overlay.jobs.views import Job, JobEvent

Note = Callable[[Job], None]


@contextmanager
def advising(
    shell: Shell,
    client: Client,
    name: Callable[[], str | None],
    go_on: Callable[[str], str] | None = None,
) -> Generator[Note]:
    """Set the advice while the block runs; after an error or a signal, that for the job as it is on disk.

    `name` gives the job's id, once there is one; `go_on` the command that resumes it.
    """

    def resume(job_id: str) -> str:
        return go_on(job_id) if go_on is not None else shell.again("jobs", "resume", job_id)

    def note(job: Job) -> None:
        # A create may be on its way just now.
        command = resume(job.id)
        text = (
            f"batches of job {job.id} that were created keep running at the service; resume with: {command}"
        )
        shell.advise(_of_ended(shell, job) if job.ended else text, on_error=True)

    try:
        yield note
    except BaseException:
        shell.advise("")
        job_id = name()
        if job_id is None:
            raise
        command = resume(job_id)
        try:
            job = client.jobs.retrieve(job_id)
        except JobNotFoundError:
            pass  # there is nothing to go on with
        except OverlayError:
            shell.advise(f"once that is fixed, resume with: {command}", on_error=True)
        else:
            shell.advise(_of_ended(shell, job) if job.ended else _of_open(job, command), on_error=True)
        raise


def both(
    first: Callable[[JobEvent], object], second: Callable[[JobEvent], object]
) -> Callable[[JobEvent], None]:
    """Tell two of each event."""

    def on_change(event: JobEvent) -> None:
        second(event)
        first(event)

    return on_change


def noting(note: Note) -> Callable[[JobEvent], None]:
    """Note the job of each event."""

    def on_change(event: JobEvent) -> None:
        note(event.job)

    return on_change


def _of_ended(shell: Shell, job: Job) -> str:
    if job.refused:
        return f"nothing ran, and nothing runs; to see why: {shell.again('jobs', 'show', job.id)}"
    if job.elsewhere:
        return ""
    results = shell.again("jobs", "results", job.id, "-o", "results.jsonl")
    return f"job {job.id} has ended; to get its results: {results}"


def _of_open(job: Job, go_on: str) -> str:
    if job.elsewhere:
        return ""  # the error says which program goes on
    maybe = [shard for shard in job.shards if shard.state in {"creating", "fencing", "created"}]
    if any(shard.state == "created" and not shard.trouble for shard in maybe):
        return f"batches of job {job.id} keep running at the service; resume with: {go_on}"
    if maybe:
        return f"a batch of job {job.id} may be running at the service; resume with: {go_on}"
    return f"no batch of job {job.id} is running at the service; resume with: {go_on}"
