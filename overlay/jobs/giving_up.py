"""The ways out for a shard that no waiting helps: give up its requests, or pay for them again.

Both are the caller's own decisions, and refused for a batch that is seen to run. The input file is deleted, or
remembered as lost, so that a batch which appears later is cancelled as a duplicate.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from overlay.errors import APIError, ConfigurationError, JobNotEndedError, NotFoundError, TokenProviderError
from overlay.flows.steps import Flow, Work, deadline
from overlay.jobs.context import JobContext
from overlay.jobs.ending import finish
from overlay.jobs.merging import fetched_path
from overlay.jobs.opening import OnChange, opened_job
from overlay.jobs.records import LostFile, Unit
from overlay.jobs.scheduler import work
from overlay.jobs.telling import tell_end
from overlay.jobs.troubles import is_final
from overlay.jobs.views import Job
from overlay.models import Batch
from overlay.operations import batches, files
from overlay.operations.adopting import search
from overlay.results.shapes import GIVEN_UP, LineError
from overlay.wire.connection import Settings


def give_up(
    settings: Settings, job_id: str, *, shard: int | None = None, on_change: OnChange | None = None
) -> Flow[Job]:
    """Give up what is stuck: its unanswered requests become failures with the code `given_up`.

    `shard` is the number of one shard; by default, all that are stuck are given up. A batch that appears later is
    cancelled when the job is next waited for.

    Raises JobNotEndedError if the shard's batch is there, or none is stuck; ConfigurationError if there is no such
    shard; and what the service refuses.
    """
    with (yield from opened_job(settings, job_id, on_change)) as opened:
        context = opened.context
        units: list[Unit] = yield Work(context.ledger.units)
        for unit in (yield from _chosen(context, units, shard, _may_be_given_up)):
            yield from _give_up(context, unit)
        yield from tell_end(context)
        return opened.view()


def send_again(
    settings: Settings, job_id: str, *, shard: int | None = None, on_change: OnChange | None = None
) -> Flow[Job]:
    """Send what is stuck, was given up, or was refused once more, as new batches, and pay for it again.

    `shard` is as for `give_up`. An earlier batch that appears after all is cancelled, if it has not run already.

    Raises what `give_up` and `resume` raise; ConfigurationError if the job is cancelled.
    """
    with (yield from opened_job(settings, job_id, on_change)) as opened:
        context = opened.context
        if context.record.state == "cancelled":
            raise ConfigurationError(f"job {job_id} is cancelled; submit its requests under another id")
        units: list[Unit] = yield Work(context.ledger.units)
        chosen = yield from _chosen(context, units, shard, _may_be_sent_again)
        for unit in chosen:
            yield from _lose(context, unit)
        yield Work(partial(_reset, context, chosen))
        yield from work(context, until=deadline(settings, None), poll=1.0, once=True)
        return opened.view()


def reopen(context: JobContext) -> None:
    """Make a job that was refused as a whole one that was never sent."""
    _reset(context, [unit for unit in context.ledger.units() if _may_be_sent_again(unit)])


def _may_be_given_up(unit: Unit) -> bool:
    return not unit.over and (unit.trouble is not None or unit.state in {"creating", "fencing"})


def _may_be_sent_again(unit: Unit) -> bool:
    # What was answered in part would be paid for twice.
    return _may_be_given_up(unit) or (unit.state == "done" and unit.trouble is not None and not unit.ok)


def _chosen(
    context: JobContext, units: list[Unit], shard: int | None, fits: Callable[[Unit], bool]
) -> Flow[list[Unit]]:
    """The units that are meant, none of which has a batch that is at work, or can be collected."""
    job_id = context.record.id
    if shard is not None and shard not in {unit.shard for unit in units}:
        raise ConfigurationError(f"job {job_id} has no shard {shard}")
    meant = [unit for unit in units if shard in {None, unit.shard}]
    chosen: list[Unit] = []
    for unit in meant:
        if not fits(unit) and (shard is None or unit.state != "created"):
            continue
        batch = None if unit.over else (yield from _visible(context, unit))
        if batch is None or (unit.trouble is not None and unit.state == "ended"):
            chosen.append(unit)
        elif shard is not None:
            raise JobNotEndedError(
                f"job {job_id}, shard {shard}: its batch {batch.id} is there, {batch.status}; resume the job, or "
                "cancel it",
                job_id=job_id,
            )
    if not chosen and not all(unit.over for unit in units):
        where = "no shard" if shard is None else f"shard {shard}"
        raise JobNotEndedError(
            f"job {job_id}: {where} is {'' if shard is None else 'not '}stuck; wait for the job, or cancel it",
            job_id=job_id,
        )
    return chosen


def _visible(context: JobContext, unit: Unit) -> Flow[Batch | None]:
    """A batch of the unit, if the service shows one."""
    if unit.state in {"planned", "uploading", "uploaded"}:
        return None
    try:
        if unit.batch_id is not None and unit.state in {"created", "ended"}:
            return (yield from batches.retrieve(context.settings, unit.batch_id))
        given = yield Work(context.given)
        found = yield from search(context.settings, context.sought(unit, given), grace=0.0, needed=1)
    except APIError as error:
        if not is_final(error):
            raise
        return None
    return found.ours[0] if found.ours else None


def _give_up(context: JobContext, unit: Unit) -> Flow[None]:
    answers, names = (yield from _salvage(context, unit)) if _has_answers_here(context, unit) else ([], [])
    unanswered = LineError(GIVEN_UP, f"given up: {unit.problem or 'its create was never answered'}")
    yield from _lose(context, unit)
    unit.trouble = "given_up"
    yield from finish(context, unit, answers, *names, unanswered=unanswered)


def _has_answers_here(context: JobContext, unit: Unit) -> bool:
    return unit.state == "ended" and not context.record.elsewhere


def _salvage(context: JobContext, unit: Unit) -> Flow[tuple[list[Path], list[str]]]:
    """What can be fetched of an ended batch's answers."""
    answers: list[Path] = []
    names: list[str] = []
    try:
        batch = yield from batches.retrieve(context.settings, unit.batch_id or "")
    except NotFoundError:
        return answers, names
    for kind, file_id in (("output", batch.output_file_id), ("error", batch.error_file_id)):
        if file_id:
            path = fetched_path(context.folder, unit, kind)
            with suppress(APIError):  # the service is there: what it cannot give, it does not have
                yield from files.fetch_measured(context.settings, file_id, path, lasting=True)
                answers.append(path)
                names.append(file_id)
    return answers, names


