"""A batch that is found becomes a unit's own; others of the same requests are duplicates.

Only what is proven to be this job's is ever cancelled.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from overlay.flows.steps import Flow, Work
from overlay.jobs.context import JobContext
from overlay.jobs.records import Unit
from overlay.jobs.views import EventKind
from overlay.models import Batch
from overlay.operations.adopting import cancel_duplicate
from overlay.operations.marks import mark_of
from overlay.statuses import plain_status


def adopt(context: JobContext, unit: Unit, found: Sequence[Batch], kind: EventKind) -> Flow[None]:
    batch, *extras = found
    unit.batch_id, unit.status = batch.id, batch.status
    unit.adopted = unit.state if kind == "adopted" and unit.state in ("creating", "fencing") else None
    # Before it counts as created: after a crash between the two, the next process finds them all again.
    for extra in extras:
        yield from cancel_extra(context, unit, extra)
    unit.state, unit.created_at, unit.problem = "created", context.settings.clock.time(), None
    context.settings.note_batch(batch.id, unit.file_id)
    yield from context.save(unit)
    context.report(kind, unit, f"shard {unit.shard}: batch {batch.id} {kind}")


def meet_duplicate(context: JobContext, unit: Unit, batch: Batch, *, last: bool) -> Flow[None]:
    """Deal with a batch of a unit's input file that is not the unit's own. `last` if nobody will look again."""
    if batch.id in (yield Work(context.ledger.spent)):
        return
    if not context.owns(unit, batch):
        yield from _leave_alone(context, unit, batch)
        return
    status = plain_status(batch.status)
    if not batch.ended:
        # One of a deleted file is about to fail.
        fails = status == "validating" and batch.input_file_id != unit.file_id
        if status != "cancelling" and (last or not fails):
            yield from cancel_extra(context, unit, batch)
        return
    yield Work(partial(context.ledger.spend, batch.id, "duplicate"))
    if status not in {"failed", "cancelled"}:
        context.report(
            "duplicate",
            unit,
            f"shard {unit.shard}: duplicate batch {batch.id} had already run when it was found",
        )


def _leave_alone(context: JobContext, unit: Unit, batch: Batch) -> Flow[None]:
    """A batch of our file that may be somebody else's: it is reported where it may be ours, and never touched."""
    if context.settings.keeps_metadata or mark_of(batch.metadata) is not None:
        return
    yield Work(partial(context.ledger.spend, batch.id, "unproven"))
    context.report(
        "duplicate",
        unit,
        f"shard {unit.shard}: {batch.id} has the same input file, but nothing shows that this job created it: "
        "it is left alone",
    )


def cancel_extra(context: JobContext, unit: Unit, extra: Batch) -> Flow[None]:
    """Cancel a second batch of a unit's requests, and report it."""
    yield from cancel_duplicate(context.settings, extra, of=unit.batch_id or "none")

    def note() -> None:
        with context.ledger.transaction():
            context.ledger.spend(extra.id, "duplicate")
            context.record.duplicates_cancelled += 1
            context.ledger.save_job(context.record)

    yield Work(note)
    context.report("duplicate", unit, f"shard {unit.shard}: duplicate batch {extra.id} cancelled")
