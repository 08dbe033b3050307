"""Trouble on demand: which requests meet it, how often, and what happens to them.

    service.faults.add("POST /batches", Reject(503, headers={"Retry-After": "1"}), times=2)
    service.faults.add("GET /files/*/content", Cut(after=1000))
    service.faults.add("POST /batches", Accept(then=Reset()))

A pattern is a method and a path without `/v1`, whichever prefix the client uses; either may be `*`. In a path, `*`
stands for one segment and `**` for any number. Of several faults that meet one request, the one added first is
nearest to the client: a `Cut` added before a `Gzip` cuts the compressed bytes.

The same over HTTP, for a test in another process: `POST /_control/faults` with
`{"match": "POST /batches", "effect": {"effect": "reject", "status": 503}, "times": 2}`; `GET` lists them with their
hits, and `DELETE` removes them all. As text, `POST /batches reject status=503 times=2`: see `faults.spelling`.

Times are in seconds. What delays an answer is real time; what the service does or shows later (`LateAccept`,
`LagList`, `Linger`) goes by the service's clock.
"""

import re
import threading
from random import Random
from typing import Annotated, Literal

import msgspec

Status = Annotated[int, msgspec.Meta(ge=200, le=599)]


class _Effect(msgspec.Struct, frozen=True, tag_field="effect", forbid_unknown_fields=True):
    pass


class Reject(_Effect, frozen=True, tag="reject"):
    """Refuse with an error body of the API's form; nothing is done."""

    status: Status = 500
    message: str = "The server had an error while processing your request."
    code: str | None = None
    kind: str = "server_error"
    headers: dict[str, str] = {}


class Literally(_Effect, frozen=True, tag="literally"):
    """Answer with this body, `repeat` times over; nothing is done."""

    body: str = ""
    status: Status = 200
    media_type: str = "text/html"
    headers: dict[str, str] = {}
    repeat: int = 1


class Reset(_Effect, frozen=True, tag="reset"):
    """Reset the connection; nothing is done."""


class Silence(_Effect, frozen=True, tag="silence"):
    """Answer nothing until the client leaves, or close without a word after `seconds`; nothing is done."""

    seconds: float | None = None


Refusing = Reject | Literally | Reset | Silence


class Delay(_Effect, frozen=True, tag="delay"):
    """Wait before the request is looked at, or after it was done and before it is answered."""

    before: float = 0.0
    after: float = 0.0


class Accept(_Effect, frozen=True, tag="accept"):
    """Do what was asked, and then behave as `then`."""

    then: Refusing = Reject()


class LateAccept(_Effect, frozen=True, tag="late_accept"):
    """Behave as `then` at once, and do what was asked `seconds` later."""

    seconds: float
    then: Refusing = Reset()


class LagList(_Effect, frozen=True, tag="lag_list"):
    """In GET /batches, hide batches younger than `seconds`."""

    seconds: float


class Linger(_Effect, frozen=True, tag="linger"):
    """In DELETE /files/*, let the file be named by new batches for `seconds` more."""

    seconds: float


class Cut(_Effect, frozen=True, tag="cut"):
    """End the connection after so many bytes of the body.

    `framing` says how the body was announced: with its `length`, in chunks, or not at all, so that only the `close`
    of the connection ends it and nothing tells a cut from an end. `reset` ends with a reset.
    """

    after: int
    framing: Literal["length", "chunked", "close"] = "length"
    reset: bool = False


class Drip(_Effect, frozen=True, tag="drip"):
    """Send the body in pieces of `size` bytes, with `seconds` before each."""

    seconds: float = 0.01
    size: Annotated[int, msgspec.Meta(ge=1)] = 1


class CloseAfter(_Effect, frozen=True, tag="close_after"):
    """Answer as if the connection stayed open, and end it: at once after the answer, or with a reset when the next
    request arrives on it.
    """

    moment: Literal["answer", "next_request"] = "next_request"


class Gzip(_Effect, frozen=True, tag="gzip"):
    """Compress the body, whatever the client accepts."""


Effect = Refusing | Delay | Accept | LateAccept | LagList | Linger | Cut | Drip | CloseAfter | Gzip


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
