"""`overlay jobs …`: the jobs on this machine, started, watched, cancelled, and their results."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from overlay.cli import job_upkeep
from overlay.cli.advice import advising, noting
from overlay.cli.arguments import (
    DeleteFiles,
    Field,
    Force,
    JobId,
    MatchBy,
    MaxAttempts,
    MaxBatches,
    MaxCreates,
    MaxTokens,
    Metadata,
    Notify,
    NotifySecret,
    Output,
    Poll,
    PollAgain,
    Quiet,
    RequestsFile,
    Timeout,
    Window,
    fields,
    named,
)
from overlay.cli.delivery import deliver_job, deliver_partial
from overlay.cli.destination import STDOUT, Destination
from overlay.cli.endings import Exit
from overlay.cli.job_ids import whole_id
from overlay.cli.job_options import JobFlags
from overlay.cli.job_progress import job_progress
from overlay.cli.job_tables import ended, facts, list_failures, list_jobs, started, warn_of_size
from overlay.cli.running import run_job
from overlay.cli.shell import Shell, command
from overlay.cli.standard_input import requests_of

app = typer.Typer(
    help="Submit, watch and cancel jobs, and fetch their results.",
    rich_markup_mode=None,
    no_args_is_help=True,
)


@command(app)
def submit(
    shell: Shell,
    file: RequestsFile,
    *,
    job_id: Annotated[
        str | None, typer.Option("--id", metavar="JOB_ID", help="By default it derives from the requests.")
    ] = None,
    completion_window: Window = None,
    metadata: Metadata = None,
    max_enqueued_tokens: MaxTokens = None,
    max_batches: MaxBatches = None,
    max_creates_per_hour: MaxCreates = None,
    max_attempts: MaxAttempts = None,
    delete_files: DeleteFiles = None,
    poll: Poll = 5.0,
    match: MatchBy = None,
    notify: Notify = None,
    notify_secret_file: NotifySecret = None,
    again: Annotated[
        bool, typer.Option("--again", help="Send the file even if it was sent before, and pay again.")
    ] = False,
    field: Field = None,
    quiet: Quiet = False,
) -> Exit:
    """Send a file of requests as one job, and return; `jobs wait` waits for it. This costs money."""
    flags = JobFlags(
        completion_window=completion_window,
        metadata=metadata,
        max_enqueued_tokens=max_enqueued_tokens,
        max_batches=max_batches,
        max_creates_per_hour=max_creates_per_hour,
        max_attempts=max_attempts,
        delete_files=delete_files,
        poll=poll,
        match=match,
        notify=notify,
        notify_secret_file=notify_secret_file,
        again=again,
        quiet=quiet,
    )
    with shell.client() as client:
        job = run_job(
            shell,
            client,
            requests_of(file),
            flags=flags,
            destination=None,
            go_on=lambda job: shell.again("jobs", "wait", job),
            extra_body=fields(field),
            job_id=job_id,
        )
    return started(shell, job, quiet=quiet)


@command(app, name="list")
def list_(shell: Shell) -> None:
    """List the jobs on this machine, newest first."""
    with shell.client(local=True) as client:
        found = client.jobs.list()
    list_jobs(shell, found)
    if not found and not shell.json:
        shell.say("no jobs on this machine yet: `overlay run` and `overlay map` start some")
    warn_of_size(shell, found)


@command(app, alias="show", hidden_alias=True)
def retrieve(shell: Shell, job_id: JobId) -> None:
    """Show a job and its shards, as recorded on this machine."""
    with shell.client(local=True) as client:
        shell.show(client.jobs.retrieve(whole_id(client, job_id)), facts)


@command(app, alias="resume")
def wait(
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
    notify: Notify = None,
    notify_secret_file: NotifySecret = None,
) -> Exit:
    """Wait until a job has ended, and resume it if it was stopped. Options that are given change the job's."""
    changes = named(
        max_enqueued_tokens=max_enqueued_tokens,
        max_batches=max_batches,
        max_creates_per_hour=max_creates_per_hour,
        max_attempts=max_attempts,
        delete_files=delete_files,
        match=match,
        notify=notify,
        notify_secret_file=notify_secret_file,
    )
    with shell.client() as client:
        job_id = whole_id(client, job_id)
        with advising(shell, client, lambda: job_id) as note, job_progress() as progress:
            note(client.jobs.retrieve(job_id))
            watching: dict[str, Any] = {"on_change": noting(note), "progress": progress}
            job = client.jobs.wait(job_id, timeout=timeout, poll=poll, **watching, **changes)
        return ended(shell, client, job)


@command(app)
def retry(
    shell: Shell,
    job_id: JobId,
    *,
    detach: Annotated[bool, typer.Option("--detach", help="Send it, and do not wait.")] = False,
    timeout: Timeout = None,
    poll: PollAgain = None,
    quiet: Quiet = False,
) -> Exit:
    """Send again what failed, whatever the reason, and pay for that. What was answered stays as it is."""
    with shell.client() as client:
        job_id = whole_id(client, job_id)
        with advising(shell, client, lambda: job_id) as note, job_progress(quiet=quiet) as progress:
            watching: dict[str, Any] = {"on_change": noting(note), "progress": progress}
            job = client.jobs.retry(job_id, **watching)
            if detach:
                return started(shell, job, quiet=quiet)
            if not job.ended:
                note(job)
                job = client.jobs.wait(job_id, timeout=timeout, poll=poll, **watching)
        return ended(shell, client, job, quiet=quiet)


@command(app)
def failures(shell: Shell, job_id: JobId) -> Exit:
    """Show what failed so far, by error code, with an example of each."""
    with shell.client(local=True) as client:
        job_id = whole_id(client, job_id)
        found = client.jobs.failures(job_id)
    list_failures(shell, found)
    if found:
        shell.say(f"to send them again, and pay for that: {shell.again('jobs', 'retry', job_id)}")
    else:
        shell.say("nothing has failed")
    return Exit.INCOMPLETE if found else Exit.OK


@command(app)
def cancel(shell: Shell, job_id: JobId) -> None:
    """Cancel a job's batches. Requests already answered are kept, and billed."""
    with shell.client() as client:
        job_id = whole_id(client, job_id)
        job = client.jobs.cancel(job_id)
    shell.show(job, facts)
    if job.ended:
        shell.say(f"to get its results: {shell.again('jobs', 'results', job_id, '-o', 'results.jsonl')}")
    else:
        go_on = (
            "run the program again that submitted it"
            if job.elsewhere
            else shell.again("jobs", "resume", job_id)
        )
        shell.say(f"to fetch what was answered: {go_on}")
    for shard in job.stuck:
        give_up = shell.again("jobs", "give-up", job_id, "--shard", str(shard.number))
        shell.say(f"{shard.name} is stuck: {shard.problem}; to give it up: {give_up}")


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
    failed_only: Annotated[
        bool,
        typer.Option("--failed-only", help="Only the lines of requests that failed.", show_default=False),
    ] = False,
) -> Exit:
    """Write the results of a job that has ended: one line per request, in the order of the requests."""
    destination = Destination(output_path, force)
    destination.check()
    with shell.client(local=match is None) as client:
        job_id = whole_id(client, job_id)
        if partial:
            found = client.jobs.results(job_id, partial=True)
            return deliver_partial(shell, job_id, found, destination, failed_only=failed_only)
        job = client.jobs.retrieve(job_id)
        if match is not None and not job.ended:
            job = client.jobs.resume(job_id, match=match)
        return deliver_job(shell, client, job, destination, failed_only=failed_only)


app.add_typer(job_upkeep.app)
