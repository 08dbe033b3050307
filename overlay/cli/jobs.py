"""`overlay jobs …`: one command for each thing you can do with the jobs that `overlay run` started."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from overlay.cli import output
from overlay.cli.advice import advising, both
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
from overlay.cli.delivery import deliver_job, deliver_partial
from overlay.cli.destination import STDOUT, Destination
from overlay.cli.endings import Exit
from overlay.cli.job_progress import JobProgress
from overlay.cli.shell import Shell, command
from overlay.jobs.views import Job, Shard

app = typer.Typer(help="Resume, watch and cancel jobs, and fetch their results.", rich_markup_mode=None)

JobId = Annotated[str, typer.Argument(metavar="JOB_ID", show_default=False)]
OneShard = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="The shard's number; by default, all that are stuck.")
]
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
    with shell.client() as client, advising(shell, client, lambda: job_id) as note, JobProgress() as progress:
        note(client.jobs.retrieve(job_id))
        job = client.jobs.wait(
            job_id, timeout=timeout, poll=poll, on_change=both(progress.watch, note), **changes
        )
    return _ended(shell, job)


@command(app)
def cancel(shell: Shell, job_id: JobId) -> None:
    """Cancel a job's batches. Requests already answered are kept, and billed."""
    with shell.client() as client:
        job = client.jobs.cancel(job_id)
    shell.show(job, facts)
    if job.ended:
        shell.say(f"to get its results: {shell.again('jobs', 'results', job_id, '-o', 'results.jsonl')}")
    else:
        shell.say(f"to fetch what was answered: {shell.again('jobs', 'resume', job_id)}")
    for shard in job.stuck:
        give_up = shell.again("jobs", "give-up", job_id, "--shard", str(shard.number))
        shell.say(f"{shard.name} is stuck: {shard.problem}; to give it up: {give_up}")


@command(app, name="give-up")
def give_up(shell: Shell, job_id: JobId, shard: OneShard = None) -> Exit:
    """Give up what is stuck: its unanswered requests become failures. Other shards are not touched."""
    with shell.client() as client:
        job = client.jobs.give_up(job_id, shard=shard)
    return _ended(shell, job)


@command(app, name="send-again")
def send_again(shell: Shell, job_id: JobId, shard: OneShard = None) -> None:
    """Send what is stuck, or was given up or refused, once more, and pay for it again."""
    with shell.client() as client, advising(shell, client, lambda: job_id) as note, JobProgress() as progress:
        job = client.jobs.send_again(job_id, shard=shard, on_change=both(progress.watch, note))
    shell.show(job, facts)
    shell.say(f"to wait for it: {shell.again('jobs', 'resume', job_id)}")


@command(app)
def results(
    shell: Shell,
    job_id: JobId,
    *,
    output_path: Output = STDOUT,
    force: Force = False,
    match: MatchBy = None,
    partial: Annotated[
        bool,
        typer.Option(
            "--partial", help="What has been answered so far; the other lines have the error code not_yet."
        ),
    ] = False,
) -> Exit:
    """Write the results of a job that has ended: one line per request, in the order of the requests."""
    destination = Destination(output_path, force)
    destination.check()
    with shell.client() as client:
        if partial:
            return deliver_partial(shell, job_id, client.jobs.results(job_id, partial=True), destination)
        job = client.jobs.retrieve(job_id)
        if match is not None and not job.ended:
            job = client.jobs.resume(job_id, match=match)
        return deliver_job(shell, client, job, destination)


@command(app)
def delete(
    shell: Shell,
    job_id: JobId,
    files: Annotated[bool, typer.Option("--files", help="Delete its files at the service, too.")] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="Whatever its state: cancel its batches, and delete it."),
    ] = False,
) -> None:
    """Remove a job, its requests and its results from this machine."""
    with shell.client() as client:
        left = client.jobs.delete(job_id, files=files, force=force)
    shell.say(f"job {job_id} deleted")
    if force and left:
        shell.say("these stay at the service:")
        output.lines(left)


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
    yield "state", job.state
    yield "requests", f"{job.requests:,}: {job.answered:,} done, {job.failed:,} failed"
    yield "missing", job.missing or None
    rule = "by tiktoken" if job.tokens_counted_by == "tiktoken" else "at four bytes each"
    yield (
        "tokens",
        f"{job.input_tokens:,} in, {job.output_tokens:,} out; {job.estimated_tokens:,} in estimated {rule}",
    )
    yield "created", job.created
    yield "service", job.base_url
    yield "disk", None if job.disk_bytes is None else output.size(job.disk_bytes)
    yield "duplicates cancelled", job.duplicates_cancelled or None
    yield "stray lines", job.strays or None
    yield "last error", job.last_error
    for stuck in job.stuck:
        yield f"{stuck.name} stuck", stuck.problem
    for shard in job.shards[:_SHARDS_SHOWN]:
        yield shard.name, shard_text(shard)
    if len(job.shards) > _SHARDS_SHOWN:
        yield "more", f"{len(job.shards) - _SHARDS_SHOWN:,} more shards; --json shows all"


def shard_text(shard: Shard) -> str:
    """A shard in one line."""
    status = shard.status if shard.state == "created" else shard.state
    text = f"{status}, {shard.completed + shard.failed:,} of {shard.requests:,}"
    if shard.trouble:
        text += f", {shard.trouble.replace('_', ' ')}"
    if shard.generation:
        text += f", retry {shard.generation}"
    return f"{text}, {shard.batch_id}" if shard.batch_id else text


def _ended(shell: Shell, job: Job) -> Exit:
    shell.show(job, facts)
    if job.ended:
        shell.say(f"to get its results: {shell.again('jobs', 'results', job.id, '-o', 'results.jsonl')}")
    else:
        shell.say(f"to resume it: {shell.again('jobs', 'resume', job.id)}")
    return Exit.OK if job.ended and not job.failed and not job.cancelled else Exit.INCOMPLETE


def _row(job: Job) -> tuple[str, ...]:
    disk = None if job.disk_bytes is None else output.size(job.disk_bytes)
    cells = (job.id, job.state, job.answered, job.requests, job.failed, job.created, disk, job.base_url)
    return tuple(output.shown(each) for each in cells)


def warn_of_size(shell: Shell, found: list[Job]) -> None:
    """Mention it if the jobs take much of the disk."""
    total = sum(job.disk_bytes or 0 for job in found)
    if total > _MUCH_BYTES:
        again = shell.again("jobs", "prune", "--older-than", "30d")
        shell.say(f"warning: jobs take {output.size(total)} of this disk; remove old ones with: {again}")