def _lose(context: JobContext, unit: Unit) -> Flow[None]:
    """Remember the input file of a unit that may have a batch: one that appears is too many.

    It is deleted, too, if a create may be on its way, which then fails.
    """
    if unit.file_id and unit.live:
        yield Work(partial(context.ledger.lose, LostFile(unit.file_id, unit.file_created_at, *unit.key)))
        if unit.state != "created":
            with suppress(APIError, TokenProviderError):
                yield from files.delete(context.settings, unit.file_id)


def _reset(context: JobContext, units: list[Unit]) -> None:
    """Make units that have never been sent, in the ledger, of those that were."""
    for unit in units:
        for kind in ("output", "error"):
            fetched_path(context.folder, unit, kind).unlink(missing_ok=True)
        with context.ledger.transaction():
            context.ledger.add_litter(unit.file_id)
            if unit.state == "ended" and unit.batch_id:
                context.ledger.spend(unit.batch_id, "sent again")
            unit.state, unit.trouble, unit.problem, unit.adopted = "planned", None, None, None
            unit.file_id = unit.file_created_at = unit.batch_id = unit.status = None
            unit.creating_at = unit.created_at = unit.nonce = unit.staged = None
            unit.looks = unit.completed = unit.failed = unit.missing = 0
            unit.input_tokens = unit.output_tokens = unit.strays = 0
            context.ledger.save(unit)
    repeated = [unit for unit in context.ledger.units() if unit.source == "repeated" and not unit.generation]
    for unit in repeated if units else ():
        unit.state = "repeats"  # it gets the new answers
    context.ledger.save(*repeated)
    record = context.record
    record.swept = False
    if record.state == "failed":
        record.state = "open"
    context.ledger.save_job(record)
