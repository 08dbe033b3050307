"""`overlay jobs …`: what is done to jobs that are stuck, lost, or in the way."""

from __future__ import annotations

from typing import Annotated

import typer

from overlay.cli import output
from overlay.cli.advice import advising, both, noting
from overlay.cli.arguments import JobId, Quiet, seconds
from overlay.cli.columns import Column
from overlay.cli.endings import Exit
from overlay.cli.job_ids import whole_id
from overlay.cli.job_progress import job_progress
from overlay.cli.job_tables import ended, list_jobs, started
from overlay.cli.shell import Shell, command

app = typer.Typer(rich_markup_mode=None)

OneShard = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="The shard's number; by default, all that are stuck.")
]
_FILE_COLUMNS = (*map(Column, ("ID", "BYTES", "CREATED")), Column("NAME", gives_way=True))


@command(app, name="give-up")
def give_up(shell: Shell, job_id: JobId, shard: OneShard = None) -> Exit:
    """Give up what is stuck: its unanswered requests become failures. Other shards are not touched."""
    with shell.client() as client:
        job = client.jobs.give_up(whole_id(client, job_id), shard=shard)
        return ended(shell, client, job)


@command(app, name="send-again")
def send_again(shell: Shell, job_id: JobId, shard: OneShard = None, quiet: Quiet = False) -> Exit:
    """Send what is stuck, or was given up or refused, once more, and pay for it again."""
    with shell.client() as client:
        job_id = whole_id(client, job_id)
        with advising(shell, client, lambda: job_id) as note, job_progress(quiet=quiet) as progress:
            job = client.jobs.send_again(job_id, shard=shard, on_change=both(progress.watch, noting(note)))
    return started(shell, job, quiet=quiet)


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
    with shell.client(local=not (files or force)) as client:
        job_id = whole_id(client, job_id)
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
    with shell.client(local=True) as client:
        found = client.jobs.prune(older_than=older_than, dry_run=dry_run)
    list_jobs(shell, found)
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
    output.listing(
        found,
        _FILE_COLUMNS,
        lambda file: (file.id, file.bytes, file.created, file.filename),
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
    quiet: Quiet = False,
) -> None:
    """Rebuild jobs whose ledger is damaged or missing, from the service's own records.

    Without JOB_ID: the jobs of this home folder.
    """
    with shell.client() as client:
        found = client.jobs.recover(job_id, home=home_id)
    if quiet:
        output.lines(job.id for job in found)
        return
    list_jobs(shell, found)
    for job in found:
        shell.say(f"job {job.id} is recovered; resume it with: {shell.again('jobs', 'resume', job.id)}")
    if not found:
        shell.say("no job needs to be recovered")
