"""Working on a job: rounds of recovering, starting, looking and collecting, until every request is answered.

A round starts as many shards as the enqueued tokens and the creates of the last hour allow, looks at all live
batches with as few requests as it takes, and brings in what has ended. What an outage stops is taken up in a
later round; what no waiting can mend is raised, and the job can be resumed.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Any

from overlay import models, retry
from overlay.batches import page, retrieve_until
from overlay.errors import APIError, APIStatusError, NotFoundError, OverlayError, TokenProviderError
from overlay.files import delete
from overlay.flow import Deadline, Flow, Sleep, Together, Work, deadline
from overlay.lines import is_object
from overlay.models import Batch
from overlay.records import Unit
from overlay.shards import JobContext, cancel_extra, collect, finish, recover, start, stop

_AT_ONCE = 4
"""Uploads and downloads side by side."""
_LOOKS_AT_ONCE = 4
_FEW = 2
"""Up to so many batches are looked at one by one; more share pages of the list."""
_PAGE = 100
_PAUSE_GROWTH = 1.5
_LONGEST_PAUSE = 60.0
_PATIENCE = 600.0
"""How long, in seconds, a batch may be missing, or a token provider fail."""
_HOUR = 3600.0


def work(context: JobContext, *, until: Deadline, poll: float, once: bool = False) -> Flow[None]:
    """Go on with a job until it has ended, the deadline is over, or, for `once`, all that can start has started."""
    round_ = _Round(context)
    pause = poll
    while True:
        before = round_.fingerprint()
        yield from round_.turn(tolerant=not once)
        if round_.done:
            yield from round_.sweep()
            return
        if once or until.left <= 0:
            return
        yield from round_.look()
        pause = poll if round_.fingerprint() != before else min(_LONGEST_PAUSE, pause * _PAUSE_GROWTH)
        if not round_.has_ended_units():
            yield Sleep(min(max(until.left, 0.0), pause * random.uniform(0.8, 1.2)))  # noqa: S311 - spreads load


class _Round:
    """What is known about the job's units from one round to the next."""

    def __init__(self, context: JobContext) -> None:
        self._context = context
        self._units: dict[tuple[int, int], Unit] = {unit.key: unit for unit in context.ledger.units()}
        self._missing_since: dict[tuple[int, int], Deadline] = {}
        self._patience: Deadline | None = None
        self._looked = False

    @property
    def done(self) -> bool:
        return all(unit.state == "done" for unit in self._units.values())

    def fingerprint(self) -> Any:
        return [(unit.state, unit.status) for unit in self._units.values()]

    def has_ended_units(self) -> bool:
        return any(unit.state == "ended" for unit in self._units.values())

    def _in(self, *states: str) -> list[Unit]:
        return [unit for unit in self._units.values() if unit.state in states]

    def turn(self, *, tolerant: bool) -> Flow[None]:
        """Recover, collect, start."""
        context = self._context
        yield from self._all(recover, self._in("creating", "fencing"), tolerant=tolerant)
        yield from self._all(collect, self._collectable(), tolerant=tolerant)
        self._reload((yield Work(context.ledger.units)))
        if context.record.state == "cancelled":
            yield from self._all(stop, self._in("created"), tolerant=tolerant)
            # What was never sent gets its results too: there is no answer.
            yield from self._all(
                partial(finish, answers=[]), self._in("planned", "uploading", "uploaded"), tolerant=False
            )
            return
        for batch in self._affordable():
            yield from self._all(start, batch, tolerant=tolerant)

    def _collectable(self) -> list[Unit]:
        """The ended units whose earlier generations are done: answers are merged in order."""
        first: dict[int, int] = {}
        for unit in self._units.values():
            if unit.state != "done":
                first[unit.shard] = min(unit.generation, first.get(unit.shard, unit.generation))
        return [unit for unit in self._in("ended") if unit.generation == first[unit.shard]]

    def _reload(self, units: Iterable[Unit]) -> None:
        """Take in the units that have come to be; those known are the same objects all along."""
        for unit in units:
            self._units.setdefault(unit.key, unit)

    def _all(
        self, flow: Callable[[JobContext, Unit], Flow[None]], units: list[Unit], *, tolerant: bool
    ) -> Flow[None]:
        if not units:
            return
        flows = [self._spared(flow(self._context, unit), unit, tolerant=tolerant) for unit in units]
        problems: list[OverlayError | None] = yield Together(flows, _AT_ONCE)
        for problem in problems:
            if problem is not None:
                raise problem

    def _spared(self, flow: Flow[None], unit: Unit, *, tolerant: bool) -> Flow[OverlayError | None]:
        """Run a unit's flow; an outage that may pass leaves the unit where it is, for a later round."""
        try:
            yield from flow
        except (APIError, TokenProviderError) as error:
            if tolerant and self._bears(error):
                self._context.report("outage", unit, f"shard {unit.shard}: {error}")
                return None
            return error
        except OverlayError as error:
            return error
        return None

    def _bears(self, error: APIError | TokenProviderError) -> bool:
        if isinstance(error, TokenProviderError):
            self._patience = self._patience or deadline(self._context.settings, _PATIENCE)
            return self._patience.left > 0
        return retry.is_transient(error)

    def _affordable(self) -> list[list[Unit]]:
        """The units that may start now, in groups that run side by side."""
        context, options = self._context, self._context.record.options
        now = context.settings.clock.time()
        creates = options.max_creates_per_hour - context.ledger.creates_since(now - _HOUR)
        caps = context.ledger.caps()
        enqueued: dict[str, int] = {}
        for unit in self._units.values():
            if unit.live:
                enqueued[unit.model or ""] = enqueued.get(unit.model or "", 0) + unit.tokens
        chosen: list[Unit] = []
        for unit in self._in("planned", "uploading", "uploaded"):
            model = unit.model or ""
            most = min(options.max_enqueued_tokens or float("inf"), caps.get(model, float("inf")))
            taken = enqueued.get(model, 0)
            # A shard that is over the limit all by itself can only be tried.
            if len(chosen) < creates and (not taken or taken + unit.tokens <= most):
                enqueued[model] = taken + unit.tokens
                chosen.append(unit)
        return [chosen[place : place + _AT_ONCE] for place in range(0, len(chosen), _AT_ONCE)]

    def look(self) -> Flow[None]:
        """See how the live batches are doing."""
        live = {unit.batch_id or "": unit for unit in self._in("created")}
        if not live:
            return
        try:
            seen = yield from self._pages(live) if len(live) > _FEW else _nothing()
            left = [unit for batch_id, unit in live.items() if batch_id not in seen]
            looks = [self._one(unit) for unit in left]
            for unit, batch in zip(left, (yield Together(looks, _LOOKS_AT_ONCE)), strict=True):
                if batch is not None:
                    seen[unit.batch_id or ""] = batch
        except (APIError, TokenProviderError) as error:
            if not self._bears(error):
                raise
            self._context.report("outage", None, str(error))
            return
        self._patience = None
        self._looked = True
        for batch_id, batch in seen.items():
            yield from self._saw(live[batch_id], batch)

    def _pages(self, live: dict[str, Unit]) -> Flow[dict[str, Batch]]:
        """What pages of the list show of them, as long as a page is cheaper than looking one by one."""
        seen: dict[str, Batch] = {}
        cursor: str | None = None
        for _ in range(len(live) - 1):
            try:
                got = yield from page(self._context.settings, after=cursor, limit=_PAGE)
            except APIStatusError as error:
                if retry.is_transient(error):
                    raise
                return seen  # a service that has no list, then
            for batch in got.data:
                if batch.id in live:
                    seen[batch.id] = batch
                else:
                    yield from self._meet(batch)
            if got.next is None or got.next == cursor or len(seen) == len(live):
                break
            cursor = got.next
        return seen

    def _one(self, unit: Unit) -> Flow[Batch | None]:
        try:
            batch = yield from retrieve_until(self._context.settings, unit.batch_id or "", until=None)
        except NotFoundError:
            settings = self._context.settings
            since = self._missing_since.setdefault(unit.key, deadline(settings, _PATIENCE))
            old = settings.clock.time() - (unit.created_at or 0.0) > _PATIENCE
            if since.left > 0 and not (old and not self._looked):
                return None
            raise NotFoundError(
                f"job {self._context.record.id}, shard {unit.shard}: batch {unit.batch_id} is not visible to this "
                "token: another project's key, perhaps, or the service has forgotten it; nothing is lost here, "
                "resume with the right key",
                status_code=404,
            ) from None
        self._missing_since.pop(unit.key, None)
        return batch

    def _saw(self, unit: Unit, batch: Batch) -> Flow[None]:
        counts = batch.request_counts
        completed = (counts.completed if counts is not None else None) or 0
        failed = (counts.failed if counts is not None else None) or 0
        news = (batch.status, completed, failed)
        if news == (unit.status, unit.completed, unit.failed) and not batch.ended:
            return
        if -1 < models.rank(batch) < models.rank_of(unit.status):
            return
        unit.status, unit.completed, unit.failed = news
        if batch.ended:
            unit.state = "ended"
        yield from self._context.save(unit)
        self._context.report(
            "progress", unit, f"shard {unit.shard}: {batch.status}, {completed + failed:,} worked off"
        )

    def _meet(self, batch: Batch) -> Flow[None]:
        """A batch that is not one of those waited for: a late duplicate of ours, perhaps."""
        metadata: object = batch.metadata
        if not is_object(metadata) or metadata.get("overlay_job") != self._context.record.id or batch.ended:
            return
        try:
            key = int(metadata["overlay_shard"]), int(metadata["overlay_generation"])
        except (KeyError, ValueError):
            return
        unit = self._units.get(key)
        spent = yield Work(self._context.ledger.spent)
        if unit is None or unit.batch_id in {None, batch.id} or batch.id in spent:
            return
        if (batch.status or "").lower() != "cancelling":
            yield from cancel_extra(self._context, unit, batch)

    def sweep(self) -> Flow[None]:
        """When all is done: find duplicates that came to light late, and delete what is no longer needed.

        What the service refuses here is said, and costs nobody the results.
        """
        try:
            yield from self._meet_all()
            yield from self._delete_litter()
        except (APIError, TokenProviderError) as error:
            self._context.report("outage", None, str(error))
        self._context.report("ended", None, "every request has its answer on disk")

    def _meet_all(self) -> Flow[None]:
        dates = [unit.file_created_at for unit in self._units.values() if unit.file_created_at]
        cursor: str | None = None
        while dates:
            got = yield from page(self._context.settings, after=cursor, limit=_PAGE)
            for batch in got.data:
                yield from self._meet(batch)
            last = got.data[-1].created_at if got.data else None
            if got.next is None or got.next == cursor or (last is not None and last < min(dates)):
                break
            cursor = got.next

    def _delete_litter(self) -> Flow[None]:
        ledger = self._context.ledger
        for file_id in (yield Work(ledger.litter)):
            with suppress(NotFoundError):
                yield from delete(self._context.settings, file_id)
            yield Work(partial(ledger.remove_litter, file_id))


def _nothing() -> Flow[dict[str, Batch]]:
    yield from ()
    return {}
