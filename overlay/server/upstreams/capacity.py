"""How many requests a server gets at once: a fixed number, or as many as it does well with.

`auto` climbs until the server says stop (AIMD, as TCP does): it doubles from 4 for as long as that brings more
answers a second, then adds one at a time. A 429 or 503 halves it; more requests that only made each slower take
back a quarter. What is measured is a window of answers, twice as many as are under way.
"""

from overlay.server.upstreams.address import AtOnce

_FIRST, _MOST = 4.0, 4096.0
# A quarter more at once that brings less than this part of a quarter more is queueing.
_WORTH = 0.3
# What a smaller step brings cannot be told from noise.
_TELLING = 1.25
_BACK, _HALF = 0.75, 0.5


class Capacity:
    """`limit` is how many may be under way now."""

    def __init__(self, at_once: AtOnce) -> None:
        self._auto = at_once == "auto"
        self._limit = _FIRST if at_once == "auto" else float(at_once)
        self._doubling = True
        self._began: float | None = None
        self._answers = 0
        self._full = False
        self._seconds = 0.0
        self._before: tuple[float, float, float] | None = None
        self._cut_at = float("-inf")
        self.latency = 0.0
        """Seconds, a moving average."""

    @property
    def limit(self) -> int:
        return int(self._limit)

    @property
    def auto(self) -> bool:
        return self._auto

    def answered(self, now: float, seconds: float, under_way: int) -> None:
        """An answer came after so many `seconds`; `under_way` counts it."""
        self.latency += (seconds - self.latency) * (0.1 if self.latency else 1.0)
        if not self._auto:
            return
        if self._began is None:
            self._began, self._answers, self._seconds, self._full = now, 0, 0.0, False
        self._answers += 1
        self._seconds += seconds
        self._full |= under_way >= self.limit
        if self._answers >= max(8, 2 * self.limit):
            self._ponder(now)

    def pushed_back(self, now: float) -> None:
        """The server said that it is too much. Answers to what was sent before the last cut do not cut again."""
        if not self._auto or now - self._cut_at < max(0.1, self.latency):
            return
        self._cut(now, _HALF)

    def _ponder(self, now: float) -> None:
        assert self._began is not None
        rate = self._answers / max(1e-6, now - self._began)
        latency = self._seconds / self._answers
        full, before = self._full, self._before
        self._began = None
        if not full:
            return  # there was not enough to do to learn anything
        if before is None or before[0] >= self._limit:
            self._before = (self._limit, rate, latency)
        else:
            more, faster, slower = self._limit / before[0], rate / before[1], latency / before[2]
            if more >= _TELLING:
                if slower > 1 + (more - 1) * _WORTH and faster < 1 + (more - 1) * _WORTH:
                    self._cut(now, _BACK)
                    return
                self._before = (self._limit, rate, latency)
        self._limit = min(_MOST, self._limit * 2 if self._doubling else self._limit + 1)

    def _cut(self, now: float, part: float) -> None:
        self._limit = max(1.0, self._limit * part)
        self._doubling = False
        self._cut_at = now
        self._began = self._before = None
