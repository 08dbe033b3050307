"""The state of the service as the page shows it: nothing here is kept, and no list is longer than a page."""

import asyncio
import shutil
import time
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from overlay.server.answers.source import WAITS_FOR_ROOM, Source
from overlay.server.engine.engine import Engine, no_batch
from overlay.server.objects import STATUSES, Batch
from overlay.server.upstreams.figures import Health, Latencies
from overlay.server.upstreams.forwarding import Forwarding

_PAGE = 50
_FIRST_FAILURES = 5
_LONGEST_FAILURE = 600
_MOST_CODES = 8


class Survey:
    """Looks at an engine, and at the servers behind it."""

    def __init__(self, engine: Engine, source: Source, folder: Path) -> None:
        self.engine = engine
        self.started = time.time()
        self._source = source
        self._folder = folder

    def upstreams(self) -> list[Health]:
        return self._source.health() if isinstance(self._source, Forwarding) else []

    def latencies(self) -> list[Latencies]:
        """Of each of them."""
        servers = self._source.servers if isinstance(self._source, Forwarding) else []
        return [each.figures.latencies for each in servers]

    def batches(self) -> dict[str, int]:
        """How many there are in each status."""
        counts = dict.fromkeys(STATUSES, 0) | self.engine.tallies.ended
        for live in self.engine.live:
            counts[live.batch.status] += 1
        return counts

    def queued(self) -> int:
        """Lines of batches in progress that are not answered."""
        counts = [
            each.batch.request_counts for each in self.engine.live if each.batch.status == "in_progress"
        ]
        return sum(each.total - each.completed - each.failed for each in counts)

    def free_bytes(self) -> int:
        return shutil.disk_usage(self._folder).free

    def not_ready(self) -> list[str]:
        """Why the service cannot take requests now; empty where it can."""
        waiting = any(
            problem.code == WAITS_FOR_ROOM
            for live in self.engine.live
            if live.batch.errors
            for problem in live.batch.errors.data
        )
        reasons = ["the disk is full"] if waiting or not self.free_bytes() else []
        return reasons + (["the service stops"] if self.engine.draining else [])

    def overview(self, after: str | None) -> dict[str, Any]:
        """All but what is older than a page of batches, newest first, those `after` the one named."""
        engine = self.engine
        place = engine.store.batch_place(after) if after else None
        rows = engine.store.batches(after=place, limit=_PAGE + 1, born_by=float("inf"))
        found = [engine.batch(batch_id) for batch_id, _ in rows[:_PAGE]]
        shown = [] if after else [live.batch for live in engine.live][-_PAGE:][::-1]
        seen = {each.id for each in shown}
        shown += [each for each in found if each and each.id not in seen]
        return {
            "now": engine.timeline.now(),
            "started": self.started,
            "batches": [self._told(each) for each in shown],
            "older": rows[_PAGE - 1][0] if len(rows) > _PAGE else None,
            "statuses": self.batches(),
            "lines": dict(engine.tallies.lines),
            "queued": self.queued(),
            "free_bytes": self.free_bytes(),
            "not_ready": self.not_ready(),
            "upstreams": [msgspec.to_builtins(each) for each in self.upstreams()],
        }

    async def batch(self, batch_id: str) -> dict[str, Any]:
        """One batch and its first failures. Raises `Refusal`."""
        batch = self.engine.batch(batch_id)
        if batch is None:
            raise no_batch(batch_id)
        _, error_file = self.engine.failures(batch_id)
        first: list[dict[str, Any]] = []
        if error_file:
            first = await asyncio.to_thread(_first_failures, self.engine.store.content(error_file))
        return self._told(batch) | {"first_failures": first}

    def _told(self, batch: Batch) -> dict[str, Any]:
        failures, _ = self.engine.failures(batch.id)
        most = sorted(failures.items(), key=lambda each: -each[1])[:_MOST_CODES]
        told: dict[str, Any] = msgspec.to_builtins(batch)
        del told["errors"]
        problems = batch.errors.data[:_FIRST_FAILURES] if batch.errors else []
        return told | {"problems": msgspec.to_builtins(problems), "failures": dict(most)}


class _Failed(msgspec.Struct):
    custom_id: str
    response: msgspec.Raw = msgspec.Raw(b"null")
    error: msgspec.Raw = msgspec.Raw(b"null")


_decode_failed = msgspec.json.Decoder(_Failed).decode


def _first_failures(path: Path) -> list[dict[str, str]]:
    """What stands in the first lines of an error file, cut short. Blocks."""
    if not path.exists():
        return []
    with path.open("rb") as file:
        lines = list(islice(file, _FIRST_FAILURES))
    told: list[dict[str, str]] = []
    for line in lines:
        try:
            failed = _decode_failed(line)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue
        response, error = bytes(failed.response), bytes(failed.error)
        text = (error if response == b"null" else response).decode("utf-8", "replace")
        cut = text if len(text) <= _LONGEST_FAILURE else text[:_LONGEST_FAILURE] + "…"
        told.append({"custom_id": failed.custom_id, "said": cut})
    return told
