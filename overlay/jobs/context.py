"""A job that is being worked on: its ledger, its account, and what its batches say of it at the service."""

from __future__ import annotations

from collections.abc import Callable, Container
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from overlay.flows.extras import with_extra
from overlay.flows.steps import Deadline, Flow, Work
from overlay.generated.models import CreateBatchRequest
from overlay.jobs.acceptance import Acceptance
from overlay.jobs.account import Account
from overlay.jobs.ledger import Ledger
from overlay.jobs.records import JobRecord, Unit, UnitKey
from overlay.jobs.spool import shard_name
from overlay.jobs.views import EventKind
from overlay.models import Batch
from overlay.operations.adopting import Sought
from overlay.operations.create import (
    Attempt,
    Unanswered,
    request_body,
    send,
)
from overlay.operations.marks import Mark, input_of, legacy_pairs, mark_of
from overlay.wire.connection import Settings

if TYPE_CHECKING:
    from overlay.jobs.telling import JobEnd
    from overlay.telemetry.instruments import Watched

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
    acceptance: Acceptance | None = None
    """What the caller takes for an answer."""
    on_end: Callable[[JobEnd], object] | None = None
    """Told when the job has ended."""
    noted: bool | None = None
    """What the home folder knows of whether the service keeps metadata."""
    asked: dict[UnitKey, float] = attrs.field(factory=dict[UnitKey, float])
    """Since when a batch of a unit may exist unseen, by the monotonic clock: for what this process has done
    itself.
    """
    appearing: dict[UnitKey, Deadline] = attrs.field(factory=dict["UnitKey", Deadline])
    """Until when the result files of a unit may still appear."""
    watched: Watched | None = None
    """What telemetry sees of the job while it is worked on."""
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
