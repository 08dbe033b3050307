"""What the service has done since it was started, in numbers that only grow."""

from collections import Counter

from overlay.server.answers.source import Outcome
from overlay.server.objects import FINAL

# Lines that ended with the batch, by the code of their failure.
_ENDED = {"batch_expired": "expired", "batch_cancelled": "cancelled"}


class Tallies:
    """`lines` by outcome, `failures` by code; `ended` are batches by their final status, earlier runs' included."""

    def __init__(self) -> None:
        self.lines: Counter[str] = Counter(dict.fromkeys(("completed", "failed", "expired", "cancelled"), 0))
        self.failures: Counter[str] = Counter()
        self.ended: Counter[str] = Counter(dict.fromkeys(sorted(FINAL), 0))

    def line(self, outcome: Outcome) -> None:
        if outcome.ok:
            self.lines["completed"] += 1
        else:
            self.lines[_ENDED.get(outcome.code, "failed")] += 1
            self.failures[outcome.code] += 1

    def entered(self, status: str) -> None:
        if status in FINAL:
            self.ended[status] += 1
