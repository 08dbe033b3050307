"""Reading an answer line of any shape: none is refused, whatever a service has written.

Seen at independent services: a body that is a JSON object inside a string; statuses as strings; errors with no
response and no code; an error that is a bare string; `NaN` and halves of surrogate pairs, which Python's own JSON
writer emits. Each gives a `Reading`; a line that cannot be read at all gives one with the error code
`malformed_line`, and with the custom_id if its beginning still shows it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from overlay.lines import decode_loosely, decode_text, is_array, is_object
from overlay.results.shapes import (
    BEGINNING,
    MALFORMED,
    TEXT_PARTS,
    LineError,
    Reading,
    Usage,
    id_text,
    string,
)
from overlay.results.verdicts import ANSWERS, is_failed_part, parts_of, says_something, verdict

_MOST_TOKENS = 10**12

_STATUS = re.compile(r"\s*([+-]?\d{1,9})(?:\.0*)?(?:\s+[A-Za-z ]+)?\s*", re.ASCII)
"""A status in a string; some add the reason, as HTTP does."""


def read_loosely(line: bytes) -> Reading:
    """Read a line of any shape."""
    value = decode_loosely(line)
    if value is None:
        found = BEGINNING.match(line)
        custom_id = found[1].decode("utf-8", "replace") if found else None
        return _malformed("the line is not a JSON object", custom_id)
    custom_id = id_text(value.get("custom_id"))
    if custom_id is None:
        return _malformed("the line has no custom_id", None)
    response = _response(value)
    status_code = _status_code(response)
    body = body_of(value)
    error = verdict(_said(value), status_code, body)
    fields = body if is_object(body) else {}
    return Reading(
        custom_id=custom_id,
        status_code=status_code,
        request_id=string(response.get("request_id")),
        body=body,
        usage=usage_of(fields.get("usage")),
        text=_text(fields) if error is None else None,
        error=error,
    )


def failure_of(line: bytes) -> LineError | None:
    """Why a line holds no answer, whosever it is; None if it holds one."""
    value = decode_loosely(line)
    if value is None:
        return LineError(MALFORMED, "the line is not a JSON object")
    return verdict(_said(value), _status_code(_response(value)), body_of(value))


def body_of(line: dict[str, Any] | None) -> Any:
    """The body of the line's response; if that is an object inside a string, the object. Some services leave out
    the response's own fields, so that the response is the body.
    """
    response = _response(line or {})
    if "body" not in response and any(name in response for name in ANSWERS):
        return response
    body = response.get("body")
    if isinstance(body, str) and body.lstrip().startswith("{"):
        return decode_text(body) or body
    return body


def usage_of(usage: Any) -> Usage | None:
    """The token counts, whatever the endpoint calls them."""
    if not is_object(usage):
        return None
    return Usage(
        input_tokens=_tokens(usage.get("input_tokens", usage.get("prompt_tokens"))),
        output_tokens=_tokens(usage.get("output_tokens", usage.get("completion_tokens"))),
        total_tokens=_tokens(usage.get("total_tokens")),
        cached_tokens=_detail(usage, ("input_tokens_details", "prompt_tokens_details"), "cached_tokens"),
        reasoning_tokens=_detail(
            usage, ("output_tokens_details", "completion_tokens_details"), "reasoning_tokens"
        ),
    )


def _detail(usage: dict[str, Any], places: tuple[str, ...], name: str) -> int | None:
    found: Any = next((usage[place] for place in places if place in usage), None)
    return _tokens(found.get(name)) if is_object(found) else None


def _tokens(value: Any) -> int | None:
    """A count that can be added up for a whole job, and stored."""
    count = _integer(value)
    return count if count is not None and 0 <= count < _MOST_TOKENS else None


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


def _response(line: dict[str, Any]) -> dict[str, Any]:
    response = line.get("response")
    if isinstance(response, str):
        response = decode_text(response)
    return response if is_object(response) else {}


def _said(line: dict[str, Any]) -> Any:
    """The error that the line reports, beside or in its response."""
    error = line.get("error")
    return error if says_something(error) else _response(line).get("error")


def _text(body: dict[str, Any]) -> str | None:
    choices = [choice for choice in parts_of(body.get("choices")) if not is_failed_part(choice)]
    if choices:
        choice = min(choices, key=place_of)
        message = choice.get("message")
        return words_of(message.get("content")) if is_object(message) else string(choice.get("text"))
    texts = [
        words_of(item["content"]) for item in parts_of(body.get("output")) if is_array(item.get("content"))
    ]
    text = _join(texts)
    return string(body.get("output_text")) if text is None else text


def place_of(choice: dict[str, Any]) -> int:
    """Where a choice, or a vector, belongs among the others."""
    return _integer(choice.get("index")) or 0


def words_of(content: Any) -> str | None:
    """The text of a message's content, plain or in parts; None if there is none."""
    if not is_array(content):
        return string(content)
    return _join(string(part.get("text")) for part in parts_of(content) if _is_text(part.get("type")))


def _is_text(kind: Any) -> bool:
    return isinstance(kind, str) and kind in TEXT_PARTS


def _join(texts: Iterable[str | None]) -> str | None:
    found = [text for text in texts if text is not None]
    return "".join(found) if found else None


def _integer(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _status_code(response: dict[str, Any]) -> int | None:
    value = response.get("status_code", response.get("status"))
    if isinstance(value, str):
        found = _STATUS.fullmatch(value)
        return int(found[1]) if found else None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return _integer(value)
