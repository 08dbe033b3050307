"""A decoded answer, made readable: what can mean only one thing is brought into the shape that the API documents.

Generated code builds objects from what it is given and raises at the first field of another shape, and with it the
batch, or the whole page, would be lost. So this comes before it, for an answer that is one object or a page of
them: reasons as strings, counts as texts, and whatever is not worth an error because nothing depends on it. What
cannot be read is None, as if it was not there.
"""

from __future__ import annotations

import re
from typing import Any

from overlay.lines import is_array, is_object

_MOST = 10**12
"""Requests in a batch, or a line's number: more is nonsense, and beyond what a database can hold."""
_COUNTS = ("total", "completed", "failed")
_DIGITS = re.compile(r"[0-9]{1,18}")


def readable(answer: Any) -> Any:
    """The answer, with its objects changed in place."""
    if is_object(answer):
        page = answer.get("data")
        for each in page if is_array(page) else [answer]:
            if is_object(each):
                _tidy(each)
    return answer


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
    if fields.get("errors") is not None:
        reasons = _reasons(fields["errors"])
        fields["errors"] = {"object": "list", "data": reasons} if reasons else None
    if fields.get("request_counts") is not None:
        fields["request_counts"] = _counts(fields["request_counts"])
    for name in ("usage", "metadata"):
        if not is_object(fields.get(name)) and name in fields:
            fields[name] = None


def _counts(value: Any) -> dict[str, Any] | None:
    """The counts; None if one of them makes no sense."""
    if not is_object(value):
        return None
    counts = {name: whole_number(value.get(name)) for name in _COUNTS}
    if any(counts[name] is None and value.get(name) is not None for name in _COUNTS):
        return None
    return {**value, **{name: number for name, number in counts.items() if name in value}}


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
    texts: dict[str, Any] = {
        name: _text(value[name]) for name in ("code", "message", "param") if name in value
    }
    line = {"line": whole_number(value["line"])} if "line" in value else {}
    return {**value, **texts, **line}


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
