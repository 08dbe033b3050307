"""`overlay jobs …`: one command for each thing you can do with the jobs that `overlay run` started."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from overlay.cli import output
from overlay.cli.arguments import (
    DeleteFiles,
    Force,
    MatchBy,
    MaxAttempts,
    MaxBatches,
    MaxCreates,
    MaxTokens,
    Output,
    PollAgain,
    Timeout,
    named,
    seconds,
)
from overlay.cli.delivery import deliver_job
from overlay.cli.destination import STDOUT, Destination
from overlay.cli.endings import Exit
from overlay.cli.job_progress import JobProgress
from overlay.cli.shell import Shell, command
from overlay.jobs.views import Job, Shard

app = typer.Typer(help="Resume, watch and cancel jobs, and fetch their results.", rich_markup_mode=None)

JobId = Annotated[str, typer.Argument(metavar="JOB_ID", show_default=False)]
_SHARDS_SHOWN = 20
_MUCH_BYTES = 10 * 10**9
"""Jobs that take more of the disk than this are mentioned."""
_HEADER = ("ID", "STATE", "DONE", "TOTAL", "FAILED", "CREATED", "DISK", "SERVICE")
"""The columns of a list of jobs; `_row` fills them."""


@command(app, name="list")
def list_(shell: Shell) -> None:
    """List the jobs on this machine, newest first, with the disk that each takes."""
    with shell.client() as client:
        found = client.jobs.list()
    output.listing(found, _HEADER, _row, most=None, as_json=bool(shell.json))
    warn_of_size(shell, found)


@command(app)
def show(shell: Shell, job_id: JobId) -> None:
    """Show a job and its shards, as recorded in its ledger."""
    with shell.client() as client:
        shell.show(client.jobs.retrieve(job_id), facts)


@command(app)
def resume(
    shell: Shell,
    job_id: JobId,
    *,
    max_enqueued_tokens: MaxTokens = None,
    max_batches: MaxBatches = None,
    max_creates_per_hour: MaxCreates = None,
    max_attempts: MaxAttempts = None,
    delete_files: DeleteFiles = None,
    timeout: Timeout = None,
    poll: PollAgain = None,
    match: MatchBy = None,
) -> Exit:
    """Resume a job, and wait until it has ended. Options that are given change the job's."""
    changes = named(
        max_enqueued_tokens=max_enqueued_tokens,
        max_batches=max_batches,
        max_creates_per_hour=max_creates_per_hour,
        max_attempts=max_attempts,
        delete_files=delete_files,
        match=match,
    )
    shell.advise(f"resume job {job_id} with: {shell.again('jobs', 'resume', job_id)}", on_error=True)
    with shell.client() as client, JobProgress() as progress:
        job = client.jobs.wait(job_id, timeout=timeout, poll=poll, on_change=progress.watch, **changes)
    shell.show(job, facts)
    shell.say(f"to get its results: {shell.again('jobs', 'results', job_id, '-o', 'results.jsonl')}")
    return Exit.OK if not job.failed and not job.cancelled else Exit.INCOMPLETE


@command(app)
def cancel(shell: Shell, job_id: JobId) -> None:
    """Cancel a job's batches. Requests already answered are kept, and billed."""
    with shell.client() as client:
        shell.show(client.jobs.cancel(job_id), facts)
    shell.say(f"to fetch what was answered: {shell.again('jobs', 'resume', job_id)}")


@command(app)
def results(
    shell: Shell,
    job_id: JobId,
    output_path: Output = STDOUT,
    force: Force = False,
    match: MatchBy = None,
) -> Exit:
    """Write the results of a job that has ended: one line per request, in the order of the requests."""
    destination = Destination(output_path, force)
    destination.check()
    with shell.client() as client:
        job = client.jobs.retrieve(job_id)
        if match is not None and not job.ended:
            job = client.jobs.resume(job_id, match=match)
        return deliver_job(shell, client, job, destination)


@command(app)
def delete(
    shell: Shell,
    job_id: JobId,
    files: Annotated[bool, typer.Option("--files", help="Delete its files at the service, too.")] = False,
) -> None:
    """Remove a job, its requests and its results from this machine."""
    with shell.client() as client:
        client.jobs.delete(job_id, files=files)
    shell.say(f"job {job_id} deleted")


