"""The start of a shard's generation: upload, create, or find what was created.

The order makes it safe to die anywhere: the ledger says what is about to be done before it is done, and the next
process finds out whether it was.

Creating is the one thing that costs money twice if done twice. A unit in the state `creating` may have a batch:
it is searched for, for a grace time. If none shows up, the input file is deleted, so that a create that is still on
its way can only fail; after another grace time without a batch, the file is uploaded and the batch created again. A
batch that appears even later is cancelled as a duplicate.

The fence has two forms. A service that looks for the file at once refuses the late create; OpenAI answers it with a
batch, which fails. That batch is spent: it costs nothing, and says nothing of other creates that may be on
their way.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import attrs

from overlay.errors import APIError, InvalidInputError, NotFoundError, UnknownOutcomeError
from overlay.flows.extras import with_extra
from overlay.flows.steps import Deadline, Flow, Work
from overlay.generated.models import CreateBatchRequest
from overlay.jobs.acceptance import Acceptance
from overlay.jobs.account import Account
from overlay.jobs.ledger import Ledger
from overlay.jobs.merging import verify
from overlay.jobs.records import JobRecord, LostFile, Unit, UnitKey
from overlay.jobs.services import learn
from overlay.jobs.spool import shard_name
from overlay.jobs.views import EventKind
from overlay.models import Batch
from overlay.operations import files
from overlay.operations.adopting import Found, Sought, cancel_duplicate, looks_needed, search
from overlay.operations.caps import Limit, learned_tokens, limit_of, stated_limit
from overlay.operations.create import (
    Attempt,
    Unanswered,
    failed_without_file,
    lacks_file,
    request_body,
    send,
)
from overlay.operations.marks import Mark, input_of, legacy_pairs, mark_of, new_nonce
from overlay.operations.young_files import Youth, is_not_ready, until_ready
from overlay.statuses import plain_status
from overlay.wire.connection import Settings

NO_FILE = "no input file"
"""Why a batch is spent that failed because its input file was not there."""

_CLOCK_MARGIN = timedelta(seconds=5)
_UNANSWERED = "its create went unanswered"


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
    acceptance: Acceptance | None = None
    """What the caller takes for an answer."""
    noted: bool | None = None
    """What the home folder knows of whether the service keeps metadata."""
    asked: dict[UnitKey, float] = attrs.field(factory=dict[UnitKey, float])
    """Since when a batch of a unit may exist unseen, by the monotonic clock: for what this process has done
    itself.
    """
    appearing: dict[UnitKey, Deadline] = attrs.field(factory=dict["UnitKey", Deadline])
    """Until when the result files of a unit may still appear."""
    pauses: Callable[[float], object] = lambda _: None
    """Told, in seconds, for how long nothing will be asked of the service."""

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
            told = input_of(unit.bytes, unit.sha256)
            return Mark(unit.nonce, self.home, self.record.id, *unit.key, input=told).pair()
        return legacy_pairs(self.record.id, unit.shard, unit.generation)

    def body(self, unit: Unit) -> CreateBatchRequest:
        options = self.record.options
        body = request_body(
            self.settings.service,
            input_file_id=unit.file_id or "",
            endpoint=unit.endpoint,
            completion_window=options.completion_window,
            metadata=self.metadata(unit),
            output_expires_after=options.output_expires_after,
            model=unit.model,
        )
        for name, value in options.extra_body.items():
            body[name] = value
        return body

    def send(self, unit: Unit, attempt: Attempt, *, patient: bool = True) -> Flow[Batch | Unanswered]:
        """Create the unit's batch; see `overlay.operations.create.send`."""
        sending = send(self.settings, self.body(unit), attempt, patient=patient)
        return with_extra(sending, "create_batch", query=self.record.options.extra_query, headers=None)

    def sought(self, unit: Unit, given: Container[str]) -> Sought:
        # A batch cannot be older than its input file, and both are dated by the service.
        created = unit.file_created_at
        since = (
            datetime.fromtimestamp(created, UTC) - _CLOCK_MARGIN
            if created
            else datetime.min.replace(tzinfo=UTC)
        )
        return Sought(
            nonce=unit.nonce,
            input_file_id=unit.file_id or "",
            endpoint=unit.endpoint,
            window=self.record.options.completion_window,
            metadata=self.metadata(unit),
            since=since,
            given=given,
        )

    def given(self) -> set[str]:
        """The ids of batches that are no answer to an unanswered create: they are spent, or other units' own."""
        units = {unit.batch_id for unit in self.ledger.saved() if unit.batch_id}
        return {*self.ledger.spent(), *units, *self.settings.given}

    def begin(self, unit: Unit) -> None:
        """From now on a batch of a unit may exist that nobody has seen."""
        unit.creating_at, unit.looks = self.settings.clock.time(), 0
        self.asked[unit.key] = self.settings.clock.monotonic()

    def waited(self, unit: Unit) -> float:
        """For how many seconds a batch may have existed unseen. Negative if a clock was set back."""
        if unit.key in self.asked:
            return self.settings.clock.monotonic() - self.asked[unit.key]
        return self.settings.clock.time() - (unit.creating_at or 0.0)

    def owns(self, unit: Unit, batch: Batch) -> bool:
        """Whether a batch of a unit's input file was certainly created by this job, and not by somebody else."""
        mark = mark_of(batch.metadata)
        if mark is None:
            return False
        if mark.nonce is None:  # of version 0.1, as the job has to be: nobody else knew its files
            return self.record.home is None and mark.job == self.record.id and mark.key == unit.key
        return mark.nonce == unit.nonce or (mark.home == self.home and mark.job == self.record.id)


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
        if context.record.elsewhere:
            return  # a worker uploads it
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


