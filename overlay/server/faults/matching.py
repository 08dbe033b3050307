"""Which requests meet a fault, and how often.

A pattern is a method and a path without `/v1`, either of which may be `*`; in a path, `*` stands for one segment
and `**` for any number. Where several faults meet one request, the one added first is nearest to the client: a
`Cut` added before a `Gzip` cuts the compressed bytes. Those that change what an answer says (listing.py,
rewriting.py, results.py) are farther away than all others.
"""

import re
import threading
from random import Random

import msgspec

from overlay.server.faults.kinds import Effect


class Fault(msgspec.Struct):
    """`effect` meets the requests that `match` fits, except the first `skip` of them, and at most `times`."""

    match: str
    effect: Effect
    times: int | None = 1
    """None is for ever."""
    skip: int = 0
    rate: float = 1.0
    """The part of the requests that meet it, from 0 to 1."""
    hits: int = 0
    """How many requests have met it."""

    def __post_init__(self) -> None:
        _pattern(self.match)


class Faults:
    """The faults of one service, for use from any thread. `seed` decides which requests a `rate` picks."""

    def __init__(self, seed: int = 0) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self._random = Random(seed)  # noqa: S311  repeatable on purpose

    def add(
        self, match: str, effect: Effect, *, times: int | None = 1, skip: int = 0, rate: float = 1.0
    ) -> Fault:
        """Raises `ValueError` for a pattern that is not a method and a path."""
        fault = Fault(match, effect, times, skip, rate)
        self.put(fault)
        return fault

    def put(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def remove(self, fault: Fault) -> None:
        with self._lock:
            self._faults = [each for each in self._faults if each is not fault]

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def all(self) -> list[Fault]:
        with self._lock:
            return list(self._faults)

    def meet(self, method: str, path: str) -> list[Effect]:
        """The effects for one request; counts it."""
        with self._lock:
            return [fault.effect for fault in self._faults if self._hit(fault, f"{method} {path}")]

    def _hit(self, fault: Fault, request: str) -> bool:
        if fault.hits == fault.times or not _pattern(fault.match).fullmatch(request):
            return False
        if fault.skip > 0:
            fault.skip -= 1
            return False
        if fault.rate < 1 and self._random.random() >= fault.rate:
            return False
        fault.hits += 1
        return True


_patterns: dict[str, re.Pattern[str]] = {}


def _pattern(match: str) -> re.Pattern[str]:
    found = _patterns.get(match)
    if found is None:
        method, _, path = match.partition(" ")
        if match == "*":
            path = "*"
        if not method or not (path == "*" or path.startswith("/")):
            raise ValueError(
                f"a pattern is a method and a path, as in 'POST /batches', and this is {match!r}"
            )
        path = "/**" if path == "*" else path.removeprefix("/v1")
        parts = re.split(r"(\*\*|\*)", path)
        spelled = "".join({"**": ".*", "*": "[^/]*"}.get(part) or re.escape(part) for part in parts)
        verb = r"\S+" if method == "*" else re.escape(method.upper())
        found = _patterns[match] = re.compile(f"{verb} /v1{spelled}")
    return found
