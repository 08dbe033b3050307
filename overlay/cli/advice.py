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
def advising(shell: Shell, client: Client, job_id: str, go_on: str | None = None) -> Generator[Note]:
    """While the block runs, the advice is that of the job last noted; after an error, of the job as it is on disk.

    `go_on` is the command that resumes it.
    """
    go_on = go_on or shell.again("jobs", "resume", job_id)

    def note(job: Job) -> None:
        shell.advise(_advice(shell, job, go_on), on_error=True)

    try:
        yield note
    except OverlayError:
        shell.advise("")
        try:
            note(client.jobs.retrieve(job_id))
        except JobNotFoundError:
            pass  # there is nothing to go on with
        except OverlayError:
            shell.advise(f"when that is mended, resume with: {go_on}", on_error=True)
        raise


def both(watch: Callable[[JobEvent], None], note: Note) -> Callable[[JobEvent], None]:
    """Watch each event, and note its job."""

    def on_change(event: JobEvent) -> None:
        note(event.job)
        watch(event)

    return on_change


def _advice(shell: Shell, job: Job, go_on: str) -> str:
    if job.refused:
        return f"nothing ran, and nothing is running at the service; to see why: {shell.again('jobs', 'show', job.id)}"
    if job.ended:
        results = shell.again("jobs", "results", job.id, "-o", "results.jsonl")
        return f"job {job.id} has ended; to get its results: {results}"
    running = [
        shard
        for shard in job.shards
        if shard.state in {"creating", "fencing", "created"} and not shard.trouble
    ]
    if running:
        return f"batches of job {job.id} keep running at the service; resume with: {go_on}"
    return f"no batch of job {job.id} is running at the service; resume with: {go_on}"
