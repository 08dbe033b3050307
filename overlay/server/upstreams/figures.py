"""What is counted of a server, and how it is told."""

import time
from bisect import bisect_left
from collections import deque
from typing import Literal

import msgspec

from overlay.server.upstreams.verdicts import Meaning, Verdict

_SPAN = 10.0
_TOO_MANY = 429


class Health(msgspec.Struct, kw_only=True):
    """One server, now. Times are seconds since 1970."""

    url: str
    model: str | None
    """The only one it is asked for; None is any."""
    state: Literal["closed", "open", "probing"]
    """"closed" is well; otherwise at least one model waits for an answer."""
    waiting_models: list[str]
    """Those whose circuit is not closed; "" is that of lines that name none."""
    open_since: float | None
    weight: float
    at_once: int
    auto: bool
    """Whether `at_once` follows what the server does well with."""
    in_flight: int
    """Lines of batches under way, and probes."""
    live: int
    """Requests passed through, under way."""
    per_second: float
    """Lines settled, over the last ten seconds."""
    latency: float
    """Seconds from a request to its answer, a moving average."""
    answered: int
    refused: int
    """Lines with a 4xx of their own."""
    trouble: int
    """Attempts that met no connection, 408, 429, 5xx, …"""
    slow: int
    """Attempts that met the timeout."""
    rate_limited: int
    """Attempts that met 429."""
    key_refused: int
    """Attempts that met 401."""
    last_error: str | None
    last_error_at: float | None


class Latencies:
    """How many took how long, in seconds: up to each of the `bounds`, and longer."""

    bounds = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)

    def __init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds


class Figures:
    """Counters that only grow, and a rate."""

    def __init__(self) -> None:
        self.answered = self.refused = self.trouble = self.slow = self.key_refused = self.rate_limited = 0
        self.latencies = Latencies()
        self.last_error: str | None = None
        self.last_error_at: float | None = None
        self._buckets: deque[tuple[int, int]] = deque(maxlen=int(_SPAN) + 1)

    def add(self, verdict: Verdict) -> None:
        setattr(self, verdict.meaning.value, getattr(self, verdict.meaning.value) + 1)
        if verdict.settled:
            second = int(time.monotonic())
            if self._buckets and self._buckets[-1][0] == second:
                self._buckets[-1] = (second, self._buckets[-1][1] + 1)
            else:
                self._buckets.append((second, 1))
        if verdict.meaning is not Meaning.ANSWERED:
            self.last_error, self.last_error_at = verdict.reason, time.time()
            self.rate_limited += verdict.status == _TOO_MANY

    def per_second(self) -> float:
        now = int(time.monotonic())
        return sum(count for second, count in list(self._buckets) if now - _SPAN <= second < now) / _SPAN
