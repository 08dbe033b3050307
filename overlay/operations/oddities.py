"""What is odd about a batch that runs, said once: a status that nobody knows, or reasons for which it will fail."""

from __future__ import annotations

from collections.abc import Callable

from overlay.flows.steps import Deadline, deadline
from overlay.models import Batch
from overlay.statuses import is_known
from overlay.wire.connection import Settings

_PATIENCE = 600.0
"""Seconds for which an unknown status may pass by itself."""


class Oddities:
    """What has been seen of batches that are waited for; `say` is given a sentence."""

    def __init__(self, settings: Settings, say: Callable[[Batch, str], object]) -> None:
        self._settings = settings
        self._say = say
        self._unknown: dict[str, tuple[str | None, Deadline]] = {}
        self._told: set[tuple[str, str]] = set()

    def saw(self, batch: Batch) -> None:
        """Note how a batch is now."""
        if batch.ended:
            return
        if not is_known(batch.status):
            self._wonder(batch)
        for reason in batch.reasons[:1]:
            self._tell(batch, reason, f"batch {batch.id} is {batch.status}, and the service says: {reason}")

    def _wonder(self, batch: Batch) -> None:
        status, patience = self._unknown.get(batch.id, (None, None))
        if patience is None or status != batch.status:
            self._unknown[batch.id] = batch.status, deadline(self._settings, _PATIENCE)
        elif patience.left <= 0:
            self._tell(
                batch,
                f"status {batch.status}",
                f"batch {batch.id} has had the unknown status {batch.status!r} for {_PATIENCE / 60:.0f} minutes; "
                "it is waited for until it shows that it has ended; cancel the batch, or wait with a timeout, to "
                "stop sooner",
            )

    def _tell(self, batch: Batch, what: str, sentence: str) -> None:
        if (batch.id, what) not in self._told:
            self._told.add((batch.id, what))
            self._say(batch, sentence)
