"""Jobs of uploaded shards: workers elsewhere move the bytes, and the ledger here decides.

Whatever an engine may run again is free to repeat: uploading, fetching, joining. What must happen once, creating a
batch and deciding what is sent again, happens here, with everything that a job has: limits of the account, the
search for lost creates, attempts, cancelling, costs.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import islice
from pathlib import Path
from types import EllipsisType
from typing import Any, TypeAlias

import attrs

from overlay.errors import ConfigurationError, JobMismatchError, WaitTimeoutError, WorkerError
from overlay.flows.steps import Deadline, Flow, Pull, Work, deadline
from overlay.jobs.ending import attempts, commit
from overlay.jobs.giving_up import reopen
from overlay.jobs.home import checked_job_id, home_id
from overlay.jobs.opening import OnChange, OpenJob, opened_job
from overlay.jobs.preparing import publish, spool_folder
from overlay.jobs.records import JobOptions, JobRecord, Unit, given_options
from overlay.jobs.scheduler import Round, stopped, work
from overlay.jobs.unanswered import stuck
from overlay.jobs.uploaded import ShardOutcome, ShardTask, UploadedShard, facts_of, leaving
from overlay.jobs.verbs import change_options
from overlay.jobs.views import Job
from overlay.operations.hints import Hints
from overlay.operations.offers import what_is_lost
from overlay.operations.waiting import checked_poll
from overlay.progress.showing import Shown, progress_of
from overlay.results.matching import Match
from overlay.wire.clock import Seconds
from overlay.wire.connection import Settings

RunTasks: TypeAlias = Callable[[Sequence[ShardTask]], Iterable[ShardOutcome]]
"""Does tasks on workers, and gives one outcome for each, in any order."""

_AT_ONCE = 256
"""Tasks that are handed to the workers together; batches are created and looked after between such waves."""
_ROWS_AT_ONCE = 1000
_FEW_PAGES = 5
_GROWTH = 1.5


def submit_uploaded(
    settings: Settings,
    rows: Iterable[UploadedShard],
    *,
    id: str,  # noqa: A002 - as `submit` has it
    digest: str = "",
    completion_window: str | EllipsisType = ...,
    metadata: Mapping[str, str] | EllipsisType | None = ...,
    output_expires_after: Seconds | EllipsisType | None = ...,
    max_enqueued_tokens: int | EllipsisType | None = ...,
    max_enqueued_inputs: int | EllipsisType | None = ...,
    max_batches: int | EllipsisType | None = ...,
    max_creates_per_hour: int | EllipsisType = ...,
    max_attempts: int | EllipsisType = ...,
    delete_files: bool | EllipsisType = ...,
    grace: Seconds | EllipsisType = ...,
    poll: Seconds | EllipsisType = ...,
    match: Match | None = None,
    on_change: OnChange | None = None,
    extra_body: Mapping[str, Any] | EllipsisType | None = ...,
    extra_query: Mapping[str, Any] | EllipsisType | None = ...,
) -> Flow[Job]:
    """Make one job of shards that workers have uploaded, start as many of its batches as may run, and return.

    `rows`, one for each shard, are read while the job is locked, and are in its ledger in one step: a process that
    dies before leaves files that no batch names, which `clean` finds. If the job has its shards already, `rows` is
    not read, and the job goes on. `digest` tells what is asked from something else under the same id. The other
    options are those of `submit`.

    Raises JobMismatchError if the id belongs to something else; JobLockedError, with who works on it; StorageError;
    what reading `rows` raises; and what the service refuses.
    """
    given = given_options(
        completion_window=completion_window,
        metadata=metadata,
        output_expires_after=output_expires_after,
        max_enqueued_tokens=max_enqueued_tokens,
        max_enqueued_inputs=max_enqueued_inputs,
        max_batches=max_batches,
        max_creates_per_hour=max_creates_per_hour,
        max_attempts=max_attempts,
        delete_files=delete_files,
        grace=grace,
        poll=poll,
        match=... if match is None else match,
        extra_body=extra_body,
        extra_query=extra_query,
    )
    service = settings.service
    usual: dict[str, Any] = {"completion_window": service.window, "max_batches": service.live_batches}
    record = JobRecord(
        id=checked_job_id(id),
        digest=digest,
        base_url=settings.base_url,
        created_at=settings.clock.time(),
        requests=0,
        options=JobOptions(**{**usual, **given}),
        home=(yield Work(partial(home_id, settings))),
        uploaded="filling",
    )
    with ExitStack() as stack:
        folder: Path = yield Work(partial(spool_folder, settings, stack))
        yield Work(partial(publish, settings, folder, record, []))
    with (yield from opened_job(settings, record.id, on_change)) as opened:
        context = opened.context
        _check_elsewhere(context.record)
        yield Work(partial(change_options, opened, given))
        if context.record.uploaded == "filling":
            for sentence in what_is_lost(service):
                context.report("waiting", None, sentence)
            yield from _fill(opened, rows)
        if context.record.state == "failed":
            yield Work(partial(reopen, context))
        yield from work_once(opened)
        return opened.view()


def work_once(opened: OpenJob) -> Flow[None]:
    """Start what may start."""
    yield from work(opened.context, until=deadline(opened.context.settings, None), poll=1.0, once=True)


def _check_elsewhere(record: JobRecord) -> None:
    if not record.elsewhere:
        raise JobMismatchError(
            f"job {record.id} exists, and has its requests on this machine; use another id", job_id=record.id
        )


def _fill(opened: OpenJob, rows: Iterable[UploadedShard]) -> Flow[None]:
    """Put the shards into the ledger, all or none."""
    context = opened.context
    source = iter(rows)
    units: list[Unit] = []
    files: set[str] = set()
    while some := (yield Pull(source, _ROWS_AT_ONCE)):
        for row in some:
            if row.file_id in files:
                raise ConfigurationError(f"the file {row.file_id} was given twice, as two shards")
            files.add(row.file_id)
            units.append(_unit(row, len(units)))
    if not units:
        raise ConfigurationError(f"job {context.record.id}: there are no requests")

    def put() -> None:
        record = context.record
        with context.ledger.transaction():
            context.ledger.save(*units)
            record.requests, record.uploaded = sum(unit.requests for unit in units), "filled"
            context.ledger.save_job(record)

    yield Work(put)


def _unit(row: UploadedShard, shard: int, generation: int = 0, part: int = 0) -> Unit:
    return Unit(
        shard=shard,
        generation=generation,
        part=part,
        state="uploaded",
        endpoint=row.endpoint,
        model=row.model,
        requests=row.requests,
        shard_requests=row.requests,
        bytes=row.size,
        tokens=row.tokens,
        inputs=row.inputs,
        sha256=row.sha256,
        file_id=row.file_id,
        file_created_at=row.file_created_at,
    )


def drive(
    settings: Settings,
    job_id: str,
    run: RunTasks,
    *,
    timeout: Seconds | None = None,
    poll: Seconds | None = None,
    on_change: OnChange | None = None,
    progress: Shown = None,
) -> Flow[list[str]]:
    """Work on a job of uploaded shards until every request has its result, and return the names under which the
    workers keep the results, in the order of the shards. Each request is in one of them, once.

    `run` is given up to 256 tasks at a time, and gives one outcome for each. `timeout` and `poll` are timedeltas or
    seconds.

    Raises what `wait` raises, and WorkerError for what stops the workers.
    """
    with (
        progress_of(progress) as shown,
        (yield from opened_job(settings, job_id, on_change, shown)) as opened,
    ):
        context = opened.context
        _check_elsewhere(context.record)
        if context.record.uploaded == "filling":
            raise ConfigurationError(f"job {job_id} has no shards yet: submit them first")
        pause = context.record.options.poll if poll is None else checked_poll(poll)
        driving = _Driving(opened, run, pause)
        yield from stopped(context, driving.until_done(deadline(settings, timeout)))
        names: list[str] = yield Work(lambda: _names(context.ledger.saved()))
        return names


def _names(units: Iterable[Unit]) -> list[str]:
    return [unit.staged for unit in units if unit.staged]


class _Driving:
    """A job of uploaded shards that is being worked on."""

    def __init__(self, opened: OpenJob, run: RunTasks, poll: float) -> None:
        self._context = opened.context
        self._run = run
        self._round = Round(opened.context)
        self._poll = poll

    def until_done(self, until: Deadline) -> Flow[None]:
        """Rounds of looking at the service, and of handing out what is left for workers to do."""
        context, round_, pause = self._context, self._round, self._poll
        context.until = until
        hints = Hints(context.settings)
        while not round_.is_done():
            before = round_.fingerprint()
            yield from round_.turn(tolerant=True)
            round_.forget_limits()
            handed = yield from self._hand_out()
            if handed >= _AT_ONCE or round_.is_done():
                continue
            if handed or round_.fingerprint() != before:
                pause = self._poll
            else:
                yield from round_.give_up_if_stuck()
            if until.left <= 0:
                job = round_.view()
                raise WaitTimeoutError(
                    f"job {context.record.id} has not ended in time ({job.progress:.0%}); run it again to go on",
                    batch_id=None,
                    status=None,
                )
            if (unknown := stuck(round_.units())) is not None:
                raise unknown
            # Thousands of batches take many pages: about one a second is asked for.
            pages = round_.poller.pages if round_.poller.pages > _FEW_PAGES else 0
            rest = min(until.left, max(pages, pause * random.uniform(0.8, 1.2)))  # noqa: S311 - spreads load
            context.pauses(rest)
            if (yield from hints.rest(rest, round_.batch_ids())):
                pause = self._poll
            else:
                pause = min(hints.longest_pause, pause * _GROWTH)
        if not context.record.swept:
            yield from round_.poller.sweep()
        context.report("ended", None, "every request has its answer in the workers' place")

    def _hand_out(self) -> Flow[int]:
        """Give workers what is to be done; how much of it was."""
        tasks = {(task.shard, task.generation, task.part): task for task in islice(self._tasks(), _AT_ONCE)}
        if not tasks:
            return 0
        units = {unit.key: unit for unit in self._round.units()}
        outcomes: Iterable[ShardOutcome] = yield Work(lambda: self._run(list(tasks.values())))
        done = 0
        with leaving(outcomes):
            source = iter(outcomes)
            while some := (yield Pull(source, 1)):  # each into the ledger, as soon as it is known
                key = some[0].shard, some[0].generation, some[0].part
                task = tasks.pop(key, None)
                if task is not None:  # and not told twice
                    done += yield from self._settle(units[key], task, some[0])
        if tasks:
            raise WorkerError(f"the workers gave no outcome for {len(tasks):,} of their tasks")
        yield from self._round.reload()
        return done

    def _tasks(self) -> Iterable[ShardTask]:
        record, round_ = self._context.record, self._round
        is_open = record.state == "open"
        for unit in round_.units():
            if unit.over or unit.key in round_.stuck:
                continue
            if unit.state == "ended":
                again = is_open and attempts(unit) < int(record.options.max_attempts)
                given_up = (
                    unit.problem or "its create was never answered" if unit.trouble == "given_up" else None
                )
                task = _task("join", unit, again=again, whole=is_open, given_up=given_up)
                yield attrs.evolve(task, batch_id=unit.batch_id, match=record.options.match)
            elif unit.state in {"planned", "uploading"} and is_open:
                yield _task("upload", unit)
            elif unit.state == "uploaded" and is_open and (most := round_.most_tokens(unit)) is not None:
                yield _task("split", unit, most_tokens=most)

    def _settle(self, unit: Unit, task: ShardTask, outcome: ShardOutcome) -> Flow[bool]:
        """Put an outcome into the ledger; whether it is one."""
        context = self._context
        if outcome.error is not None:
            if outcome.scope == "everything":
                raise WorkerError(f"job {context.record.id}, shard {unit.shard}: {outcome.error}")
            if outcome.scope == "shard":
                yield from self._round.stuck.note(unit, WorkerError(outcome.error))
            else:
                context.report("outage", unit, f"shard {unit.shard}: {outcome.error}")
            return False
        unit.problem = outcome.problem
        if unit.trouble == "stuck":
            unit.trouble = None
        if task.kind == "join":
            yield from self._joined(unit, outcome)
        elif task.kind == "upload":
            (row,) = outcome.uploaded
            unit.state, unit.file_id, unit.file_created_at = "uploaded", row.file_id, row.file_created_at
            yield from context.save(unit)
            context.report("uploaded", unit, f"shard {unit.shard}: {unit.requests:,} requests uploaded")
        else:
            yield Work(partial(self._split, unit, outcome.uploaded))
            parts = f"split into {len(outcome.uploaded)} parts of at most {task.most_tokens:,} tokens"
            context.report("split", unit, f"shard {unit.shard}: {parts}")
        return True

    def _joined(self, unit: Unit, outcome: ShardOutcome) -> Flow[None]:
        context = self._context
        unit.ok, unit.missing, unit.strays = outcome.ok, outcome.missing, outcome.strays
        unit.input_tokens, unit.output_tokens = outcome.input_tokens, outcome.output_tokens
        unit.staged, unit.state = outcome.staged, "done"
        following: Unit | None = None
        for row in outcome.uploaded:
            following = _unit(row, unit.shard, unit.generation + 1, unit.part)
            following.attempts_from, following.shard_requests = unit.attempts_from, unit.shard_requests
        yield Work(partial(commit, context, unit, following, outcome.result_files))
        context.report("fetched", unit, f"shard {unit.shard}: {unit.ok:,} of {unit.requests:,} succeeded")
        if unit.problem is not None:
            context.report("stopped", unit, f"shard {unit.shard}: {unit.problem}")
        if following is not None:
            again = f"shard {unit.shard}: {following.requests:,} requests will be sent again"
            context.report("resubmitted", following, again)

    def _split(self, unit: Unit, rows: Sequence[UploadedShard]) -> None:
        ledger = self._context.ledger
        first = 1 + max(other.part for other in ledger.saved() if other.shard == unit.shard)
        parts = [_unit(row, unit.shard, unit.generation, first + at) for at, row in enumerate(rows)]
        # What was answered before the split counts for one of them.
        parts[0].shard_requests += unit.shard_requests - unit.requests
        for part in parts:
            part.attempts_from = unit.attempts_from
        with ledger.transaction():
            ledger.add_litter(unit.file_id)
            unit.state, unit.file_id, unit.file_created_at = "split", None, None
            ledger.save(unit, *parts)


def _task(kind: Any, unit: Unit, **more: Any) -> ShardTask:
    shard, generation, part = unit.key
    return ShardTask(
        kind=kind,
        shard=shard,
        generation=generation,
        part=part,
        file_id=unit.file_id,
        **facts_of(unit),
        **more,
    )
