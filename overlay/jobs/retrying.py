"""Sending again what failed, whatever the reason: the caller's own decision, and what it costs is paid again.

What failed in a shard becomes that shard's next generation: its requests are on the disk, synced, before the ledger
says in one transaction that they are to be sent. From then on it is a generation like any other: what is answered
takes the place of the failure, what was answered before is neither sent nor changed, and a process that dies
leaves what the next one resumes. Done again after a crash before that, it gives the same files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from itertools import groupby

from overlay.errors import JobNotEndedError
from overlay.flows.steps import Flow, Work, deadline
from overlay.jobs.context import JobContext
from overlay.jobs.generations import following_of
from overlay.jobs.home import check_here
from overlay.jobs.opening import OnChange, opened_job
from overlay.jobs.records import Unit
from overlay.jobs.scheduler import work
from overlay.jobs.spool import lines_of, results_path, shard_path
from overlay.jobs.views import Job
from overlay.lines import replacing, storage_errors
from overlay.progress.showing import Shown, progress_of
from overlay.results.result import Result
from overlay.wire.connection import Settings


def retry(
    settings: Settings, job_id: str, *, on_change: OnChange | None = None, progress: Shown = None
) -> Flow[Job]:
    """Send the requests of a job that failed once more, whatever the reason, start what can start, and return.

    Nothing that was answered is sent, or paid for, again. The job is open until the retry has ended: wait for it;
    its results then have the new outcomes. The requests get `max_attempts` attempts anew. Shards that are still at
    work are left to it; without a failure, nothing is sent.

    Raises JobNotEndedError if the job was cancelled and has not ended, and what `resume` raises.
    """
    with (
        progress_of(progress) as shown,
        (yield from opened_job(settings, job_id, on_change, shown)) as opened,
    ):
        yield Work(partial(_plan, opened.context))
        yield from work(opened.context, until=deadline(settings, None), poll=1.0, once=True)
        return opened.view()


def _plan(context: JobContext) -> None:
    """Note in the ledger what is to be sent again."""
    record, units = context.record, context.ledger.units()
    check_here(record)
    if record.state != "open" and not all(unit.over for unit in units):
        raise JobNotEndedError(
            f"job {record.id} is {record.state}, and has not ended: wait for it, then retry", job_id=record.id
        )
    planned: list[Unit] = []
    for _, each in groupby(units, key=lambda unit: unit.shard):
        own = list(each)
        if all(unit.over for unit in own) and own[0].source != "repeated":
            following = _failed_part(context, own)
            if following is not None:
                planned.append(following)
    if not planned:
        return
    with context.ledger.transaction():
        for unit in units:
            if any(unit.shard == other.shard for other in planned):
                unit.missing = 0  # the next generation counts those that stay so
                context.ledger.save(unit)
            elif unit.source == "repeated":
                unit.state = "repeats"  # it gets the new answers
                context.ledger.save(unit)
        context.ledger.save(*planned)
        record.state, record.swept, record.last_error = "open", False, None
        record.checked, record.second_tries = False, 0
        context.ledger.save_job(record)
    for unit in planned:
        context.report(
            "resubmitted", unit, f"shard {unit.shard}: {unit.requests:,} requests will be sent again"
        )


def _failed_part(context: JobContext, own: Sequence[Unit]) -> Unit | None:
    """A generation of what failed in a shard, its requests on disk; None if nothing did."""
    whole, following = own[0], following_of(own)
    path = shard_path(context.folder, *following.key)
    results = results_path(context.folder, whole.shard)
    digest = hashlib.sha256()
    with replacing(path) as file:
        requests = lines_of(shard_path(context.folder, whole.shard, 0))
        for line, answer in zip(requests, lines_of(results), strict=True):
            if Result(answer).ok:
                continue
            with storage_errors(path):
                file.write(line)
            digest.update(line)
            following.requests += 1
            following.bytes += len(line)
            following.tokens += whole.tokens_of(len(line))
    if not following.requests:
        path.unlink()
        return None
    following.sha256 = digest.hexdigest()
    following.inputs = whole.inputs * following.requests // max(1, whole.requests)
    return following
