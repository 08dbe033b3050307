"""The end of a shard's generation: fetch the answers, merge them, and plan what follows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from overlay.errors import (
    BatchFailedError,
    ConflictError,
    FileGoneError,
    InvalidInputError,
    NotFoundError,
    Problem,
    UnclaimedAnswersError,
)
from overlay.flows.steps import Flow, Work, deadline
from overlay.jobs.context import JobContext
from overlay.jobs.limits import meet_limit
from overlay.jobs.merging import fetched_path, merge, remove_fetched
from overlay.jobs.observing import step
from overlay.jobs.positions import positions
from overlay.jobs.records import LostFile, Unit
from overlay.models import Batch, says_complete
from overlay.operations import files
from overlay.operations.batches import cancel
from overlay.operations.caps import limit_in
from overlay.operations.create import failed_without_file
from overlay.operations.young_files import is_young
from overlay.results.answer_files import fetch_answers, is_absent, may_appear_for
from overlay.results.fetching import batch_failed, failed, with_files
from overlay.results.shapes import REFUSED, LineError
from overlay.statuses import plain_status

_NO_FILE = "no input file"
"""Why a batch is spent that failed because its input file was not there."""
_MOST_LOST = 5
"""Input files of one unit that may get lost before it is said that something is wrong."""


@step("job cancel")
def stop(context: JobContext, unit: Unit) -> Flow[None]:
    """Ask the service to stop a unit's batch, once."""
    if plain_status(unit.status) in {"cancelling", "cancelled"} or not context.settings.service.cancels:
        return
    try:
        batch = yield from cancel(context.settings, unit.batch_id or "")
    except (ConflictError, NotFoundError):
        return  # it has ended meanwhile, or is not visible yet
    unit.status = batch.status
    yield from context.save(unit)


def abandon(context: JobContext, unit: Unit) -> Flow[None]:
    """Give up a unit whose batch is no longer visible, if the job is cancelled and the token is the right one."""
    try:
        if context.record.state == "cancelled":
            yield from files.retrieve(context.settings, unit.file_id or "")
            yield from finish(context, unit, [])
            return
    except NotFoundError:
        pass
    raise NotFoundError(
        f"job {context.record.id}, shard {unit.shard}: batch {unit.batch_id} is not visible to this token: "
        "it may need another project's key, or the service has forgotten it; no data is lost here: "
        "resume with the right key",
        status_code=404,
    )


@step("job collect")
def collect(context: JobContext, unit: Unit) -> Flow[None]:
    """Fetch an ended unit's answers to disk, and plan what to send again."""
    batch = yield from with_files(context.settings, unit.batch_id or "")
    if plain_status(batch.status) == "failed" and not (batch.output_file_id or batch.error_file_id):
        yield from _refused(context, unit, batch)
        return
    if context.record.elsewhere:
        return  # a worker fetches them
    try:
        answers = yield from fetch_answers(
            batch, partial(fetched_path, context.folder, unit), partial(_get, context, unit, batch)
        )
    except FileGoneError as error:
        if not (is_absent(error) and _may_appear(context, unit, batch)):
            raise
        # Tried again in the next round: waiting here would hold up the other shards.
        context.report("waiting", unit, f"shard {unit.shard}: waiting for its results to appear: {error}")
        return
    try:
        yield from finish(
            context, unit, answers, batch.output_file_id, batch.error_file_id, completed=says_complete(batch)
        )
    except UnclaimedAnswersError as error:
        unit.problem = str(error)
        yield from context.save(unit)
        raise


def _get(context: JobContext, unit: Unit, batch: Batch, file_id: str, path: Path) -> Flow[bool | None]:
    try:
        return (yield from files.fetch_measured(context.settings, file_id, path, lasting=True))
    except FileGoneError as error:
        # In a cancelled job, what is gone counts as missing: otherwise it would never end.
        if context.record.state == "open" or (is_absent(error) and _may_appear(context, unit, batch)):
            raise
        return None


def _may_appear(context: JobContext, unit: Unit, batch: Batch) -> bool:
    """Whether a result file that is not there may only be late."""
    if unit.key not in context.appearing:
        seconds = may_appear_for(context.settings, batch)
        context.appearing[unit.key] = deadline(context.settings, seconds)
    return context.appearing[unit.key].left > 0


def finish(
    context: JobContext,
    unit: Unit,
    answers: list[Path],
    *file_ids: str | None,
    completed: bool = False,
    unanswered: LineError | None = None,
) -> Flow[None]:
    """Settle a unit with the answers that there are, and commit it together with its next generation.

    `file_ids` are those of the answer files at the service; `completed` says that, by its word, everything was
    answered. With `unanswered`, nothing is sent again, and it is the result of each request without an answer.
    Raises UnclaimedAnswersError if answers of a job that is not cancelled name no request.
    """
    options, is_open = context.record.options, context.record.state == "open"
    if context.record.elsewhere:
        yield from _hand_over(context, unit, unanswered)
        return
    settle = partial(
        merge,
        context.folder,
        unit,
        answers,
        again=is_open and unanswered is None and attempts(unit) < int(options.max_attempts),
        completed=is_open and completed,
        match=options.match,
        unanswered=unanswered,
    )
    following: Unit | None = yield Work(settle)
    unit.state = "done"
    yield Work(partial(commit, context, unit, following, file_ids))
    yield Work(partial(remove_fetched, context.folder, [unit]))
    context.report("fetched", unit, f"shard {unit.shard}: {unit.ok:,} of {unit.requests:,} succeeded")
    if unit.problem is not None:
        context.report("stopped", unit, f"shard {unit.shard}: {unit.problem}")
    if following is not None:
        context.report(
            "resubmitted",
            following,
            f"shard {unit.shard}: {following.requests:,} requests will be sent again",
        )


