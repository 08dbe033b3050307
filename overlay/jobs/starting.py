"""The start of a shard's generation: upload, and create.

The order makes it safe to die anywhere: the ledger says what is about to be done before it is done, and the next
process finds out whether it was (`unanswered`).
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from overlay.errors import APIError, InvalidInputError
from overlay.flows.steps import Flow, Work
from overlay.jobs.adopting import adopt
from overlay.jobs.context import JobContext, file_name
from overlay.jobs.limits import meet_limit
from overlay.jobs.merging import verify
from overlay.jobs.observing import step
from overlay.jobs.records import Unit
from overlay.jobs.services import learn
from overlay.jobs.unanswered import recover
from overlay.operations import files
from overlay.operations.caps import limit_of
from overlay.operations.create import (
    Attempt,
    Unanswered,
    lacks_file,
)
from overlay.operations.marks import new_nonce
from overlay.operations.young_files import Youth, is_not_ready, until_ready


@step("job create")
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
        yield from adopt(context, unit, [sent], "created")
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
