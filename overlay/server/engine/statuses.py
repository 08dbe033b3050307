"""The status of a batch: stored before anybody is told of it."""

import logging
from copy import copy

import msgspec
from msgspec import Struct

from overlay.server.clock import Timeline
from overlay.server.disk import NoRoomError
from overlay.server.engine import transitions
from overlay.server.engine.events import Events
from overlay.server.engine.live import Live
from overlay.server.engine.store import Store
from overlay.server.engine.tallies import Tallies
from overlay.server.objects import Batch

logger = logging.getLogger("overlay.server")


class Statuses:
    """Brings batches from one status into another."""

    def __init__(self, store: Store, timeline: Timeline, tallies: Tallies, events: Events) -> None:
        self._store = store
        self._timeline = timeline
        self._tallies = tallies
        self._events = events

    def enter(self, live: Live, status: str) -> None:
        """Raises `NoRoomError`; then the batch is in the status that it was in."""
        before = copy(live.batch), copy(live.progress)
        try:
            with self._store.transaction():
                self.store(live, status)
        except NoRoomError:
            for now, then in zip((live.batch, live.progress), before, strict=True):
                restore(now, then)
            raise
        self.tell(live.batch)

    def store(self, live: Live, status: str) -> None:
        """As `enter`, but nobody is told: it is part of a transaction that may not come about."""
        before = copy(live.batch), copy(live.progress)
        now = self._timeline.now()
        transitions.enter(live.batch, status, now)
        live.progress.entered = now
        try:
            self._store.save_batch(live.batch, live.progress)
            self._events.note(live.batch)
        except NoRoomError:
            for now_, then in zip((live.batch, live.progress), before, strict=True):
                restore(now_, then)
            raise

    def tell(self, batch: Batch) -> None:
        """Count and log the status that a batch has come into, and post the event if it has ended."""
        self._events.send()
        counts = batch.request_counts
        self._tallies.entered(batch.status)
        fields = {
            "event": "batch",
            "batch": batch.id,
            "status": batch.status,
            **msgspec.structs.asdict(counts),
        }
        logger.info(
            "batch %s: %s, %d of %d completed, %d failed",
            batch.id,
            batch.status,
            counts.completed,
            counts.total,
            counts.failed,
            extra={"fields": fields},
        )


def restore(struct: Struct, before: Struct) -> None:
    """Give an object that others hold the fields that it had."""
    for name in struct.__struct_fields__:
        setattr(struct, name, getattr(before, name))
