"""Creates that went unanswered: found out about, and fenced.

Creating is the one thing that costs money twice if done twice. A unit in the state `creating` may have a batch:
it is searched for, for a grace time. If none shows up, the input file is deleted, so that a create that is still on
its way can only fail; after another grace time without a batch, the file is uploaded and the batch created again. A
batch that appears even later is cancelled as a duplicate.

The fence has two forms. A service that looks for the file at once refuses the late create; OpenAI answers it with a
batch, which fails. That batch is spent: it costs nothing, and says nothing of other creates that may be on
their way.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from overlay.errors import APIError, InvalidInputError, NotFoundError, UnknownOutcomeError
from overlay.flows.steps import Flow, Work
from overlay.jobs.adopting import adopt
from overlay.jobs.context import JobContext
from overlay.jobs.observing import step
from overlay.jobs.records import LostFile, Unit
from overlay.models import Batch
from overlay.operations import files
from overlay.operations.adopting import Found, looks_needed, search
from overlay.operations.create import (
    Attempt,
    Unanswered,
    failed_without_file,
)

_UNANSWERED = "its create went unanswered"


@step("job recover")
def recover(context: JobContext, unit: Unit) -> Flow[None]:
    """Find out what became of a create whose answer was never seen."""
    if unit.state == "creating" and (yield from _repeated(context, unit)):
        return
    if unit.state == "creating":
        found = yield from _search(context, unit)
        if found.ours:
            yield from adopt(context, unit, found.ours, "adopted")
        if not found.absent:
            return
    if context.settings.service.deletes:
        yield from _fence(context, unit)
    else:
        # Nothing can stop a create that is still on its way.
        yield from _leave_unanswered(
            context, unit, f"{context.settings.service} cannot delete its input file"
        )


def _repeated(context: JobContext, unit: Unit) -> Flow[bool]:
    """Create once more with the key of the first time, if the service takes one: the answer is the same batch."""
    if context.settings.service.idempotency_field is None or unit.nonce is None:
        return False
    try:
        sent = yield from context.send(unit, Attempt(unit.nonce))
    except (APIError, InvalidInputError):
        return False  # then the search tells
    if isinstance(sent, Unanswered):
        return False
    yield from adopt(context, unit, [sent], "adopted")
    return True


def _search(context: JobContext, unit: Unit) -> Flow[Found]:
    """Look for the batch of a unit's latest create."""
    waited = context.waited(unit)
    # A clock that was set back since then tells nothing.
    left = max(0.0, context.grace - waited) if waited >= 0 else context.grace
    needed = max(1, looks_needed(context.grace) - unit.looks)
    given = yield Work(context.given)
    found = yield from search(
        context.settings, context.sought(unit, given), grace=left, needed=needed, time=context.until.left
    )
    unit.looks += found.looks
    if found.obstacle and not found.ours:
        yield from _leave_unanswered(context, unit, found.obstacle)
        return found
    if is_unanswered(unit):
        unit.problem = None
    if not found.ours:
        yield from context.save(unit)
    return found


def _leave_unanswered(context: JobContext, unit: Unit, obstacle: str) -> Flow[None]:
    unit.problem = f"{_UNANSWERED}, and it is unknown whether there is a batch: {obstacle}"
    yield from context.save(unit)
    context.report("outage", unit, f"shard {unit.shard}: {unit.problem}")


def is_unanswered(unit: Unit) -> bool:
    """Whether what is wrong with a unit is that nobody can tell what became of its create."""
    return unit.problem is not None and unit.problem.startswith(_UNANSWERED)


def _fence(context: JobContext, unit: Unit) -> Flow[None]:
    """Make sure that no batch can still be created from the file, or adopt the one that was."""
    begun, asked_at = unit.state == "fencing", unit.creating_at
    if not begun:
        unit.state, unit.creating_at = "fencing", None
        yield from context.save(unit)
    try:
        yield from files.delete(context.settings, unit.file_id or "")
        unit.creating_at = None
    except NotFoundError:
        if not begun:
            unit.state, unit.creating_at = "creating", asked_at
            yield from context.save(unit)
            raise NotFoundError(
                f"job {context.record.id}: input file {unit.file_id} is not visible to this token, so it is "
                "unknown whether a batch was created from it; is this another project's key?",
                status_code=404,
            ) from None
    if unit.creating_at is None:
        # From now on the fence stands.
        context.begin(unit)
        yield from context.save(unit)
    found = yield from _search(context, unit)
    while found.ours and all(map(failed_without_file, found.ours)):
        for batch in found.ours:
            yield from spend_fenced(context, unit, batch)
        found = yield from _search(context, unit)
    if found.ours:
        useful = [batch for batch in found.ours if not failed_without_file(batch)]
        yield from adopt(context, unit, useful, "adopted")
    if not found.absent:
        return

    def give_up() -> None:
        file = LostFile(unit.file_id or "", unit.file_created_at, *unit.key)
        unit.state, unit.file_id, unit.file_created_at, unit.creating_at = "planned", None, None, None
        with context.ledger.transaction():
            context.ledger.lose(file)
            context.ledger.save(unit)

    yield Work(give_up)
    context.report(
        "outage", unit, f"shard {unit.shard}: the create was lost; the batch will be created again"
    )


def spend_fenced(context: JobContext, unit: Unit, batch: Batch) -> Flow[None]:
    """Put away a batch that came of a late create, after its input file was deleted: nothing ran."""
    yield Work(partial(context.ledger.spend, batch.id, "fenced"))
    context.report(
        "outage",
        unit,
        f"shard {unit.shard}: {batch.id}, of the lost create, came after its file was deleted; nothing ran",
    )


def stuck(units: Sequence[Unit]) -> UnknownOutcomeError | None:
    """The error for a job in which nothing is left but creates of which nobody can tell what became of them."""
    left = [unit for unit in units if not unit.over]
    for unit in left:
        if unit.state not in {"creating", "fencing"} or not is_unanswered(unit):
            return None
    if not left:
        return None
    first = left[0]
    return UnknownOutcomeError(
        f"shard {first.shard}: {first.problem}. It is not created again, since that may pay twice: once you know "
        "that there is no batch, `overlay jobs send-again` creates it; `overlay jobs give-up` does without",
        input_file_id=first.file_id or "",
    )
