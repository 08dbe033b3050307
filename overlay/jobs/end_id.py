"""What tells one end of a job from any other: made of what ended, so that it needs no record."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # as for `overlay.jobs.views`
    from overlay.jobs.records import JobRecord, Unit


def end_id(record: JobRecord, units: Iterable[Unit]) -> str:
    """What tells this end of the job from any other, of this job or another: the batches that it came of."""
    ended = [(*unit.key, unit.batch_id, unit.nonce) for unit in units]
    of = repr((record.home, record.id, record.state, sorted(ended, key=lambda each: each[:3])))
    return f"end_{hashlib.sha256(of.encode()).hexdigest()[:32]}"