def _until_ready(context: JobContext, unit: Unit) -> Flow[None]:
    """Wait for the input file before anything is noted: a process that dies meanwhile leaves no doubt behind."""
    settings, file_id = context.settings, unit.file_id or ""
    if file_id not in settings.uploaded:  # by this process, that is
        with suppress(APIError):
            record = yield from files.retrieve(settings, file_id)
            if is_not_ready(record.status):
                settings.note_upload(file_id, record.status)
    yield from until_ready(settings, file_id)


def _create(context: JobContext, unit: Unit) -> Flow[None]:
    youth = Youth(context.settings, unit.file_id or "")
    while True:
        try:
            yield from _until_ready(context, unit)
            unit.state, unit.nonce = "creating", new_nonce()
            context.begin(unit)
            yield from context.save(unit)
            sent = yield from context.send(unit, Attempt(unit.nonce), patient=False)
            break
        except (APIError, InvalidInputError) as error:
            refusal = error
        # There is no batch, and the ledger says so before anything is waited for.
        unit.state, unit.creating_at = "uploaded", None
        yield from context.save(unit)
        try:
            if isinstance(refusal, APIError) and (yield from youth.passes(refusal)):
                continue
        except InvalidInputError as broken:
            refusal = broken
        yield from _refused(context, unit, refusal)
        return
    if isinstance(sent, Unanswered):
        context.begin(unit)
        yield from context.save(unit)
        yield from recover(context, unit)
    else:
        yield from _adopt(context, unit, [sent], "created")
        yield from _note_metadata(context)


def _refused(context: JobContext, unit: Unit, refusal: APIError | InvalidInputError) -> Flow[None]:
    """A create that was refused: a limit of the account is learned, anything else is raised."""
    limit = limit_of(refusal) if isinstance(refusal, APIError) else None
    if not isinstance(refusal, APIError) or lacks_file(refusal):
        # A missing file, or one that the service could not take in, is uploaded again.
        unit.state, unit.file_id, unit.file_created_at = "planned", None, None
        yield from context.save(unit)
    if not (yield from meet_limit(context, unit, limit, str(refusal))):
        raise refusal


def _note_metadata(context: JobContext) -> Flow[None]:
    """Note in the home folder whether the service keeps metadata, if that is news."""
    settings = context.settings
    keeps = settings.keeps_metadata
    if keeps is not None and keeps != context.noted:
        yield Work(partial(learn, settings.home, settings.base_url, keeps=keeps))
        context.noted = keeps


def meet_limit(context: JobContext, unit: Unit, limit: Limit | None, message: str) -> Flow[bool]:
    """Learn from the refusal of a unit that it is over a limit of the account; False if it is about something else,
    or if the unit can never be created.
    """
    if limit is None:
        return False
    learned: bool = yield Work(partial(_learn_limit, context, unit, limit, message))
    return learned


def _learn_limit(context: JobContext, unit: Unit, limit: Limit, message: str) -> bool:
    account, model, now = context.account, unit.model or "", context.settings.clock.time()
    refused_before, unit.problem = unit.problem is not None and not _is_unanswered(unit), message
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
    if unit.state == "creating" and (yield from _repeated(context, unit)):
        return
    if unit.state == "creating":
        found = yield from _search(context, unit)
        if found.ours:
            yield from _adopt(context, unit, found.ours, "adopted")
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
    yield from _adopt(context, unit, [sent], "adopted")
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
    if _is_unanswered(unit):
        unit.problem = None
    if not found.ours:
        yield from context.save(unit)
    return found


def _leave_unanswered(context: JobContext, unit: Unit, obstacle: str) -> Flow[None]:
    unit.problem = f"{_UNANSWERED}, and it is unknown whether there is a batch: {obstacle}"
    yield from context.save(unit)
    context.report("outage", unit, f"shard {unit.shard}: {unit.problem}")


def _is_unanswered(unit: Unit) -> bool:
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
        yield from _adopt(context, unit, useful, "adopted")
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
        if unit.state not in {"creating", "fencing"} or not _is_unanswered(unit):
            return None
    if not left:
        return None
    first = left[0]
    return UnknownOutcomeError(
        f"shard {first.shard}: {first.problem}. It is not created again, since that may pay twice: once you know "
        "that there is no batch, `overlay jobs send-again` creates it; `overlay jobs give-up` does without",
        input_file_id=first.file_id or "",
    )


def _adopt(context: JobContext, unit: Unit, found: Sequence[Batch], kind: EventKind) -> Flow[None]:
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
