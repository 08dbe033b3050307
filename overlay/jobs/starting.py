"""The start of a shard's generation: upload, create, or find what was created.

The order makes it safe to die anywhere: the ledger says what is about to be done before it is done, and the next
process finds out whether it was.

Creating is the one thing that costs money twice if done twice. A unit in the state `creating` may have a batch:
it is searched for, for a grace time. If none shows up, the input file is deleted, so that a create that is still on
its way can only fail; after another grace time without a batch, the file is uploaded and the batch created again. A
batch that appears even later is cancelled as a duplicate.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import attrs

from overlay.errors import APIError, NotFoundError
from overlay.flows.steps import Deadline, Flow, Work
from overlay.generated.models import CreateBatchRequest
from overlay.jobs.account import Account
from overlay.jobs.ledger import Ledger
from overlay.jobs.merging import verify
from overlay.jobs.records import JobRecord, LostFile, Unit, UnitKey
from overlay.jobs.spool import shard_name
from overlay.jobs.views import EventKind
from overlay.models import Batch, plain_status
from overlay.operations import files
from overlay.operations.adopting import Sought, cancel_duplicate, search
from overlay.operations.caps import Limit, learned_tokens, limit_of, stated_limit
from overlay.operations.create import Unanswered, failed_for_its_file, lacks_file, request_body, send
from overlay.operations.marks import Mark, legacy_pairs, new_nonce
from overlay.wire.connection import Settings

NO_FILE = "no input file"
"""Why a batch is spent that failed because its input file was not there."""

_CLOCK_MARGIN = timedelta(seconds=5)


@attrs.define
class JobContext:
    """A job that is being worked on."""

    settings: Settings
    folder: Path
    ledger: Ledger
    record: JobRecord
    account: Account
    home: str
    """The id of the home folder, which is written on what is sent."""
    report: Callable[[EventKind, Unit | None, str], None]
    until: Deadline
    """When the caller wants to hear back."""
    appearing: dict[UnitKey, Deadline] = attrs.field(factory=dict["UnitKey", Deadline])
    """Until when the result files of a unit may still appear."""

    @property
    def grace(self) -> float:
        return self.record.options.grace

    def save(self, *units: Unit) -> Flow[None]:
        yield Work(partial(self.ledger.save, *units))

    def metadata(self, unit: Unit) -> dict[str, str]:
        """The metadata of a unit's batch: the caller's own, and enough to rebuild a ledger from."""
        return {**self.record.options.metadata, **self._mark(unit)}

    def _mark(self, unit: Unit) -> dict[str, str]:
        if unit.nonce is not None:
            return Mark(unit.nonce, self.home, self.record.id, *unit.key).pair()
        return legacy_pairs(self.record.id, unit.shard, unit.generation)

    def body(self, unit: Unit) -> CreateBatchRequest:
        options = self.record.options
        return request_body(
            unit.file_id or "",
            unit.endpoint,
            options.completion_window,
            self.metadata(unit),
            options.output_expires_after,
        )

    def sought(self, unit: Unit, spent: Any) -> Sought:
        # A batch cannot be older than its input file, and both are dated by the service.
        created = unit.file_created_at
        since = (
            datetime.fromtimestamp(created, UTC) - _CLOCK_MARGIN
            if created
            else datetime.min.replace(tzinfo=UTC)
        )
        return Sought(unit.file_id or "", self.metadata(unit), since, spent)


def file_name(home: str, job_id: str, unit: Unit) -> str:
    """What a unit's input file is called at the service."""
    return f"overlay-{home}-{job_id}-{shard_name(*unit.key)}.jsonl"


def start(context: JobContext, unit: Unit) -> Flow[None]:
    """Get a planned unit its batch."""
    yield from _begin(context, unit)
    if unit.state == "planned":
        # Its create was lost. Try once more, here, so that submitting a job leaves it started.
        yield from _begin(context, unit)


def _begin(context: JobContext, unit: Unit) -> Flow[None]:
    if unit.state in {"planned", "uploading"}:
        yield from _upload(context, unit)
    yield from _create(context, unit)


def _upload(context: JobContext, unit: Unit) -> Flow[None]:
    path = yield Work(partial(verify, context.folder, unit))
    unit.state = "uploading"
    yield from context.save(unit)
    size = f"{unit.requests:,} requests, {unit.bytes / 1e6:,.1f} MB"
    context.report("uploading", unit, f"shard {unit.shard}: uploading {size}")
    sent = yield from files.upload(
        context.settings, path, filename=file_name(context.home, context.record.id, unit)
    )
    unit.file_id, unit.file_created_at = sent.id, sent.created_at
    unit.state = "uploaded"
    yield from context.save(unit)
    context.report("uploaded", unit, f"shard {unit.shard}: {unit.requests:,} requests uploaded")


