"""Batches and files shown with other fields than they have.

    service.faults.add("GET /batches/*", Miscount(completed=-1, failed=1), times=None)
    service.faults.add("* /batches**", Overwrite({"request_counts": None}, absent=["errors"]), times=None)

Each is a pure function of the decoded answer, and changes every object in it: the one, or each row of a list.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from overlay.lines import is_array, is_object
from overlay.server.faults.effect import EffectValue


class Overwrite(EffectValue, frozen=True, tag="overwrite"):
    """Show these `fields` in place of the true ones, and leave out those named in `absent`."""

    fields: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    absent: list[str] = msgspec.field(default_factory=list[str])


class Miscount(EffectValue, frozen=True, tag="miscount"):
    """Add these to the true `request_counts` of each batch."""

    total: int = 0
    completed: int = 0
    failed: int = 0


Rewriting = Overwrite | Miscount


def rewritten(effect: Rewriting, answer: Any) -> Any:
    """A decoded answer with each batch or file in it changed; whatever else it is stays as it is."""
    if not is_object(answer):
        return answer
    data = answer.get("data")
    if answer.get("object") == "list" and is_array(data):
        return answer | {"data": [rewritten(effect, each) for each in data]}
    if answer.get("object") not in {"batch", "file"}:
        return answer
    if isinstance(effect, Overwrite):
        changed = answer | effect.fields
        return {name: value for name, value in changed.items() if name not in effect.absent}
    counts = answer.get("request_counts")
    return answer | {"request_counts": _counted(effect, counts)} if is_object(counts) else answer


def _counted(effect: Miscount, counts: Mapping[str, Any]) -> dict[str, Any]:
    added = {"total": effect.total, "completed": effect.completed, "failed": effect.failed}
    # Other faults may have put something else there than numbers.
    return {
        name: number + added.get(name, 0) if isinstance(number, int) else number
        for name, number in counts.items()
    }
