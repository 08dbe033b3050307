"""Whether a server answers for a model, and whether a failure was its own or the line's: the rules are in the
package's docstring. Pure but for the numbers it keeps; whoever asks does the waiting.
"""

import math
import random
from collections.abc import Callable
from typing import Literal

State = Literal["closed", "open", "probing"]

LONGEST_PROBE = 15.0
"""Seconds between two probes, whatever Retry-After says."""
_FIRST_PROBE = 0.25
_CHANCE = 1e-9
_MOST_TRIES = 60
# What is remembered of how often lines fail is halved when it holds so many lines: servers change.
_REMEMBERED = 2_000


class Circuit:
    """One server and one model.

    `state`: "closed" lets lines through, "open" waits for the next probe, "probing" for its answer.
    """

    def __init__(self, tries: int) -> None:
        self._tries = tries
        self.state: State = "closed"
        self.in_flight = 0
        self.successes = 0
        self.proven = True
        """Whether the last success was that of a line, or of a request like one."""
        self.outages = 0
        """How often the server was shown to be at fault: a failure from before that counts for no line."""
        self.opened_at: float | None = None
        self.probes = 0
        """Sent since it opened."""
        self._failing: set[object] = set()
        self._asked = self._failed = self._recovered = 0

    @property
    def is_open(self) -> bool:
        return self.state != "closed"

    def succeeded(self, *, first: bool) -> bool:
        """A line was answered; `first` says at its first attempt. Returns whether that closed the circuit."""
        if first:
            self._asked += 1
            if self._asked > _REMEMBERED:
                self._asked, self._failed = self._asked // 2, self._failed // 2
                self._recovered //= 2
        elif not self.is_open:
            self._recovered += 1
        return self.vouched(strong=True)

    def vouched(self, *, strong: bool) -> bool:
        """A witness was answered. Returns whether that closed the circuit."""
        self.successes += 1
        self.proven = strong
        self._failing.clear()
        was_open, self.state = self.is_open, "closed"
        self.opened_at = None
        return was_open

    def failed(self, line: object, *, first: bool) -> bool:
        """A line met trouble. Returns whether the circuit should open."""
        if self.is_open:
            return False
        if first:
            self._asked += 1
            self._failed += 1
        self._failing.add(line)
        return len(self._failing) >= max(2, self.in_flight)

    def opens(self, now: float, *, alone: bool) -> None:
        """`alone`: no other line is there to compare with, so the first probe is the witness."""
        self.state = "open"
        self.opened_at = now
        self.probes = int(alone)

    def probes_again(self) -> int:
        """How many probes there were before this one."""
        self.state = "probing"
        self.probes += 1
        return self.probes - 1

    def probe_failed(self, *, tells: bool) -> None:
        """`tells`: it was not a line that had failed before, which may fail for reasons of its own."""
        if self.is_open:
            self.state = "open"
            self.outages += tells

    def wait(
        self, retry_after: float | None, uniform: Callable[[float, float], float] = random.uniform
    ) -> float:
        """Seconds to the next probe."""
        own = 0.0
        if self.probes > 1:
            longest = min(LONGEST_PROBE, _FIRST_PROBE * 2.0 ** min(self.probes, 20))
            own = uniform(longest / 2, longest)
        return min(LONGEST_PROBE, max(own, retry_after or 0.0))

    def tries(self) -> int:
        """How many attempts that failed while others succeeded make a failure the line's own."""
        if not self._recovered or not self._failed:
            return self._tries
        rate = min(0.99, self._failed / self._asked)
        return max(self._tries, min(_MOST_TRIES, math.ceil(math.log(_CHANCE) / math.log(rate))))
