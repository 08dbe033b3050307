"""The words of a batch's status: the API's own, and those that other services have for the same.

What a word means is data, here. A word that stands nowhere is unknown, and an unknown word alone never ends a
batch.
"""

from __future__ import annotations

import re

ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
"""The final statuses."""
_ORDER = ("validating", "in_progress", "finalizing", "cancelling", *sorted(ENDED))
_MEANING = {
    **{word: word for word in _ORDER},
    # Ends.
    **dict.fromkeys(
        (
            "complete",
            "completed_with_errors",
            "completed_with_failures",
            "done",
            "ended",
            "finalized",
            "finished",
            "partially_completed",
            "partially_succeeded",
            "succeeded",
            "success",
            "successful",
        ),
        "completed",
    ),
    **dict.fromkeys(("error", "errored", "failure", "invalid", "rejected"), "failed"),
    **dict.fromkeys(("expire", "timed_out", "timeout", "timeout_exceeded"), "expired"),
    **dict.fromkeys(("aborted", "canceled", "terminated"), "cancelled"),
    # Never an end, whatever files a batch names meanwhile: some services show partial results.
    **dict.fromkeys(
        (
            "accepted",
            "created",
            "enqueued",
            "in_queue",
            "new",
            "pending",
            "preparing",
            "queued",
            "queueing",
            "scheduled",
            "scheduling",
            "started",
            "submitted",
            "validated",
            "waiting",
        ),
        "validating",
    ),
    **dict.fromkeys(
        ("active", "executing", "inprogress", "ongoing", "processing", "progress", "running", "working"),
        "in_progress",
    ),
    **dict.fromkeys(("completing", "finalising", "finishing", "post_processing"), "finalizing"),
    **dict.fromkeys(
        ("aborting", "canceling", "cancel_requested", "cancellation_requested", "cancelation_requested"),
        "cancelling",
    ),
}
_PREFIX = re.compile(r"(?:(?:batch|job)_)?(?:state|status)_")
_SEPARATORS = re.compile(r"[\s_-]+")


def plain_status(status: str | None) -> str:
    """A status as the API spells it; an unknown one in lower case."""
    word = _SEPARATORS.sub("_", (status or "").strip().lower())
    word = _PREFIX.sub("", word, count=1) if _PREFIX.match(word) else word
    return _MEANING.get(word, word)


def is_known(status: str | None) -> bool:
    """Whether it is clear what a status means."""
    return plain_status(status) in _ORDER


def rank_of(status: str | None) -> int:
    """How far along a status is; -1 if it is unknown."""
    status = plain_status(status)
    return min(_ORDER.index(status), _ORDER.index("cancelled")) if status in _ORDER else -1
