"""The end of a shard's generation: fetch the answers, merge them, and plan what follows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from overlay.errors import BatchFailedError, ConflictError, FileGoneError, NotFoundError, Problem
from overlay.flows.steps import Flow, Work
from overlay.jobs.merging import fetched_path, merge, remove_fetched
from overlay.jobs.positions import positions
from overlay.jobs.records import Unit
from overlay.jobs.starting import JobContext, meet_limit
from overlay.models import Batch, plain_status
from overlay.operations import files
from overlay.operations.batches import cancel
from overlay.operations.caps import limit_in
from overlay.results.fetching import batch_failed, failed, with_files
from overlay.results.shapes import REFUSED, LineError


def stop(context: JobContext, unit: Unit) -> Flow[None]:
    """Ask the service to stop a unit's batch, once."""
    if plain_status(unit.status) in {"cancelling", "cancelled"}:
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


def collect(context: JobContext, unit: Unit) -> Flow[None]:
    """Fetch an ended unit's answers to disk, and plan what to send again."""
    batch = yield from with_files(context.settings, unit.batch_id or "")
    answers: list[Path] = []
    if batch.output_file_id or batch.error_file_id:
        for name, file_id in (("output", batch.output_file_id), ("error", batch.error_file_id)):
            if file_id:
                path = fetched_path(context.folder, unit, name)
                try:
                    answers.append(
                        (yield from files.fetch_whole(context.settings, file_id, path, lasting=True))
                    )
                except FileGoneError:
                    # In a cancelled job, what is gone counts as missing: otherwise it would never end.
                    if context.record.state == "open":
                        raise
    elif plain_status(batch.status) == "failed":
        yield from _refused(context, unit, batch)
        return
    yield from finish(context, unit, answers, batch.output_file_id, batch.error_file_id)


def finish(
    context: JobContext,
    unit: Unit,
    answers: list[Path],
    *file_ids: str | None,
    unanswered: LineError | None = None,
) -> Flow[None]:
    """Settle a unit with the answers that there are, and commit it together with its next generation.

    `file_ids` are those of the answer files at the service. With `unanswered`, nothing is sent again, and it is the
    result of each request without an answer.
    """
    again = (
        context.record.state == "open"
        and unanswered is None
        and unit.generation + 1 < int(context.record.options.max_attempts)
    )
    following: Unit | None = yield Work(
        partial(merge, context.folder, unit, answers, again=again, unanswered=unanswered)
    )
    unit.state = "done"
    yield Work(partial(_commit, context, unit, following, file_ids))
    yield Work(partial(remove_fetched, context.folder, [unit]))
    context.report("fetched", unit, f"shard {unit.shard}: {unit.ok:,} of {unit.requests:,} succeeded")
    if following is not None:
        context.report(
            "resubmitted",
            following,
            f"shard {unit.shard}: {following.requests:,} requests will be sent again",
        )


def refuse(context: JobContext, units: Sequence[Unit]) -> Flow[None]:
    """Settle the units of a job that was refused as a whole: each request gets the service's words."""
    for unit in units:
        if not unit.over:
            why = unit.problem or context.record.last_error or "the service refused it"
            unit.trouble = "refused"
            yield from finish(context, unit, [], unanswered=LineError(REFUSED, why))


def _commit(context: JobContext, unit: Unit, following: Unit | None, file_ids: Sequence[str | None]) -> None:
    with context.ledger.transaction():
        context.ledger.save(unit)
        # A rebuilt ledger may already have the next generation.
        if following is not None and following.key not in {other.key for other in context.ledger.saved()}:
            context.ledger.save(following)
        context.ledger.add_litter(unit.file_id, *file_ids)
    # Others may have held tokens when it was learned: each time, a little more is tried.
    context.account.grow(unit.model or "")


def _located(context: JobContext, unit: Unit, error: BatchFailedError) -> BatchFailedError:
    """The error, with each problem located among the job's requests."""
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
    """A batch that failed as a whole: nothing ran. An excess of enqueued tokens passes with time."""
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
