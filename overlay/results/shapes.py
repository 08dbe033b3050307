"""What a line of answers gives, and whose it is.

A line names its request by the custom_id, which most lines have near their beginning: finding it there is many
times faster than decoding the line. An id that came back as a number is read as its text.
"""

from __future__ import annotations

import re
from typing import Any

import attrs
import msgspec

from overlay.lines import decode_loosely

MALFORMED = "malformed_line"
MISSING = "missing"
NO_ANSWER = "no_answer"
NEVER_RAN = "never_ran"
SHAPELESS = frozenset({MALFORMED, NO_ANSWER})
"""The codes of lines whose shape, and not the service's word, says that there is no answer."""
NOT_ACCEPTED = "not_accepted"
"""The caller's `accept` did not take the answer, or it does not fit the type; the line still has it."""
GIVEN_UP = "given_up"
"""The caller gave up the shard before this request was answered."""
REFUSED = "batch_failed"
"""The service refused the batch as a whole; nothing ran."""
NOT_YET = "not_yet"
"""In partial results: no answer so far."""

TEXT_PARTS = frozenset({"text", "output_text"})
"""The types of content parts that are the model's text; others are its reasoning, or a refusal."""


@attrs.frozen
class LineError:
    """Why a request failed."""

    code: str | None
    """The service's error code, such as `rate_limit_exceeded` or `batch_expired`. These are ours: `missing`, for a
    request that no line answers; `malformed_line`, for a line that cannot be read or has no response; `no_answer`,
    for a response that says it succeeded but holds no answer; `never_ran`, for a status of 0; `given_up`, for a
    request of a shard that the caller gave up; `batch_failed`, for one of a job that the service refused as a
    whole; and, in partial results, `not_yet`."""
    message: str
    type: str | None = attrs.field(default=None, eq=False)
    """The service's error type, such as `invalid_request_error`."""

    def __str__(self) -> str:
        return f"{self.code}: {self.message}" if self.code else self.message


@attrs.frozen
class Usage:
    """Token counts, under one name each: endpoints use several."""

    input_tokens: int | None
    output_tokens: int | None
    total_tokens: int | None
    cached_tokens: int | None = None
    """Those of the input that were in the service's cache."""
    reasoning_tokens: int | None = None
    """Those of the output that the model wrote for itself."""


@attrs.frozen(kw_only=True)
class Reading:
    """What could be read from a line."""

    custom_id: str | None
    status_code: int | None
    request_id: str | None
    body: Any
    usage: Usage | None
    text: str | None
    error: LineError | None


BEGINNING = re.compile(
    rb"(?:\xef\xbb\xbf)?+"
    rb'\s*+\{\s*+(?:"id"\s*+:\s*+"[^"\\]*+"\s*+,\s*+)?+"custom_id"\s*+:\s*+"([^"\\]*+)"\s*+[,}]'
)
"""How services begin a line, up to its custom_id; a line that begins differently is decoded."""


class _Named(msgspec.Struct):
    custom_id: str | int


_decode_named = msgspec.json.Decoder(_Named).decode


def custom_id_bytes(line: bytes) -> bytes | None:
    """The custom_id of a line, of requests or of answers, in UTF-8; None if the line has none.

    Read from the line's beginning alone where possible, which is many times faster than decoding it.
    """
    if found := BEGINNING.match(line):
        return found[1]
    try:
        return str(_decode_named(line).custom_id).encode()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        value = decode_loosely(line)
        custom_id = None if value is None else id_text(value.get("custom_id"))
        return None if custom_id is None else custom_id.encode()


def id_text(value: Any) -> str | None:
    """A custom_id as text, also if it came back as a number; None for anything else."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return string(value)


def string(value: Any) -> str | None:
    """A string that can be printed and written to a file; None for anything else."""
    if not isinstance(value, str):
        return None
    # Half of a surrogate pair would break the first print or file write in the caller's loop.
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
