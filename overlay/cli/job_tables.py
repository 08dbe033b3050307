"""A job as people read it: the facts of one, and a row in a list of many."""

from __future__ import annotations

from collections.abc import Iterator

from overlay.cli import output
from overlay.cli.columns import Column
from overlay.cli.costs import money
from overlay.cli.endings import Exit
from overlay.cli.shell import Shell
from overlay.client import Client
from overlay.jobs.views import Job, Shard
from overlay.results.failures import Failure

_SHARDS_SHOWN = 20
_MUCH_BYTES = 10 * 10**9
"""Jobs that take more of the disk than this are mentioned."""
_COLUMNS = (
    Column("ID"),
    Column("STATE"),
    Column("DONE"),
    Column("TOTAL"),
    Column("FAILED", wide=True),
    Column("CREATED"),
    Column("FILE", gives_way=True),
    Column("MODEL", gives_way=True),
    Column("DISK", wide=True),
    Column("SERVICE", wide=True),
)

_FAILURE_COLUMNS = (
    *map(Column, ("COUNT", "CODE")),
    Column("EXAMPLE", gives_way=True),
    Column("MESSAGE", gives_way=True),
)
_FAILURES_SHOWN = 5
_FAILURE_KEPT = 300


def list_jobs(shell: Shell, found: list[Job]) -> None:
    """Print jobs, as a table or as JSON lines."""
    output.listing(found, _COLUMNS, _row, most=None, as_json=bool(shell.json))


def facts(job: Job) -> Iterator[tuple[str, object]]:
    """What people want to know about a job."""
    yield "id", job.id
    yield "state", job.state
    yield "file", job.source
    yield "requests", f"{job.requests:,}: {job.answered:,} done, {job.failed:,} failed"
    yield "missing", job.missing or None
    rule = "by tiktoken" if job.tokens_counted_by == "tiktoken" else "at four bytes each"
    yield (
        "tokens",
        f"{job.input_tokens:,} in, {job.output_tokens:,} out; {job.estimated_tokens:,} in estimated {rule}",
    )
    cost = job.receipt().cost
    yield "cost", None if cost is None else f"{money(cost)} at batch rates"
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


def list_failures(shell: Shell, found: list[Failure]) -> None:
    """Print failures by their code, as a table or as JSON lines."""
    output.listing(found, _FAILURE_COLUMNS, _failure_row, most=None, as_json=bool(shell.json))


def not_sent(job: Job) -> str | None:
    """How many requests were answered without being sent, and why; None if all were sent."""
    spared = ((job.reused, "answered by earlier jobs"), (job.repeated, "the same as others of the job"))
    told = ", ".join(f"{count:,} {why}" for count, why in spared if count)
    return f"not sent: {told}" if told else None


def say_failures(shell: Shell, job: Job, found: list[Failure]) -> None:
    """Sum up what failed in a job, and say how to send it again."""
    for failure in found[:_FAILURES_SHOWN]:
        shell.say(f"failed: {failure}"[:_FAILURE_KEPT])
    if len(found) > _FAILURES_SHOWN:
        more = shell.again("jobs", "failures", job.id)
        shell.say(f"and {len(found) - _FAILURES_SHOWN:,} more kinds; to see all: {more}")
    if found:
        shell.say(f"to send them again, and pay for that: {shell.again('jobs', 'retry', job.id)}")


def ended(shell: Shell, client: Client, job: Job, *, quiet: bool = False) -> Exit:
    """Show a job that was worked on, and what to do next."""
    shell.show(job, facts, quiet=quiet)
    if quiet:
        return Exit.OK if job.ended and not job.failed and not job.cancelled else Exit.INCOMPLETE
    if job.ended and job.failed:
        say_failures(shell, job, client.jobs.failures(job.id))
    if job.ended:
        shell.say(f"to get its results: {shell.again('jobs', 'results', job.id, '-o', 'results.jsonl')}")
    else:
        shell.say(f"to resume it: {shell.again('jobs', 'resume', job.id)}")
    return Exit.OK if job.ended and not job.failed and not job.cancelled else Exit.INCOMPLETE


def started(shell: Shell, job: Job, *, quiet: bool) -> Exit:
    """Show a job that goes on without this process, and how to get back to it."""
    shell.show(job, facts, quiet=quiet)
    if not quiet:
        shell.say(f"to wait for it: {shell.again('jobs', 'wait', job.id)}")
        shell.say(f"to get its results: {shell.again('jobs', 'results', job.id, '-o', 'results.jsonl')}")
    return Exit.OK


def warn_of_size(shell: Shell, found: list[Job]) -> None:
    """Mention it if the jobs take much of the disk."""
    total = sum(job.disk_bytes or 0 for job in found)
    if total > _MUCH_BYTES:
        again = shell.again("jobs", "prune", "--older-than", "30d")
        shell.say(f"warning: jobs take {output.size(total)} of this disk; remove old ones with: {again}")


def _failure_row(failure: Failure) -> tuple[object, ...]:
    return failure.count, failure.code, failure.custom_id, failure.message


def _row(job: Job) -> tuple[object, ...]:
    disk = None if job.disk_bytes is None else output.size(job.disk_bytes)
    models = ", ".join(job.models)
    return (
        job.id,
        job.state,
        f"{job.progress:.0%}",
        job.requests,
        job.failed,
        job.created,
        job.source,
        models,
        disk,
        job.base_url,
    )
