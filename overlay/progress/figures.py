"""What there is to say of a job at a moment: counts, pace, time to go. No printing, and no terminal."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from overlay.errors import one_line

_MINUTE, _HOUR = 60, 3600
_ENOUGH = 0.02
"""The share of a job after which this process's own pace says more than that since the job began."""
SAFE = "Ctrl-C is safe: batches keep running, and running this again goes on with them"


class ShardShown(Protocol):
    """What is read of a shard."""

    @property
    def name(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def status(self) -> str | None: ...
    @property
    def requests(self) -> int: ...
    @property
    def completed(self) -> int: ...
    @property
    def failed(self) -> int: ...
    @property
    def generation(self) -> int: ...
    @property
    def expires(self) -> datetime | None: ...


class JobShown(Protocol):
    """What is read of a job."""

    @property
    def id(self) -> str: ...
    @property
    def created(self) -> datetime: ...
    @property
    def requests(self) -> int: ...
    @property
    def answered(self) -> int: ...
    @property
    def failed(self) -> int: ...
    @property
    def input_tokens(self) -> int: ...
    @property
    def output_tokens(self) -> int: ...
    @property
    def progress(self) -> float: ...
    @property
    def ended(self) -> bool: ...
    @property
    def shards(self) -> Sequence[ShardShown]: ...
    def receipt(self) -> Any: ...


class EventShown(Protocol):
    """What is read of an event."""

    @property
    def kind(self) -> str: ...
    @property
    def job(self) -> JobShown: ...
    @property
    def message(self) -> str: ...


class Figures:
    """The latest of a job, and its pace."""

    def __init__(self) -> None:
        self.event: EventShown | None = None
        self._began = time.monotonic()
        self._at_first: int | None = None
        self._next_look: float | None = None
        self._cost: float | None = None

    def see(self, event: EventShown) -> None:
        """Something happened to the job."""
        job = event.job
        if self._at_first is None:
            self._at_first = job.answered
        self.event, self._next_look = event, None
        if job.input_tokens or job.output_tokens:
            self._cost = job.receipt().cost

    def pause(self, seconds: float) -> None:
        """Nothing is asked of the service for so long."""
        self._next_look = time.monotonic() + seconds

    @property
    def elapsed(self) -> str:
        """How long this process has been at it."""
        return f"{span(time.monotonic() - self._began)} elapsed"

    def counts(self) -> str:
        """Requests, failures, tokens, money."""
        if self.event is None:
            return "reading the requests"
        job = self.event.job
        text = f"{job.answered:,} of {job.requests:,} requests ({job.progress:.0%})"
        if job.failed:
            text += f", {job.failed:,} failed"
        if tokens := job.input_tokens + job.output_tokens:
            text += f", {tokens:,} tokens"
        return text if self._cost is None else f"{text}, ${self._cost:,.2f}"

    def times(self) -> str:
        """Elapsed, to go, the next look, the end of the batches."""
        parts = [self.elapsed]
        left = self._seconds_left()
        if left is not None:
            parts.append(f"about {span(left)} to go")
        if self._next_look is not None:
            parts.append(f"next look in {span(max(0.0, self._next_look - time.monotonic()))}")
        if expires := self._expires():
            parts.append(f"batches end by {clock_time(expires)}")
        return ", ".join(parts)

    def lately(self) -> str:
        """How many shards are done, and what happened last."""
        if self.event is None:
            return ""
        shards = self.event.job.shards
        done = sum(shard.state == "done" for shard in shards)
        return f"{done:,} of {len(shards):,} shards done; {one_line(self.event.message)}"

    def open_shards(self, most: int) -> list[str]:
        """What the first of the shards are doing that are not done, a line for each."""
        if self.event is None:
            return []
        shards = [shard for shard in self.event.job.shards if shard.state != "done"]
        lines = [_doing(shard) for shard in shards[:most]]
        return [*lines, f"and {len(shards) - most:,} more"] if len(shards) > most else lines

    def _expires(self) -> datetime | None:
        if self.event is None:
            return None
        ends = [
            shard.expires for shard in self.event.job.shards if shard.state == "created" and shard.expires
        ]
        return min(ends, default=None)

    def _seconds_left(self) -> float | None:
        """At this process's own pace once it has one, else at the pace since the job began: a batch goes on while
        nobody looks, so that a job that is resumed knows its pace at once.
        """
        if self.event is None or self.event.job.ended:
            return None
        job = self.event.job
        left, own = job.requests - job.answered, job.answered - (self._at_first or 0)
        if not left:
            return None
        if own > 0 and own >= _ENOUGH * job.requests:
            return (time.monotonic() - self._began) / own * left
        if not job.answered:
            return None
        return max(0.0, (datetime.now(UTC) - job.created).total_seconds()) / job.answered * left


def _doing(shard: ShardShown) -> str:
    status = (shard.status if shard.state == "created" else shard.state) or ""
    again = f", retry {shard.generation}" if shard.generation else ""
    return one_line(
        f"{shard.name}: {status}, {shard.completed + shard.failed:,} of {shard.requests:,}{again}"
    )


def span(seconds: float) -> str:
    """A span of time in words."""
    whole = int(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE:02} s"
    return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE:02} min"


def clock_time(moment: datetime) -> str:
    """A time of day here, with its day if it is not today."""
    here, now = moment.astimezone(), datetime.now().astimezone()
    days = (here.date() - now.date()) // timedelta(days=1)
    day = {0: "", 1: " tomorrow"}.get(days, f" on {here:%d %b}")
    return f"{here:%H:%M}{day}"
