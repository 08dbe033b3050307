"""What a ledger keeps: the job, its options, and its units."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeAlias

import attrs
import msgspec

from overlay.costs.tokens import CountedBy
from overlay.errors import ConfigurationError
from overlay.flows.extras import checked_fields
from overlay.operations.create import checked_metadata
from overlay.operations.marks import KEY
from overlay.results.matching import Match, checked_match
from overlay.statuses import plain_status
from overlay.wire.clock import seconds
from overlay.wire.posting import checked_url

UnitState: TypeAlias = Literal[
    "planned", "uploading", "uploaded", "creating", "fencing", "created", "ended", "done", "split", "repeats"
]
Source: TypeAlias = Literal["reused", "repeated"] | None
"""Where answers are from that no batch of a job gives: an earlier job, or other requests of the same."""
UnitKey: TypeAlias = tuple[int, int, int]
"""Shard, generation and part."""


@attrs.define(kw_only=True)
class Unit:
    """One batch's worth of requests: a shard, or a part of one, in one of its generations.

    The states follow each other. `creating` means that a POST may have been accepted; `fencing`, that its input
    file is being deleted so that it no longer can be. A unit that was too large for the account is `split`: other
    units, of parts of their own, have its requests. One that `repeats` is never sent: it gets others' answers.
    """

    shard: int
    generation: int
    part: int = 0
    """0 for the whole shard; parts are numbered through within their shard, and keep their number in later
    generations."""
    state: UnitState = "planned"
    endpoint: str
    model: str | None
    requests: int
    shard_requests: int
    """How many the shard, or part, had in its first generation; what was answered before a split counts for one."""
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
    nonce: str | None = None
    """What its latest create carried in its metadata; None before there was one, and for one by version 0.1."""
    looks: int = 0
    """How often the list was searched, to its end, for a batch of that create."""
    problem: str | None = None
    """Why it is stuck or was refused, as last said by the service or by us."""
    inputs: int = 0
    """Texts to embed."""
    trouble: Literal["stuck", "refused", "given_up"] | None = None
    """`stuck`: no waiting is known to help; `refused`: the service refused all of it, and nothing ran; `given_up`:
    the caller has given up what was not answered. `problem` says why."""
    attempts_from: int | None = None
    """The generation from which its attempts count, where a retry by the caller began them anew."""

    source: Source = None
    staged: str | None = None
    """Where a worker has put its answers, in a job of uploaded shards."""

    @property
    def key(self) -> UnitKey:
        return self.shard, self.generation, self.part

    @property
    def lineage(self) -> tuple[int, int]:
        """What its generations have in common: shard and part."""
        return self.shard, self.part

    @property
    def over(self) -> bool:
        """Whether nothing is left to be done for it."""
        return self.state in {"done", "split", "repeats"}

    @property
    def live(self) -> bool:
        """Whether a batch of it may be running, and hold enqueued tokens."""
        return self.state in {"creating", "fencing", "created"}

    def tokens_of(self, size: int) -> int:
        """The estimated prompt tokens of a request of so many bytes: its share, so that all come to `tokens`."""
        return -(-self.tokens * size // max(1, self.bytes))

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
    part: int = 0

    @property
    def key(self) -> UnitKey:
        return self.shard, self.generation, self.part


_WHOLE_NUMBERS = (
    "max_enqueued_tokens",
    "max_enqueued_inputs",
    "max_batches",
    "max_creates_per_hour",
    "max_attempts",
)
_EXTRAS = frozenset({"extra_body", "extra_query"})
_TIMES = ("output_expires_after", "grace", "poll")
CHANGEABLE = frozenset(
    {
        *_WHOLE_NUMBERS,
        "delete_files",
        "grace",
        "poll",
        "match",
        "accepts",
        "fallback_model",
        "notify",
        "notify_secret_file",
    }
)
"""Options that do not change what is sent: a job that exists takes new values of these."""


@attrs.frozen(kw_only=True)
class JobOptions:
    """How to run a job; see `overlay.jobs.verbs.submit`. Times are in seconds.

    Raises ConfigurationError for invalid values.
    """

    completion_window: str = "24h"
    metadata: dict[str, str] = attrs.field(factory=dict[str, str])
    output_expires_after: float | None = None
    max_enqueued_tokens: int | None = None
    max_enqueued_inputs: int | None = 1_000_000
    max_batches: int | None = None
    max_creates_per_hour: int = 2000
    max_attempts: int = 3
    delete_files: bool = False
    grace: float = 180.0
    poll: float = 5.0
    match: Match = "custom_id"
    """How answers find their requests."""
    accepts: bool = False
    """Whether the caller has a say about the answers."""
    fallback_model: str | None = None
    """Which model is asked where an answer was not accepted; None for the same."""
    extra_body: dict[str, Any] = attrs.field(factory=dict[str, Any])
    """Fields of each create that this SDK does not know."""
    extra_query: dict[str, Any] = attrs.field(factory=dict[str, Any])

    notify: str | None = None
    """Where the end of the job is posted to."""
    notify_secret_file: str | None = None
    """The path of a file with the secret that signs it; None for the environment's. The secret is not kept."""

    def __attrs_post_init__(self) -> None:
        if self.notify is not None:
            checked_url(self.notify, "notify")
        if any(key == KEY or key.startswith("overlay_") for key in checked_metadata(self.metadata, taken=1)):
            raise ConfigurationError(
                f"the metadata key {KEY}, and those that start with overlay_, are reserved"
            )
        for name in _WHOLE_NUMBERS:
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise ConfigurationError(f"{name} must be a whole number of at least 1, not {value!r}")
        checked_match(self.match)
        if not self.grace >= 0:
            raise ConfigurationError(f"grace must be zero or more, not {self.grace!r}")
        if not self.poll > 0:
            raise ConfigurationError(f"poll must be greater than zero, not {self.poll!r}")


