"""Reading an answer line of any shape: none is refused, whatever a service has written.

Seen at independent services: a body that is a JSON object inside a string; errors with no response and
no code; an error that is a bare string; `NaN` and halves of surrogate pairs, which Python's own JSON
writer emits. Each gives a `Reading`; a line that cannot be read at all gives one with the error code
`malformed_line`, and with the custom_id if its beginning still shows it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import attrs
import msgspec

from overlay.lines import decode_loosely, decode_text, is_array, is_object

MALFORMED = "malformed_line"
MISSING = "missing"
GIVEN_UP = "given_up"
"""The caller gave up the shard before this request was answered."""
REFUSED = "batch_failed"
"""The service refused the batch as a whole; nothing ran."""
NOT_YET = "not_yet"
"""In partial results: no answer so far."""
FAILED = 400
"""The lowest status that means a failed request (RFC 9110, section 15)."""

_MESSAGE_KEPT = 1_000
"""Characters; the line itself has them all."""

TEXT_PARTS = frozenset({"text", "output_text"})
"""The types of content parts that are the model's text; others are its reasoning, or a refusal."""


@attrs.frozen
class LineError:
    """Why a request failed."""

    code: str | None
    """The service's error code, such as `rate_limit_exceeded` or `batch_expired`. These are ours: `missing`,
    for a request that no file answers; `malformed_line`; `given_up`, for one of a shard that the caller gave up;
    `batch_failed`, for one of a job that the service refused as a whole; and, in partial results, `not_yet`."""
    message: str

    def __str__(self) -> str:
        return f"{self.code}: {self.message}" if self.code else self.message


@attrs.frozen
class Usage:
    """Token counts, under one name each: endpoints use several."""

    input_tokens: int | None
    output_tokens: int | None
    total_tokens: int | None


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
    rb'\s*+\{\s*+(?:"id"\s*+:\s*+"[^"\\]*+"\s*+,\s*+)?+"custom_id"\s*+:\s*+"([^"\\]*+)"\s*+[,}]'
)
"""How services begin a line, up to its custom_id; a line that begins differently is decoded."""


class _Named(msgspec.Struct):
    custom_id: str


_decode_named = msgspec.json.Decoder(_Named).decode


def custom_id_bytes(line: bytes) -> bytes | None:
    """The custom_id of a line, of requests or of answers, in UTF-8; None if the line has none.

    Read from the line's beginning alone where possible, which is many times faster than decoding it.
    """
    if found := BEGINNING.match(line):
        return found[1]
    try:
        return _decode_named(line).custom_id.encode()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        value = decode_loosely(line)
        custom_id = None if value is None else _string(value.get("custom_id"))
        return None if custom_id is None else custom_id.encode()


def read_loosely(line: bytes) -> Reading:
    """Read a line of any shape."""
    value = decode_loosely(line)
    if value is None:
        found = BEGINNING.match(line)
        custom_id = found[1].decode("utf-8", "replace") if found else None
        return _malformed("the line is not a JSON object", custom_id)
    custom_id = _string(value.get("custom_id"))
    if custom_id is None:
        return _malformed("the line has no custom_id", None)
    response = value.get("response")
    response = response if is_object(response) else {}
    status_code = _status_code(response.get("status_code"))
    body = body_of(value)
    error = _error(value.get("error"), status_code, body)
    fields = body if is_object(body) else {}
    return Reading(
        custom_id=custom_id,
        status_code=status_code,
        request_id=_string(response.get("request_id")),
        body=body,
        usage=usage_of(fields.get("usage")),
        text=_text(fields) if error is None else None,
        error=error,
    )


def body_of(line: dict[str, Any] | None) -> Any:
    """The body of the line's response; if that is an object inside a string, the object."""
    response = None if line is None else line.get("response")
    body = response.get("body") if is_object(response) else None
    if isinstance(body, str) and body.lstrip().startswith("{"):
        return decode_text(body) or body
    return body


def usage_of(usage: Any) -> Usage | None:
    """The token counts, whatever the endpoint calls them."""
    if not is_object(usage):
        return None
    return Usage(
        input_tokens=_integer(usage.get("input_tokens", usage.get("prompt_tokens"))),
        output_tokens=_integer(usage.get("output_tokens", usage.get("completion_tokens"))),
        total_tokens=_integer(usage.get("total_tokens")),
    )


def _malformed(message: str, custom_id: str | None) -> Reading:
    return Reading(
        custom_id=custom_id,
        status_code=None,
        request_id=None,
        body=None,
        usage=None,
        text=None,
        error=LineError(MALFORMED, message),
    )


def _error(error: Any, status_code: int | None, body: Any) -> LineError | None:
    if says_something(error):
        return _line_error(error, status_code)
    if status_code is None:
        # Some services leave the status out: then only a body without an error is a success.
        if is_object(body) and body and not says_something(body.get("error")):
            return None
        return _line_error(body.get("error") if is_object(body) else body, None)
    if status_code < FAILED:
        return None
    return _line_error(_refusal(body), status_code)


def _refusal(body: Any) -> Any:
    if not is_object(body):
        return body
    for name in ("error", "detail"):
        if says_something(body.get(name)):
            return body[name]
    return body


def says_something(error: Any) -> bool:
    """Whether an error is more than a placeholder such as `{}` or `{"code": null, "message": null}`."""
    return any(error.values()) if is_object(error) else bool(error)


def _line_error(error: Any, status_code: int | None) -> LineError:
    code = message = None
    if is_object(error):
        code = _string(error.get("code")) or _string(error.get("type"))
        message = _string(error.get("message"))
    if not message and says_something(error):
        with suppress(RecursionError):
            message = _string(error) or json.dumps(error)
    if not message:
        message = f"status {status_code}" if status_code else "no reason given"
    return LineError(code, message if len(message) <= _MESSAGE_KEPT else message[:_MESSAGE_KEPT] + "...")


def _text(body: dict[str, Any]) -> str | None:
    choice = _first(body.get("choices"))
    if choice:
        message = choice.get("message")
        text = _words(message.get("content")) if is_object(message) else _string(choice.get("text"))
    else:
        output = body.get("output")
        items = [item for item in output if is_object(item)] if is_array(output) else []
        texts = [_words(item["content"]) for item in items if is_array(item.get("content"))]
        text = _join(texts)
    return text


def _words(content: Any) -> str | None:
    if not is_array(content):
        return _string(content)
    parts = [part for part in content if is_object(part) and part.get("type") in TEXT_PARTS]
    return _join(_string(part.get("text")) for part in parts)


def _join(texts: Iterable[str | None]) -> str | None:
    found = [text for text in texts if text is not None]
    return "".join(found) if found else None


def _first(items: Any) -> dict[str, Any] | None:
    return items[0] if is_array(items) and items and is_object(items[0]) else None


def _string(value: Any) -> str | None:
    if not isinstance(value, str):
        return None
    # Half of a surrogate pair would break the first print or file write in the caller's loop.
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _integer(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _status_code(value: Any) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:9])
    return _integer(value)
