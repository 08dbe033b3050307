"""Working on a job: rounds of recovering, starting, polling and collecting, until every request is answered.

A round starts as many shards as the enqueued tokens and the creates of the last hour allow, polls all live
batches with as few requests as possible, and collects what has ended. What an outage stops is retried in a later
round. What waiting cannot fix stops one shard, which is then stuck, while the others go on; it is raised once
nothing else is left to be done. What concerns the account or the disk stops them all, once what had ended is
collected.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from overlay.errors import APIError, OverlayError, StorageError, TokenProviderError
from overlay.flows.steps import Deadline, Flow, Together, Work, deadline
from overlay.jobs.accepting import check_answers
from overlay.jobs.context import JobContext
from overlay.jobs.ending import collect, finish, refuse, stop
from overlay.jobs.polling import Poller
from overlay.jobs.records import Unit, UnitKey
from overlay.jobs.repeats import settle_repeats
from overlay.jobs.splitting import split_unit
from overlay.jobs.starting import start
from overlay.jobs.stuck import Stuck
from overlay.jobs.telling import tell_end
from overlay.jobs.troubles import concerns_one, refused_error
from overlay.jobs.unanswered import recover, stuck
from overlay.jobs.views import Job, view
from overlay.operations.hints import Hints

_AT_ONCE = 4
"""Concurrent uploads and downloads."""
_PAUSE_GROWTH = 1.5
_FIRST_HOLD, _LONGEST_HOLD = 60.0, 900.0
"""How long, in seconds, a batch over the token limit is held back while none of ours is running."""


def work(
    context: JobContext, *, until: Deadline, poll: float, once: bool = False, tell: bool = True
) -> Flow[None]:
    """Work on a job until it has ended, the deadline has passed or, with `once`, what can start has started.

    If shards are stuck when nothing else is left to be done, or with `once`, the first one's error is raised,
    unless `tell` is False.
    """
    yield from stopped(context, _work(context, until=until, poll=poll, once=once, tell=tell))


def stopped(context: JobContext, working: Flow[None]) -> Flow[None]:
    """Note in the ledger what stops the work on a job; tell its end, if it has ended."""
    try:
        yield from working
    except OverlayError as error:
        context.record.last_error = str(error)
        with suppress(StorageError):
            yield Work(partial(context.ledger.save_job, context.record))
        if context.record.state == "failed":  # refused as a whole, it has ended, too
            yield from tell_end(context)
        raise
    yield from tell_end(context)


def _work(context: JobContext, *, until: Deadline, poll: float, once: bool, tell: bool) -> Flow[None]:
    context.until = until
    while True:
        round_ = Round(context)
        yield from _rounds(round_, context, until=until, poll=poll, once=once, tell=tell)
        if not round_.is_done():
            return
        yield from settle_repeats(context)
        if not (yield from check_answers(context)):
            break
    if not context.record.swept:
        yield from round_.poller.sweep()
    context.report("ended", None, "every request has its answer on disk")


def _rounds(
    round_: Round, context: JobContext, *, until: Deadline, poll: float, once: bool, tell: bool
) -> Flow[None]:
    """Rounds until nothing is left to be done at the service, or no time for it."""
    pause = poll
    hints = Hints(context.settings)
    while not round_.is_done():
        before = round_.fingerprint()
        # Whoever drives uploaded shards goes on with them in a moment.
        yield from round_.turn(tolerant=not once or context.record.elsewhere)
        if round_.is_done():
            break
        if once or round_.stuck.is_all_there_is():
            yield from _stop(round_.stuck, round_.units(), context, tell=tell)
            return
        if until.left <= 0:
            return
        if (unknown := stuck(round_.units())) is not None:
            raise unknown
        if round_.fingerprint() != before:
            pause = poll
        rest = min(until.left, pause * random.uniform(0.8, 1.2))  # noqa: S311 - spreads load
        context.pauses(rest)
        if (yield from hints.rest(rest, round_.batch_ids())):
            pause = poll
        else:
            pause = min(hints.longest_pause, pause * _PAUSE_GROWTH)


def _stop(stuck: Stuck, units: Sequence[Unit], context: JobContext, *, tell: bool) -> Flow[None]:
    """Raise what shards are stuck for; a job that was refused as a whole ends."""
    error = stuck.first()
    if error is not None and stuck.is_whole_job():
        context.record.state, context.record.last_error = "failed", str(error)
        yield Work(partial(context.ledger.save_job, context.record))
        yield from refuse(context, units)
        yield from settle_repeats(context)
        raise refused_error(context.record.id, error)
    if error is not None and tell:
        raise stuck.told(error)


class Round:
    """What is known about the job's units from one round to the next."""

    def __init__(self, context: JobContext) -> None:
        self._context = context
        self._units: dict[UnitKey, Unit] = {unit.key: unit for unit in context.ledger.units()}
        # By them, an answer under another id is known to be about the batch that was asked for.
        context.settings.inputs |= {
            unit.batch_id: unit.file_id for unit in self._units.values() if unit.batch_id and unit.file_id
        }
        self._held: dict[UnitKey, tuple[Deadline, float]] = {}
        self._stops: OverlayError | None = None
        self._token_limits: dict[str, int | None] = {}
        """Of models, as they are known in this turn."""
        self.stuck = Stuck(context, self._units)
        self.poller = Poller(context, self._units, self.stuck.note)

    def is_done(self) -> bool:
        return all(unit.over for unit in self._units.values())

    def units(self) -> list[Unit]:
        return list(self._units.values())

    def batch_ids(self) -> list[str]:
        """The batches that run."""
        return [unit.batch_id for unit in self._in("created") if unit.batch_id]

    def view(self) -> Job:
        """The job as it is now."""
        return view(self._context.record, self.units())

    def give_up_if_stuck(self) -> Flow[None]:
        """Raise what shards are stuck for, if nothing else is left to be done."""
        if self.stuck.is_all_there_is():
            yield from _stop(self.stuck, self.units(), self._context, tell=True)

    def fingerprint(self) -> Any:
        return [(unit.state, unit.status) for unit in self._units.values()]

    def _in(self, *states: str) -> list[Unit]:
        return [unit for unit in self._units.values() if unit.state in states]

    def _holding(self, *states: str) -> list[Unit]:
        """Those whose batches hold room in the account; one that is stuck must not keep the others waiting."""
        return [unit for unit in self._in(*states) if unit.key not in self.stuck]

    def turn(self, *, tolerant: bool) -> Flow[None]:
        """Poll, recover, collect, start."""
        try:
            yield from self._turn(tolerant=tolerant)
        finally:
            if self._context.watched is not None:
                self._context.watched.live = len(self._in("created"))

    def _turn(self, *, tolerant: bool) -> Flow[None]:
        context = self._context
        self._stops = None
        yield from self._look(tolerant=tolerant)
        running = [
            unit for unit in self._holding("created", "creating", "fencing", "ended") if not unit.refused
        ]
        yield Work(partial(context.account.hold, running, context.settings.clock.time()))
        collectable = self._collectable()
        # Refused ones first: what else was running beside them shows what is allowed.
        refused = [unit for unit in collectable if unit.refused]
        yield from self._all(collect, refused, tolerant=tolerant)
        if not context.record.elsewhere:
            yield from self._all(
                collect, [unit for unit in collectable if unit.state == "ended"], tolerant=tolerant
            )
        if self._stops is not None:
            raise self._stops
        for unit in refused:
            if unit.state == "uploaded":
                self._hold(unit)
        yield from self.reload()
        if context.record.state == "cancelled":
            yield from self._all(stop, self._in("created"), tolerant=tolerant)
            # What was never sent gets results, too: that there is no answer.
            yield from self._all(
                partial(finish, answers=[]), self._in("planned", "uploading", "uploaded"), tolerant=False
            )
        elif context.record.state == "failed":
            yield from refuse(context, self.units())  # a crash came in between
        elif not (self.poller.misses_any or self.stuck.doubtful):
            yield from self._start_all(tolerant=tolerant)
        if self._stops is not None:
            raise self._stops

    def _look(self, *, tolerant: bool) -> Flow[None]:
        """See what became of the batches, and of creates that were not answered."""
        try:
            yield from self.poller.look(self.stuck)
            if self.poller.misses_any:
                return
            yield from self.stuck.check_key(self.poller.sees_ours)
            if not self.stuck.doubtful:
                yield from self._all(recover, self._in("creating", "fencing"), tolerant=tolerant)
                yield from self.stuck.check_key(self.poller.sees_ours)
        except OverlayError as error:
            if not tolerant or not self._bears(error):
                self._stops = error

    def _start_all(self, *, tolerant: bool) -> Flow[None]:
        for group in (yield from self._affordable()):
            units = self.stuck.startable(group)
            if not (yield from self._all(start, units, tolerant=tolerant)) or self._stops is not None:
                return  # an outage: it would stop the others, too
            for unit in units:
                if unit.state == "uploaded":  # refused for a limit of the account
                    self._hold(unit)

    def _collectable(self) -> list[Unit]:
        """The ended units whose earlier generations are done, one of each shard: answers are merged in order, and
        the parts of a shard share a file of results.
        """
        first: dict[tuple[int, int], int] = {}
        for unit in self._units.values():
            if not unit.over:
                first[unit.lineage] = min(unit.generation, first.get(unit.lineage, unit.generation))
        ready = [
            unit
            for unit in self._in("ended")
            if unit.generation == first[unit.lineage] and unit.key not in self.stuck
        ]
        return list({unit.shard: unit for unit in reversed(ready)}.values())

    def _hold(self, unit: Unit) -> None:
        """Hold back a unit that was over the token limit: tried alone, it is tried ever less often."""
        _, pause = self._held.get(unit.key, (None, _FIRST_HOLD / 2))
        pause = min(_LONGEST_HOLD, pause * 2)
        self._held[unit.key] = deadline(self._context.settings, pause), pause

    def _is_held(self, unit: Unit) -> bool:
        return unit.key in self._held and self._held[unit.key][0].left > 0

    def reload(self) -> Flow[None]:
        """Add new units from the ledger; those already known stay the same objects."""
        new: list[Unit] = yield Work(partial(self._context.ledger.units_beyond, self._units))
        self._units.update({unit.key: unit for unit in new})

    def _all(
        self, flow: Callable[[JobContext, Unit], Flow[None]], units: list[Unit], *, tolerant: bool
    ) -> Flow[bool]:
        """Run the flow for each unit that is not stuck; False if errors that may pass stopped some.

        An error that concerns one unit alone is noted on it; of the others, the first is kept.
        """
        left = [unit for unit in units if unit.key not in self.stuck]
        if not left:
            return True
        flows = [self._spared(flow(self._context, unit), unit, tolerant=tolerant) for unit in left]
        outcomes: list[OverlayError | bool] = yield Together(flows, _AT_ONCE)
        for unit, outcome in zip(left, outcomes, strict=True):
            if isinstance(outcome, OverlayError):
                if concerns_one(outcome):
                    yield from self.stuck.note(unit, outcome)
                else:
                    self._stops = self._stops or outcome
            elif unit.trouble and not unit.over and unit.state not in {"creating", "fencing"}:
                unit.trouble = None
                yield from self._context.save(unit)
        return all(outcomes)

    def _bears(self, error: OverlayError) -> bool:
        if not isinstance(error, APIError | TokenProviderError) or not self.poller.bears(error):
            return False
        self._context.report("outage", None, str(error))
        return True

    def _spared(self, flow: Flow[None], unit: Unit, *, tolerant: bool) -> Flow[OverlayError | bool]:
        """Run a unit's flow; an outage that may pass leaves the unit where it is, for a later round."""
        try:
            yield from flow
        except (APIError, TokenProviderError) as error:
            if tolerant and self.poller.bears(error):
                self._context.report("outage", unit, f"shard {unit.shard}: {error}")
                return False
            return error
        except OverlayError as error:
            return error
        self.poller.calm()
        return True

    def _affordable(self) -> Flow[list[list[Unit]]]:
        """The units that may start now, in groups that run side by side."""
        context, now = self._context, self._context.settings.clock.time()
        self.forget_limits()
        holding = self._holding("created", "creating", "fencing")
        yield Work(partial(context.account.hold, holding, now))
        if not context.record.elsewhere:
            yield from self._split()
        # With nothing of ours beside it, a unit was refused for its own size, or for what others hold: it waits.
        waiting = [
            unit
            for unit in self.stuck.startable(self._sendable())
            if (not self._is_held(unit) or context.account.in_use(now, model=unit.model or "").batches)
        ]
        chosen: list[Unit] = yield Work(partial(context.account.admit, waiting, context.record.options, now))
        return [chosen[place : place + _AT_ONCE] for place in range(0, len(chosen), _AT_ONCE)]

    def _sendable(self) -> list[Unit]:
        if not self._context.record.elsewhere:
            return self._in("planned", "uploading", "uploaded")
        return [unit for unit in self._in("uploaded") if self.most_tokens(unit) is None]

    def forget_limits(self) -> None:
        """Ask again how many tokens batches may have: a turn may have learned more."""
        self._token_limits.clear()

    def most_tokens(self, unit: Unit) -> int | None:
        """How many tokens the parts of a unit may have that is larger than its model's batches may be together;
        None for one that is not.
        """
        model = unit.model or ""
        if model not in self._token_limits:
            learned = self._context.account.tokens(model, self._context.settings.clock.time())
            known = learned, self._context.record.options.max_enqueued_tokens
            self._token_limits[model] = min((each for each in known if each), default=None)
        most = self._token_limits[model]
        return most if most is not None and unit.tokens > most and unit.requests > 1 else None

    def _split(self) -> Flow[None]:
        context = self._context
        for unit in self._in("planned", "uploading", "uploaded"):
            most = self.most_tokens(unit)
            if most is not None:
                parts: list[Unit] = yield Work(
                    partial(split_unit, context.folder, context.ledger, unit, most)
                )
                self._units.update({part.key: part for part in parts})
                context.report(
                    "split",
                    unit,
                    f"shard {unit.shard}: split into {len(parts)} parts of at most {most:,} tokens",
                )
