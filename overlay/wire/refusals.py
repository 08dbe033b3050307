"""From an unsuccessful HTTP answer to a typed error.

Independent services word their errors differently: `{"error": {...}}`, `{"detail": ...}`,
`{"message": ...}`, plain text, a proxy's HTML page. The status is what counts; the body only supplies the wording.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec

from overlay.errors import APIStatusError, status_error_type
from overlay.lines import is_array, is_object

_BODY_KEPT = 4_000
_MESSAGE_KEPT = 500
_YEARS = range(1970, 9990)
# Neither part matches "<", so that a page of unclosed titles is read once, not once for each title.
_TITLE = re.compile(r"<title[^<>]*>([^<]*)", re.IGNORECASE)


def status_error(
    status_code: int, headers: Mapping[str, str], body: bytes, *, host: str, call: str
) -> APIStatusError:
    """The error for an unsuccessful answer. `call` is its method and path, `host` the server that sent it."""
    text = body.decode("utf-8", "replace")
    decoded: Any = None
    with contextlib.suppress(msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        decoded = msgspec.json.decode(body)
    detail = _detail(decoded)
    if 300 <= status_code < 400:  # noqa: PLR2004 - RFC 9110, section 15.4
        target = _host(headers.get("location", "")) or "another address"
        message = (
            f"redirects to {target}, which is not followed: it would be sent the token too; set base_url"
        )
    else:
        message = _message(detail, decoded, text)
    return status_error_type(status_code)(
        f"{status_code} from {host} for {call}: {message}",
        status_code=status_code,
        request_id=headers.get("x-request-id"),
        code=_text(detail.get("code")),
        type=_text(detail.get("type")),
        param=_text(detail.get("param")),
        body=text[:_BODY_KEPT],
        is_json=isinstance(decoded, dict),
        retry_after=_retry_after(headers),
        should_retry={"true": True, "false": False}.get(headers.get("x-should-retry", "").lower()),
    )


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _detail(decoded: Any) -> dict[str, Any]:
    """The part of a JSON error body that describes the error."""
    if not is_object(decoded):
        return {}
    inner = decoded.get("error")
    return inner if is_object(inner) else decoded


def words_of(answer: dict[str, Any]) -> str:
    """What an object that describes an error says."""
    return _message(_detail(answer), answer, str(answer))


def _message(detail: dict[str, Any], decoded: Any, text: str) -> str:
    for candidate in (detail.get("message"), detail.get("error"), detail.get("detail")):
        if isinstance(candidate, str) and candidate.strip():
            return candidate.strip()[:_MESSAGE_KEPT]
        if is_array(candidate) and candidate:
            return "; ".join(_validation(entry) for entry in candidate[:5])[:_MESSAGE_KEPT]
    title = _TITLE.search(text) if decoded is None else None
    if title:
        from html import unescape  # noqa: PLC0415 - two thousand entities, only for proxies' pages

        words = " ".join(unescape(title[1]).split())
        if words:
            return words[:_MESSAGE_KEPT]
    if decoded is None and "<" in text[:200]:
        return "an HTML page without a title"
    return " ".join(text.split())[:_MESSAGE_KEPT] or "no message"


def _validation(entry: Any) -> str:
    """One entry of FastAPI's 422 body: `{"loc": [...], "msg": ...}`."""
    if not is_object(entry):
        return str(entry)
    where: Any = entry.get("loc") or ""
    place = ".".join(str(part) for part in where) if is_array(where) else str(where)
    return f"{place}: {entry.get('msg')}" if place else str(entry.get("msg"))


def _text(value: Any) -> str | None:
    return None if value is None else str(value)[:_MESSAGE_KEPT]


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, from `retry-after-ms` or from RFC 9110's Retry-After in either form."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) * unit
        except (KeyError, ValueError):
            continue
        if 0 <= seconds < float("inf"):
            return seconds
    until, now = http_date(headers.get("retry-after")), http_date(headers.get("date"))
    # A date is compared with the server's own clock; ours may be wrong.
    return max(0.0, (until - now).total_seconds()) if until and now else None


def http_date(value: str | None) -> datetime | None:
    """An HTTP date as an aware datetime; None if it is absent or unreadable."""
    try:
        parsed = parsedate_to_datetime(value) if value else None
        # Near the ends of the calendar, nothing can be added to a date, or taken from it.
        usable = parsed is not None and parsed.tzinfo is not None and parsed.astimezone(UTC).year in _YEARS
    except (ValueError, OverflowError):
        return None
    return parsed if usable else None
