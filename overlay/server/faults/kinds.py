"""Trouble on demand: what can happen to a request, or to its answer.

    service.faults.add("POST /batches", Reject(503, headers={"Retry-After": "1"}), times=2)
    service.faults.add("GET /files/*/content", Cut(after=1000))
    service.faults.add("POST /batches", Accept(then=Reset()))
    service.faults.add("GET /batches", Oldest(), times=None)

Which requests meet it, and how often, is in matching.py. Of the effects, those below concern a request and the
connection; those of lists stand in listing.py, of single objects in rewriting.py, of result files in results.py.

The same over HTTP, for a test in another process: `POST /_control/faults` with
`{"match": "POST /batches", "effect": {"effect": "reject", "status": 503}, "times": 2}`; `GET` lists them with their
hits, and `DELETE` removes them all. As text, `POST /batches reject status=503 times=2`: see `faults.spelling`.

Times are in seconds. What delays an answer is real time; what the service does or shows later (`LateAccept`,
`LagList`, `Stale`, `Linger`, `Pending`) goes by the service's clock.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

from overlay.server.faults.effect import EffectValue
from overlay.server.faults.listing import ListEffect
from overlay.server.faults.results import LineEffect
from overlay.server.faults.rewriting import Rewriting

_HEADER = re.compile(r"[!#$%&'*+.^`|~\w-]+", re.ASCII)


def is_header(name: str, text: str) -> bool:
    """Whether HTTP can send it."""
    return bool(_HEADER.fullmatch(name)) and text.isascii() and text.isprintable()


def _check_headers(headers: Mapping[str, str]) -> None:
    for name, text in headers.items():
        if not is_header(name, text):
            raise ValueError(f"not a header: {name}: {text}")


Status = Annotated[int, msgspec.Meta(ge=200, le=599)]


class Reject(EffectValue, frozen=True, tag="reject"):
    """Refuse with an error body of the API's form; nothing is done."""

    status: Status = 500
    message: str = "The server had an error while processing your request."
    code: str | None = None
    kind: str = "server_error"
    headers: dict[str, str] = msgspec.field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        _check_headers(self.headers)


class Literally(EffectValue, frozen=True, tag="literally"):
    """Answer with this body, `repeat` times over; nothing is done."""

    body: str = ""
    status: Status = 200
    media_type: str = "text/html"
    headers: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    repeat: int = 1

    def __post_init__(self) -> None:
        _check_headers(self.headers | {"content-type": self.media_type})


class Reset(EffectValue, frozen=True, tag="reset"):
    """Reset the connection; nothing is done."""


class Silence(EffectValue, frozen=True, tag="silence"):
    """Answer nothing until the client leaves, or close without a word after `seconds`; nothing is done."""

    seconds: float | None = None


Refusing = Reject | Literally | Reset | Silence


class Delay(EffectValue, frozen=True, tag="delay"):
    """Wait before the request is looked at, or after it was done and before it is answered."""

    before: float = 0.0
    after: float = 0.0


class Accept(EffectValue, frozen=True, tag="accept"):
    """Do what was asked, and then behave as `then`."""

    then: Refusing = Reject()


class LateAccept(EffectValue, frozen=True, tag="late_accept"):
    """Behave as `then` at once, and do what was asked `seconds` later."""

    seconds: float
    then: Refusing = Reset()


class LagList(EffectValue, frozen=True, tag="lag_list"):
    """In GET /batches, hide batches younger than `seconds`."""

    seconds: float


class Linger(EffectValue, frozen=True, tag="linger"):
    """In DELETE /files/*, let the file be named by new batches for `seconds` more."""

    seconds: float


class Pending(EffectValue, frozen=True, tag="pending"):
    """In POST /files, leave the file `pending` for `seconds`, as Azure does. Until then a batch that names it is
    `refused`, as there, or with False accepted.
    """

    seconds: float
    refused: bool = True


class Cut(EffectValue, frozen=True, tag="cut"):
    """End the connection `after` this many bytes of the body, or after this many `lines`.

    `framing` says how the body was announced: with its `length`, in chunks, or not at all, so that only the `close`
    of the connection ends it and nothing tells a cut from an end. `reset` ends with a reset.
    """

    after: int | None = None
    framing: Literal["length", "chunked", "close"] = "length"
    reset: bool = False
    lines: int | None = None

    def __post_init__(self) -> None:
        if (self.after is None) == (self.lines is None):
            raise ValueError("a cut comes after a number of bytes or of lines: give one of the two")


class Drip(EffectValue, frozen=True, tag="drip"):
    """Send the body in pieces of `size` bytes, with `seconds` before each."""

    seconds: float = 0.01
    size: Annotated[int, msgspec.Meta(ge=1)] = 1


class CloseAfter(EffectValue, frozen=True, tag="close_after"):
    """Answer as if the connection stayed open, and end it: at once after the answer, or with a reset when the next
    request arrives on it.
    """

    moment: Literal["answer", "next_request"] = "next_request"


class Gzip(EffectValue, frozen=True, tag="gzip"):
    """Compress the body, whatever the client accepts."""


Effect = (
    Refusing
    | Delay
    | Accept
    | LateAccept
    | LagList
    | Linger
    | Pending
    | Cut
    | Drip
    | CloseAfter
    | Gzip
    | ListEffect
    | LineEffect
    | Rewriting
)