def _hand_over(context: JobContext, unit: Unit, unanswered: LineError | None) -> Flow[None]:
    """Leave a unit without a batch to a worker, which gives each of its requests a result."""
    unit.state = "ended"
    if unanswered is not None and unanswered.code == REFUSED:
        unit.state = "done"  # the job ends with the error, and nothing was answered
    elif unanswered is None:
        unit.batch_id = None
    yield from context.save(unit)


def commit(context: JobContext, unit: Unit, following: Unit | None, file_ids: Sequence[str | None]) -> None:
    """Note that a unit is done, and what follows it, in one step; its files are no longer needed."""
    with context.ledger.transaction():
        context.ledger.save(unit)
        # A rebuilt ledger may already have the next generation.
        if following is not None and not context.ledger.has(following.key):
            context.ledger.save(following)
        context.ledger.add_litter(unit.file_id, *file_ids)
    # Others may have held tokens when it was learned: each time, a little more is tried.
    context.account.grow(unit.model or "")


def attempts(unit: Unit) -> int:
    """How often its requests have been sent, with this time; a retry by the caller began anew."""
    return unit.generation + 1 - (unit.attempts_from or 0)


def refuse(context: JobContext, units: Sequence[Unit]) -> Flow[None]:
    """Settle the units of a job that was refused as a whole: each request gets the service's words."""
    for unit in units:
        if not unit.over:
            why = unit.problem or context.record.last_error or "the service refused it"
            unit.trouble = "refused"
            yield from finish(context, unit, [], unanswered=LineError(REFUSED, why))


def _located(context: JobContext, unit: Unit, error: BatchFailedError) -> BatchFailedError:
    """The error, with each problem located among the job's requests, or where these are elsewhere, the shard's."""
    if context.record.elsewhere:
        return batch_failed(error.batch_id, f"job {context.record.id}, shard {unit.shard}", error.problems)
    lines = {problem.line for problem in error.problems if problem.line is not None}
    found = positions(context.folder, context.ledger.saved(), unit, lines)
    problems = [
        Problem(found[problem.line][0], f"request {found[problem.line][1]!r}: {problem.reason}")
        if problem.line in found
        else problem
        for problem in error.problems
    ]
    return batch_failed(error.batch_id, f"job {context.record.id}, shard {unit.shard}", problems)


def _refused(context: JobContext, unit: Unit, batch: Batch) -> Flow[None]:
    """A batch that failed as a whole: nothing ran. An excess of enqueued tokens passes with time; for want of its
    input file, it is sent again.
    """
    if failed_without_file(batch):
        yield from _without_file(context, unit, batch)
        return
    codes = {entry.code for entry in (batch.errors.data if batch.errors is not None else None) or ()}
    batch_id = unit.batch_id or ""

    def put_back(why: str) -> None:
        with context.ledger.transaction():
            context.ledger.spend(batch_id, why)
            # If it was found, not named by an answer, another batch of the same POST may still be on its way.
            unit.state, unit.adopted = unit.adopted or "uploaded", None
            unit.batch_id = unit.status = None
            unit.completed = unit.failed = 0
            context.ledger.save(unit)

    limit = limit_in(codes, str(failed(batch, None)))
    yield Work(partial(put_back, limit or "refused"))
    error = failed(batch, None)
    if not (yield from meet_limit(context, unit, limit, _words(batch))):
        raise (yield Work(partial(_located, context, unit, error)))


def _words(batch: Batch) -> str:
    """What the service said of a batch that failed."""
    entries = (batch.errors.data if batch.errors is not None else None) or ()
    return "; ".join(entry.message for entry in entries if entry.message) or "over a limit of the account"


def _without_file(context: JobContext, unit: Unit, batch: Batch) -> Flow[None]:
    """A batch that failed for want of its input file counts as never created.

    A file that is there, and young, is kept: the service will find it in a moment.
    """
    try:
        young = unit.adopted is None and (
            yield from is_young(context.settings, unit.file_id or "", unseen=False)
        )
    except InvalidInputError:
        young = False  # the service could not take the file in: it is uploaded again
    file = LostFile(unit.file_id or "", unit.file_created_at, *unit.key)
    answered = unit.adopted is None

    def put_back() -> int:
        with context.ledger.transaction():
            context.ledger.spend(batch.id or "", _NO_FILE)
            if young:
                unit.state = "uploaded"
            elif answered:
                context.ledger.lose(file)
                context.ledger.add_litter(file.file_id)
                unit.state, unit.file_id, unit.file_created_at = "planned", None, None
            else:
                # Where no answer named it, others may be on their way, and the file may yet show up for them.
                unit.state = "fencing"
            unit.adopted = unit.batch_id = unit.status = unit.creating_at = None
            unit.completed = unit.failed = 0
            context.ledger.save(unit)
            return sum(lost.key == unit.key for lost in context.ledger.lost())

    lost: int = yield Work(put_back)
    if answered and lost >= _MOST_LOST:
        raise failed(batch, None)
    again = "its batch is created again" if young else "it is sent again"
    context.report("outage", unit, f"shard {unit.shard}: the service did not find the input file; {again}")
