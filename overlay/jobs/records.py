"""What a ledger keeps: the job, its options, and its units."""

from __future__ import annotations

from typing import Literal, TypeAlias

import attrs

from overlay.errors import ConfigurationError
from overlay.models import plain_status
from overlay.operations.create import checked_metadata

_OUR_PAIRS = 3
"""How many pairs of metadata a job writes on its batches."""

UnitState: TypeAlias = Literal[
    "planned", "uploading", "uploaded", "creating", "fencing", "created", "ended", "done"
]


@attrs.define(kw_only=True)
class Unit:
    """One batch's worth of requests: a shard, in one of its generations.

    The states follow each other. `creating` means that a POST may have been accepted; `fencing`, that its input
    file is being deleted so that it no longer can be.
    """

    shard: int
    generation: int
    state: UnitState = "planned"
    endpoint: str
    model: str | None
    requests: int
    shard_requests: int
    """How many the shard had in its first generation."""
    bytes: int
    tokens: int
    """Estimated prompt tokens."""
    sha256: str
    file_id: str | None = None
    file_created_at: int | None = None
    batch_id: str | None = None
    creating_at: float | None = None
    """Since when a batch may exist unseen: since the POST or, while fencing, since the input file was deleted. By
    this machine's clock, in seconds since 1970."""
    created_at: float | None = None
    status: str | None = None
    """The batch's, as last seen."""
    completed: int = 0
    failed: int = 0
    ok: int = 0
    """Successes on disk; this and the following are known when it is done."""
    missing: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    strays: int = 0
    adopted: Literal["creating", "fencing"] | None = None
    """The state in which its batch was found, if no answer named it: the same POST may still create another."""

    @property
    def key(self) -> tuple[int, int]:
        return self.shard, self.generation

    @property
    def live(self) -> bool:
        """Whether a batch of it may be running, and hold enqueued tokens."""
        return self.state in {"creating", "fencing", "created"}

    @property
    def refused(self) -> bool:
        """Whether its batch failed as a whole, as last seen."""
        return plain_status(self.status) == "failed"


@attrs.frozen
class LostFile:
    """An input file given up after its create went unanswered: a batch of it is a duplicate."""

    file_id: str
    file_created_at: int | None
    shard: int
    generation: int

    @property
    def key(self) -> tuple[int, int]:
        return self.shard, self.generation


@attrs.frozen(kw_only=True)
class JobOptions:
    """How to run a job; see `overlay.jobs.verbs.submit`. Times are in seconds.

    Raises ConfigurationError for invalid values.
    """

    completion_window: str = "24h"
    metadata: dict[str, str] = attrs.field(factory=dict[str, str])
    output_expires_after: float | None = None
    max_enqueued_tokens: int | None = None
    max_creates_per_hour: int = 2000
    max_attempts: int = 3
    delete_files: bool = False
    grace: float = 180.0
    poll: float = 5.0

    def __attrs_post_init__(self) -> None:
        if any(key.startswith("overlay_") for key in checked_metadata(self.metadata, taken=_OUR_PAIRS)):
            raise ConfigurationError("metadata keys that start with overlay_ are reserved for the job")
        for name in ("max_enqueued_tokens", "max_creates_per_hour", "max_attempts"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise ConfigurationError(f"{name} must be a whole number of at least 1, not {value!r}")
        if not self.grace >= 0:
            raise ConfigurationError(f"grace must be zero or more, not {self.grace!r}")
        if not self.poll > 0:
            raise ConfigurationError(f"poll must be greater than zero, not {self.poll!r}")


@attrs.define(kw_only=True)
class JobRecord:
    """The job as a whole."""

    id: str
    digest: str
    """SHA-256 of its requests in canonical form and order, however they are split."""
    base_url: str
    created_at: float
    requests: int
    options: JobOptions
    state: Literal["open", "cancelled"] = "open"
    duplicates_cancelled: int = 0
    swept: bool = False
    """Whether the final search of the service, for duplicates and leftovers, is done."""
