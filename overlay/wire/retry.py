"""When to try again: pure decisions, `(error, attempt) → seconds or None`. The caller does the waiting.

The delay is drawn from the whole of a growing interval ("full jitter"), on top of what the service asked for:
a requested wait is never shortened, and one of over 15 minutes is reported instead of slept through.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import attrs

from overlay.errors import (
    APIConnectionError,
    APIError,
    APIStatusError,
    InternalServerError,
    InvalidResponseError,
    RateLimitError,
)

_LONGEST_ASKED_WAIT = 900.0
_LONGEST_JITTER = 20.0
_TRANSIENT_STATUSES = frozenset({408, 409, 425})


@attrs.frozen
class Policy:
    """At most `tries` attempts, started within `within` seconds (not counting waits the service asked for)."""

    tries: int
    within: float


READ = Policy(tries=6, within=120.0)
UPLOAD = Policy(tries=3, within=3600.0)


def is_transient(error: APIError) -> bool:
    """Whether the same call may succeed later, given that it is safe to repeat."""
    if isinstance(error, APIStatusError):
        if error.should_retry is not None:
            return error.should_retry
        if isinstance(error, RateLimitError):
            # The account has run out of money: only a person can help.
            return error.code != "insufficient_quota"
        return isinstance(error, InternalServerError) or error.status_code in _TRANSIENT_STATUSES
    return isinstance(error, APIConnectionError | InvalidResponseError)


def jitter(attempt: int, uniform: Callable[[float, float], float] = random.uniform) -> float:
    """Seconds to wait after this attempt, counted from 0."""
    return uniform(0.0, min(_LONGEST_JITTER, 0.5 * 2.0 ** min(attempt, 10)))


def asked_wait(error: APIError) -> float:
    """Seconds the service asked us to wait; 0 if it asked for none."""
    return (error.retry_after or 0.0) if isinstance(error, APIStatusError) else 0.0


def delay(
    error: APIError, attempt: int, uniform: Callable[[float, float], float] = random.uniform
) -> float | None:
    """Seconds to wait before the next attempt, or None: raise the error."""
    if not is_transient(error) or asked_wait(error) > _LONGEST_ASKED_WAIT:
        return None
    return asked_wait(error) + jitter(attempt, uniform)
