"""An object of the API as it was at an earlier moment, worked out from its own timestamps."""

from typing import Any

from overlay.lines import is_object

# In the order in which a batch may enter them: of two in one second, the later counts.
_STATUSES = ("in_progress", "finalizing", "cancelling", "completed", "failed", "expired", "cancelled")
_FINAL = _STATUSES[3:]


def as_of(thing: dict[str, Any], moment: float, now: float) -> dict[str, Any] | None:
    """A batch or a file as it was at a moment, in seconds since 1970; None where there was none yet.

    It is exact to the second, as timestamps are. Counts and usage are assumed to have grown evenly.
    """
    if thing["created_at"] > moment:
        return None
    if thing["object"] != "batch":
        return thing
    entered = {status: at for status in _STATUSES if (at := thing[f"{status}_at"]) is not None}
    by_then = [status for status, at in entered.items() if at <= moment]
    status = by_then[-1] if by_then else "validating"
    if status == thing["status"] and status != "in_progress":
        return thing
    then = thing | {f"{each}_at": None for each in entered if each not in by_then} | {"status": status}
    if status not in _FINAL:
        then |= {"output_file_id": None, "error_file_id": None, "errors": None}
    if status == "validating":
        return then | {"model": None, "usage": None, "request_counts": _part(thing["request_counts"], 0.0)}
    if status == "in_progress":
        begun = entered[status]
        ended = min((at for each, at in entered.items() if each not in by_then), default=now)
        # It began this very moment where the clock stands still, as a manual one does.
        share = (moment - begun) / (ended - begun) if ended > begun else 0.0
        counts = _part(thing["request_counts"], share) | {"total": thing["request_counts"]["total"]}
        then |= {"request_counts": counts, "usage": _part(thing["usage"], share)}
    return then


def _part(numbers: Any, share: float) -> Any:
    """All numbers in an object, times the share."""
    if is_object(numbers):
        return {name: _part(value, share) for name, value in numbers.items()}
    return numbers if numbers is None else int(numbers * share)