def _create(context: JobContext, unit: Unit) -> Flow[None]:
    clock = context.settings.clock
    unit.state, unit.creating_at, unit.nonce, unit.looks = "creating", clock.time(), new_nonce(), 0
    body = context.body(unit)
    yield from context.save(unit)
    try:
        sent = yield from send(context.settings, body)
    except APIError as error:
        # There is no batch. A missing file is uploaded again.
        unit.state, unit.creating_at = "uploaded", None
        if lacks_file(error):
            unit.state, unit.file_id, unit.file_created_at = "planned", None, None
        yield from context.save(unit)
        if not (yield from meet_limit(context, unit, limit_of(error), str(error))):
            raise
        return
    if isinstance(sent, Unanswered):
        unit.creating_at = clock.time()
        yield from context.save(unit)
        yield from recover(context, unit)
    else:
        yield from _adopt(context, unit, [sent], "created")


def meet_limit(context: JobContext, unit: Unit, limit: Limit | None, message: str) -> Flow[bool]:
    """Learn from the refusal of a unit that it is over a limit of the account; False if it is about something else,
    or if the unit can never be created.
    """
    if limit is None:
        return False
    learned: bool = yield Work(partial(_learn, context, unit, limit, message))
    return learned


def _learn(context: JobContext, unit: Unit, limit: Limit, message: str) -> bool:
    account, model, now = context.account, unit.model or "", context.settings.clock.time()
    refused_before, unit.problem = unit.problem is not None, message
    context.ledger.save(unit)
    if limit == "batches":
        running = account.in_use(now, without=unit.key).batches
        if running:
            account.learn_batches(running, now)
        context.report("waiting", unit, f"shard {unit.shard}: {message}; waiting until a batch has ended")
        return True
    others, stated = account.in_use(now, model=model, without=unit.key).tokens, stated_limit(message)
    most = learned_tokens(unit.tokens, others=others, stated=stated, refused_before=refused_before)
    if unit.requests == 1 and stated is not None and stated < unit.tokens:
        return False  # and never will be: it is a single request
    if most is not None:
        account.learn_tokens(model, most, stated=most == stated, now=now)
    parts = -(-unit.tokens // most) if most else 1
    what = (
        f"split into {min(parts, unit.requests):,} parts of at most {most:,} tokens"
        if parts > 1 and unit.requests > 1
        else "waiting for room under the limit"
    )
    context.report("waiting", unit, f"shard {unit.shard}, {unit.tokens:,} tokens: {message}; {what}")
    return True


def recover(context: JobContext, unit: Unit) -> Flow[None]:
    """Find out what became of a create whose answer was never seen."""
    if unit.state == "creating":
        found = yield from _search(context, unit)
        if found is None:
            return
        if found:
            yield from _adopt(context, unit, found, "adopted")
            return
    yield from _fence(context, unit)


def _search(context: JobContext, unit: Unit) -> Flow[list[Batch] | None]:
    """The batches of a unit; None if time was too short to be sure that there are none."""
    while True:
        waited = context.settings.clock.time() - (unit.creating_at or 0.0)
        # A clock that was set back since then tells nothing.
        left = max(0.0, context.grace - waited) if waited >= 0 else context.grace
        time = context.until.left
        spent = yield Work(context.ledger.spent)
        sought = context.sought(unit, spent)
        found = yield from search(context.settings, sought, grace=max(0.0, min(left, time)))
        alive = [batch for batch in found if not failed_for_its_file(batch)]
        if alive or not found:
            return None if not found and time < left else alive
        # That one create came too late for its file does not say that no other is on its way.
        yield Work(partial(_spend, context, found))


def _spend(context: JobContext, failed: list[Batch]) -> None:
    with context.ledger.transaction():
        for batch in failed:
            context.ledger.spend(batch.id, NO_FILE)


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
        unit.creating_at = context.settings.clock.time()
        yield from context.save(unit)
    found = yield from _search(context, unit)
    if found is None:
        return
    if found:
        yield from _adopt(context, unit, found, "adopted")
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


def _adopt(context: JobContext, unit: Unit, found: list[Batch], kind: EventKind) -> Flow[None]:
    batch, *extras = found
    unit.batch_id, unit.status = batch.id, batch.status
    unit.adopted = unit.state if kind == "adopted" and unit.state in ("creating", "fencing") else None
    # Before it counts as created: after a crash between the two, the next process finds them all again.
    for extra in extras:
        yield from cancel_extra(context, unit, extra)
    unit.state, unit.created_at = "created", context.settings.clock.time()
    yield from context.save(unit)
    context.report(kind, unit, f"shard {unit.shard}: batch {batch.id} {kind}")


def meet_duplicate(context: JobContext, unit: Unit, batch: Batch) -> Flow[None]:
    """Deal with a batch of a unit's requests that is not the unit's own."""
    if batch.id in (yield Work(context.ledger.spent)):
        return
    status = plain_status(batch.status)
    if not batch.ended:
        if status != "cancelling":
            yield from cancel_extra(context, unit, batch)
        return
    yield Work(partial(context.ledger.spend, batch.id, "duplicate"))
    if status not in {"failed", "cancelled"}:
        context.report(
            "duplicate",
            unit,
            f"shard {unit.shard}: duplicate batch {batch.id} had already run when it was found",
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