@command(app)
def prune(
    shell: Shell,
    *,
    older_than: Annotated[
        float,
        typer.Option(
            "--older-than", parser=seconds, metavar="TIME", help="How long ago they ended: 30d, 12h."
        ),
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show which.")] = False,
) -> None:
    """Remove the requests and results of jobs that ended long ago from this machine."""
    with shell.client() as client:
        found = client.jobs.prune(older_than=older_than, dry_run=dry_run)
    output.listing(found, _HEADER, _row, most=None, as_json=bool(shell.json))
    size = output.size(sum(job.disk_bytes or 0 for job in found))
    verb = "can be removed" if dry_run else "removed"
    shell.say(f"{len(found):,} jobs {verb}, {size}" if found else "no job ended that long ago")


@command(app)
def clean(
    shell: Shell,
    delete: Annotated[bool, typer.Option("--delete", help="Delete them at the service.")] = False,
) -> None:
    """List the files at the service that jobs on this machine uploaded and no longer need."""
    with shell.client() as client:
        found = client.jobs.clean(delete=delete)
    header = ("ID", "BYTES", "CREATED", "NAME")
    output.listing(
        found,
        header,
        lambda file: tuple(map(output.shown, (file.id, file.bytes, file.created, file.filename))),
        most=None,
        as_json=bool(shell.json),
    )
    if found:
        again = shell.again("jobs", "clean", "--delete")
        shell.say(f"{len(found):,} files {'deleted' if delete else f'can be deleted with: {again}'}")
    else:
        shell.say("nothing to clean up")


@command(app)
def recover(
    shell: Shell,
    job_id: Annotated[
        str | None,
        typer.Argument(
            metavar="[JOB_ID]",
            show_default=False,
            help="A job of another home folder, or of version 0.1, to bring here.",
        ),
    ] = None,
    home_id: Annotated[
        str | None,
        typer.Option(
            "--home-id", metavar="ID", help="The home folder that it is from, if several have such a job."
        ),
    ] = None,
) -> None:
    """Rebuild jobs whose ledger is damaged or missing, from the service's own records.

    Without JOB_ID: the jobs of this home folder.
    """
    with shell.client() as client:
        found = client.jobs.recover(job_id, home=home_id)
    output.listing(found, _HEADER, _row, most=None, as_json=bool(shell.json))
    for job in found:
        shell.say(f"job {job.id} is recovered; resume it with: {shell.again('jobs', 'resume', job.id)}")
    if not found:
        shell.say("no job needs to be recovered")


def facts(job: Job) -> Iterator[tuple[str, object]]:
    """What people want to know about a job."""
    yield "id", job.id
    yield "state", state(job)
    yield "requests", f"{job.requests:,}: {job.answered:,} done, {job.failed:,} failed"
    yield "missing", job.missing or None
    yield (
        "tokens",
        f"{job.input_tokens:,} in, {job.output_tokens:,} out; {job.estimated_tokens:,} in estimated",
    )
    yield "created", job.created
    yield "service", job.base_url
    yield "disk", None if job.disk_bytes is None else output.size(job.disk_bytes)
    yield "duplicates cancelled", job.duplicates_cancelled or None
    yield "stray lines", job.strays or None
    for shard in job.shards[:_SHARDS_SHOWN]:
        yield shard.name, shard_text(shard)
    if len(job.shards) > _SHARDS_SHOWN:
        yield "more", f"{len(job.shards) - _SHARDS_SHOWN:,} more shards; --json shows all"


def state(job: Job) -> str:
    """A job's state in one word."""
    if job.cancelled:
        return "cancelled" if job.ended else "cancelling"
    return "ended" if job.ended else "open"


def shard_text(shard: Shard) -> str:
    """A shard in one line."""
    status = shard.status if shard.state == "created" else shard.state
    text = f"{status}, {shard.completed + shard.failed:,} of {shard.requests:,}"
    if shard.generation:
        text += f", retry {shard.generation}"
    return f"{text}, {shard.batch_id}" if shard.batch_id else text


def _row(job: Job) -> tuple[str, ...]:
    disk = None if job.disk_bytes is None else output.size(job.disk_bytes)
    cells = (job.id, state(job), job.answered, job.requests, job.failed, job.created, disk, job.base_url)
    return tuple(output.shown(each) for each in cells)


def warn_of_size(shell: Shell, found: list[Job]) -> None:
    """Mention it if the jobs take much of the disk."""
    total = sum(job.disk_bytes or 0 for job in found)
    if total > _MUCH_BYTES:
        again = shell.again("jobs", "prune", "--older-than", "30d")
        shell.say(f"warning: jobs take {output.size(total)} of this disk; remove old ones with: {again}")
