"""The status machine: which status may follow which, and what entering one writes down.

    validating ─→ in_progress ─→ finalizing ─→ completed
      │    │           │              └──────→ expired
      │    └───────────┴──→ cancelling ──────→ cancelled
      └─→ failed

https://platform.openai.com/docs/guides/batch lists the statuses. An expired batch is finalized like any other: its
output holds the lines that were answered in time. Any status may end in `failed` through an error of the service.
"""

from overlay.server.objects import Batch

FOLLOWING: dict[str, frozenset[str]] = {
    "validating": frozenset({"in_progress", "failed", "cancelling"}),
    "in_progress": frozenset({"finalizing", "cancelling", "failed"}),
    "finalizing": frozenset({"completed", "expired", "failed"}),
    "cancelling": frozenset({"cancelled", "failed"}),
}


def may_enter(batch: Batch, status: str) -> bool:
    return status in FOLLOWING.get(batch.status, ())


def enter(batch: Batch, status: str, moment: float) -> None:
    """Change the status and stamp the time. Raises `ValueError` for a step that the machine does not have."""
    if not may_enter(batch, status):
        raise ValueError(f"a batch does not go from {batch.status} to {status}")
    batch.status = status
    setattr(batch, f"{status}_at", int(moment))
