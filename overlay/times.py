"""Moments as services write them: seconds, with fractions or in a string, milliseconds and finer, ISO 8601."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_CALENDAR = range(1, 253_370_764_800)
"""Seconds from 1970 to the end of the year 9998, which exists in every time zone. 0 is how some write "not yet"."""
_MILLISECONDS = 10**11
_UNITS = ((10**17, 10**9), (10**14, 10**6), (_MILLISECONDS, 10**3))
"""From which number on a moment counts in nano-, micro- and milliseconds, and how many of them a second has."""
_BEYOND = 10**21
_NUMBER = re.compile(r"\d{1,25}(\.\d{1,25})?")
_LONGEST = 64


def unix_seconds(value: object) -> float | None:
    """A moment in seconds since 1970; None for what is no moment of the calendar."""
    if type(value) is int and 0 < value < _MILLISECONDS:
        return value  # as nearly all are
    if isinstance(value, str):
        value = _read(value.strip())
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not value < _BEYOND:
        return None
    for least, per_second in _UNITS:
        if value >= least:
            value /= per_second
            break
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if _CALENDAR.start <= value < _CALENDAR.stop else None


def moment(value: object) -> datetime | None:
    """A moment as an aware datetime in UTC; None for what is none."""
    seconds = unix_seconds(value)
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _read(text: str) -> float | None:
    if len(text) > _LONGEST:
        return None
    if _NUMBER.fullmatch(text):
        return float(text) if "." in text else int(text)
    found = _date(text)
    try:
        return None if found is None else (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _date(text: str) -> datetime | None:
    """A date in ISO 8601, or as HTTP has it."""
    for read in (datetime.fromisoformat, parsedate_to_datetime, _isoparse):
        try:
            return read(text)
        except (ValueError, OverflowError, IndexError):
            continue
    return None


def _isoparse(text: str) -> datetime:
    """The rarer forms of ISO 8601."""
    from dateutil.parser import isoparse  # noqa: PLC0415 - slow to load, and seldom needed

    return isoparse(text)