def given_options(**options: Any) -> dict[str, Any]:
    """Those options that a caller named, `...` standing for those that were left out; times in seconds."""
    given = {name: value for name, value in options.items() if value is not ...}
    for name in _TIMES:
        if given.get(name) is not None:
            given[name] = seconds(given[name])
    if given.get("notify_secret_file") is not None:
        given["notify_secret_file"] = str(Path(given["notify_secret_file"]).absolute())
    if "metadata" in given:
        given["metadata"] = dict(given["metadata"] or {})
    for name in _EXTRAS & given.keys():
        given[name] = _as_kept(checked_fields(given[name], name), name)
    return given


def _as_kept(fields: dict[str, Any], what: str) -> dict[str, Any]:
    """The fields as they come back from the ledger: they are compared with those of a job that exists."""
    try:
        kept: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(fields))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ConfigurationError(f"{what} must be JSON, since the job keeps it: {error}") from None
    return kept


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
    state: Literal["open", "cancelled", "failed"] = "open"
    """`failed`: the service refused every batch as a whole; nothing ran."""
    duplicates_cancelled: int = 0
    swept: bool = False
    """Whether the final search of the service, for duplicates and leftovers, is done."""
    home: str | None = None
    """The id of the home folder in which it was submitted; None for one begun by version 0.1."""
    last_error: str | None = None
    """What last stopped it."""
    counted_by: CountedBy | None = None
    """How tokens were estimated; None for a job begun by an earlier version, which knew only bytes."""
    source: str | None = None
    """The name of the file that its requests came from, without its folder."""
    checked: bool | None = None
    """Whether all answers were looked at that the caller has a say about."""
    second_tries: int | None = None
    """How often what was not accepted was sent again."""
    uploaded: Literal["filling", "filled"] | None = None
    """Set where workers elsewhere upload the requests and keep the answers: whether all are uploaded yet."""

    told: str | None = None
    """The end of the job that its caller's function was told of."""
    notified: str | None = None
    """The end of the job that was posted, and taken."""

    @property
    def elsewhere(self) -> bool:
        """Whether neither requests nor answers are on this machine."""
        return self.uploaded is not None
