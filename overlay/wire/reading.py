"""A decoded answer, made readable: what can mean only one thing is brought into the shape that the API documents.

Generated code builds objects from what it is given and raises at the first field of another shape, and with it the
batch, or the whole page, would be lost. So this comes before it, for an answer that is one object or a page of
them: an object out of its envelope, times as seconds, reasons as strings, counts as texts, and whatever is not
worth an error because nothing depends on it. What cannot be read is None, as if it was not there.
"""

from __future__ import annotations

import logging
import re
from typing import Any

from overlay.lines import is_array, is_object
from overlay.times import unix_seconds
from overlay.wire.documented import is_documented

_log = logging.getLogger("overlay")

_MOST = 10**12
"""Requests in a batch, or a line's number: more is nonsense, and beyond what a database can hold."""
_ENVELOPES = ("job", "batch", "data", "result", "file")
_LISTS = ("data", "batches", "files", "jobs", "items", "results")
_IDS = ("batch_id", "job_id", "file_id")
"""What the id of an object is called where it is not `id`."""
_REFERENCES = ("input_file_id", "output_file_id", "error_file_id")
_REASONS = ("error", "error_message", "failure_reason", "failed_reason", "status_message")
"""Where the reasons of a batch stand where `errors` has none."""
_TEXTS = ("message", "msg", "detail", "reason", "description", "error")
_COUNTS = {
    "total": ("total", "total_requests"),
    "completed": ("completed", "succeeded", "succeeded_requests", "completed_requests"),
    "failed": ("failed", "failed_requests"),
}
"""The counts of a batch, and what they are called elsewhere: first the names that count only successes."""
_DIGITS = re.compile(r"[0-9]{1,18}")


def readable(answer: Any) -> Any:
    """The answer, with its objects changed in place."""
    answer = unwrapped(answer)
    entries = listed(answer)
    for each in [answer] if entries is None else entries:
        if is_object(each) and not is_documented(each):
            _tidy(each)
    return answer


def unwrapped(answer: Any) -> Any:
    """The one object in an envelope such as `{"job": {…}, "warning": "…"}`; anything else as it is."""
    if not is_object(answer) or _is_named(answer):
        return answer
    inside = [answer[name] for name in _ENVELOPES if is_object(answer.get(name))]
    if len(inside) != 1 or not (_is_named(inside[0]) or listed(inside[0]) is not None):
        return answer
    if isinstance(answer.get("warning"), str) and answer["warning"].strip():
        _log.warning("the service warns: %s", ascii(answer["warning"])[1:-1])
    return inside[0]


def listed(answer: Any) -> list[Any] | None:
    """The entries of an answer that is a list, bare or in an object; None if it is none."""
    if is_array(answer):
        return answer if all(map(is_object, answer)) else None
    if not is_object(answer) or _is_named(answer):
        return None
    return next((answer[name] for name in _LISTS if is_array(answer.get(name))), None)


def _is_named(fields: dict[str, Any]) -> bool:
    return any(fields.get(name) is not None for name in ("id", *_IDS))


def without_surrogates(value: Any) -> Any:
    """Decoded JSON without halves of surrogate pairs, which no file, database or terminal takes.

    Raises RecursionError where it is nested too deep.
    """
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if is_array(value):
        return [without_surrogates(each) for each in value]
    if is_object(value):
        return {without_surrogates(name): without_surrogates(each) for name, each in value.items()}
    return value


def _tidy(fields: dict[str, Any]) -> None:
    named = next((fields[name] for name in ("id", *_IDS) if fields.get(name) is not None), None)
    if named is not None:
        fields["id"] = named
    for name in ("id", *_REFERENCES):
        if isinstance(fields.get(name), int) and not isinstance(fields[name], bool):
            fields[name] = str(fields[name])
    for name, value in fields.items():
        if name.endswith("_at") and value is not None:
            fields[name] = unix_seconds(value)
    _tidy_reasons(fields)
    _tidy_counts(fields)
    for name in ("usage", "metadata"):
        if not is_object(fields.get(name)) and name in fields:
            fields[name] = None


def _tidy_reasons(fields: dict[str, Any]) -> None:
    if "errors" not in fields and not any(fields.get(name) for name in _REASONS):
        return
    reasons = _reasons(fields.get("errors"))
    for name in _REASONS:
        reasons = reasons or _reasons(fields.get(name))
    if reasons or "errors" in fields:
        fields["errors"] = {"object": "list", "data": reasons} if reasons else None


def _tidy_counts(fields: dict[str, Any]) -> None:
    found = fields.get("request_counts")
    if found is None and "total_requests" in fields:
        found = {name: fields[name] for names in _COUNTS.values() for name in names if name in fields}
    if found is not None:
        fields["request_counts"] = _counts(found)


def _counts(value: Any) -> dict[str, Any] | None:
    """The counts; None if one of them makes no sense."""
    if not is_object(value):
        return None
    said = {
        name: value[spelt]
        for name, spellings in _COUNTS.items()
        if (spelt := next((each for each in spellings if value.get(each) is not None), None))
    }
    counts = {name: whole_number(each) for name, each in said.items()}
    if None in counts.values():
        return None
    return {**value, **counts}


def _reasons(value: Any) -> list[dict[str, Any]]:
    """Why a batch failed, wherever the service put it: in a list, a list of lists' shape, an object, or a text."""
    if is_object(value) and "data" in value:
        value = value["data"]
    return [reason for each in (value if is_array(value) else [value]) if (reason := _reason(each))]


def _reason(value: Any) -> dict[str, Any] | None:
    if isinstance(value, str):
        return {"message": value} if value.strip() else None
    if not is_object(value):
        return None
    inner = value.get("error")
    if is_object(inner) and "message" not in value:
        value = {**value, **inner}
    texts: dict[str, Any] = {
        name: _text(value[name]) for name in ("code", "message", "param") if name in value
    }
    if texts.get("message") is None:
        said = (value[name] for name in _TEXTS if isinstance(value.get(name), str) and value[name].strip())
        text = next(said, None)
        texts |= {} if text is None else {"message": text}
    line = {"line": whole_number(value["line"])} if "line" in value else {}
    return {**value, **texts, **line} or None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) or value is None else str(value)


def whole_number(value: Any) -> int | None:
    """A number of things; None if it is none, or none that can be meant."""
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= _MOST else None
