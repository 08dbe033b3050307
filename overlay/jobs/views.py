"""What callers see of a job: its shards, its counts, its events, its cost."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

import attrs

from overlay.costs.prices import Price, PriceList, Prices
from overlay.costs.receipt import ModelReceipt, Receipt
from overlay.costs.tokens import CountedBy
from overlay.errors import one_line
from overlay.jobs.end_id import end_id
from overlay.notebooks import described, facts_html

if TYPE_CHECKING:  # code that only names a Job need not load the ledger's modules
    from overlay.jobs.records import JobRecord, Unit

EventKind: TypeAlias = Literal[
    "spooled",
    "uploading",
    "uploaded",
    "created",
    "adopted",
    "progress",
    "waiting",
    "split",
    "changed",
    "fetched",
    "resubmitted",
    "stopped",
    "duplicate",
    "stuck",
    "outage",
    "ended",
    "notified",
]


@attrs.define
class ModelTokens:
    """What the requests of one model have taken."""

    requests: int = 0
    estimated: int = 0
    """Prompt tokens."""
    input: int = 0
    output: int = 0

    def add(self, unit: Unit) -> None:
        """One batch's worth."""
        if unit.generation == unit.part == 0:
            self.requests += unit.requests
            self.estimated += unit.tokens
        self.input += unit.input_tokens
        self.output += unit.output_tokens


def _receipt(model: str, tokens: ModelTokens, prices: PriceList) -> ModelReceipt:
    price = prices.price(model)
    return ModelReceipt(
        model=model or None,
        requests=tokens.requests,
        input_tokens=tokens.input,
        output_tokens=tokens.output,
        cost=None if price is None else price.of(tokens.input, tokens.output),
    )


_WINDOW = re.compile(r"(\d{1,4})([mhd])")
_SHARDS_SHOWN = 10
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


@attrs.frozen(kw_only=True)
class Shard:
    """One batch's worth of a job's requests, in its latest generation."""

    number: int
    part: int
    """0 for a whole shard; one that was too large for the account is split into parts, numbered from 1."""
    generation: int
    """How many times its unanswered requests have been sent again."""
    state: str
    """planned, uploading, uploaded, creating, fencing, created, ended or done."""
    model: str | None
    endpoint: str
    requests: int
    batch_id: str | None
    status: str | None
    """The batch's, as last seen."""
    completed: int
    failed: int
    trouble: Literal["stuck", "refused", "given_up"] | None
    """`stuck`: no waiting is known to help; `refused`: the service refused all of it; `given_up`: what it had not
    answered was given up. See `Jobs.give_up` and `Jobs.send_again`."""
    problem: str | None
    """Why, or what it is waiting for, in the words of the service or of this SDK."""
    expires: datetime | None = None
    """By when the service ends its batch, done or not: its completion window after it was created."""

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"shard {self.number}, part {self.part}" if self.part else f"shard {self.number}"


@attrs.frozen
class Cost:
    """In the currency of the price table."""

    estimated_input: float
    """For all prompts, before anything is sent, by `Job.estimated_tokens`."""
    actual: float
    """For what has been answered so far, by the service's own token counts."""


@attrs.frozen(kw_only=True, repr=False)
class Job:
    """A durable job as it is now."""

    _stands_for_its_id: ClassVar = True

    id: str
    created: datetime
    base_url: str
    requests: int
    answered: int
    """Requests that batches have processed so far, failures included."""
    ok: int
    """Final successes."""
    failed: int
    """Final failures, the missing ones among them. Complete once the job has ended."""
    missing: int
    """Requests that no batch answered, however often they were sent."""
    input_tokens: int
    output_tokens: int
    estimated_tokens: int
    """Prompt tokens of all requests; `tokens_counted_by` says how they were estimated."""
    tokens_counted_by: CountedBy
    """`tiktoken`, where it is installed, knows the models and has its tables on this disk: it counts the first
    megabytes of each model's prompts, whose ratio then stands for the others. Else `bytes`: four for a token."""
    reused: int
    """Requests whose answers are those of earlier jobs."""
    repeated: int
    """Requests that ask the same as another of this job, and were not sent."""
    duplicates_cancelled: int
    """Second batches of the same requests that were found and cancelled."""
    strays: int
    """Lines that match no request, or answer one again but differently; kept in `strays/`."""
    cancelled: bool
    refused: bool
    """Whether the service refused all of it: nothing ran, and each result says why."""
    ended: bool
    """Whether every request has its final answer on disk."""
    last_error: str | None
    """What last stopped it, or held it up."""
    source: str | None = None
    """The name of the file that its requests came from, if it was one."""
    elsewhere: bool = False
    """Whether it is of uploaded shards, whose requests and answers its workers keep."""
    unnotified: bool = False
    """Whether it has ended, and that is still to be posted to its `notify`: wait for it once more."""
    disk_bytes: int | None = None
    """What its folder takes on this machine's disk, where it was looked up: by `list`, `retrieve` and `prune`."""
    shards: tuple[Shard, ...] = attrs.field(repr=False)
    _tokens_by_model: Mapping[str, ModelTokens] = attrs.field(repr=False, alias="tokens_by_model")

    @property
    def progress(self) -> float:
        """The share of requests that are done, from 0.0 to 1.0."""
        return 1.0 if self.ended else min(1.0, self.answered / max(1, self.requests))

    @property
    def state(self) -> str:
        """open, ended, cancelling, cancelled, or failed if the service refused all of it."""
        if self.cancelled:
            return "cancelled" if self.ended else "cancelling"
        if self.refused:
            return "failed"
        return "ended" if self.ended else "open"

    @property
    def models(self) -> tuple[str, ...]:
        """The models that its requests name."""
        return tuple(dict.fromkeys(shard.model for shard in self.shards if shard.model))

    @property
    def stuck(self) -> tuple[Shard, ...]:
        """The shards that no waiting is known to help; `problem` says why."""
        return tuple(shard for shard in self.shards if shard.trouble and shard.state != "done")

    def __repr__(self) -> str:
        return described("Job", self._facts())

    def _repr_html_(self) -> str:
        shards = [
            (each.name, f"{each.status or each.state}, {each.completed + each.failed:,} of {each.requests:,}")
            for each in self.shards[:_SHARDS_SHOWN]
        ]
        left = len(self.shards) - _SHARDS_SHOWN
        return facts_html("Job", [*self._facts(), *shards, ("more shards", left if left > 0 else None)])

    def _facts(self) -> Iterator[tuple[str, Any]]:
        """What people want to know of it."""
        yield "id", self.id
        yield "state", self.state
        yield "requests", self.requests
        yield "answered", self.answered
        yield "failed", self.failed
        yield "file", self.source
        yield "models", ", ".join(self.models) or None
        yield "created", self.created
        yield "last_error", self.last_error

    def to_dict(self) -> dict[str, Any]:
        """The job as a dict for JSON, including its shards; times in ISO 8601."""
        fields = attrs.asdict(
            self,
            filter=lambda field, _: not field.name.startswith("_"),
            value_serializer=lambda _, __, value: value.isoformat() if isinstance(value, datetime) else value,
        )
        return {
            **fields,
            "state": self.state,
            "progress": self.progress,
        }

    def cost(self, prices: Mapping[str, Price]) -> Cost:
        """What the job costs, given prices by model. Raises KeyError for a model without one."""
        estimated = actual = 0.0
        for model, tokens in self._tokens_by_model.items():
            price = prices[model]
            estimated += price.of(tokens.estimated, 0)
            actual += price.of(tokens.input, tokens.output)
        return Cost(estimated, actual)

    def receipt(self, prices: Prices | None = None) -> Receipt:
        """What it has taken so far, by model: requests, tokens, and what they cost at batch rates.

        `prices` by model, each a `Price` or what a million input and a million output tokens cost, come before
        those of genai-prices (extra `prices`). Raises ConfigurationError for prices that are none.
        """
        known = PriceList(self.base_url, prices)
        return Receipt(
            models=tuple(_receipt(model, each, known) for model, each in self._tokens_by_model.items())
        )


@attrs.frozen(kw_only=True)
class JobEvent:
    """Something that happened to a job; what `on_change` is called with."""

    kind: EventKind
    job: Job
    shard: int | None
    message: str

    def __str__(self) -> str:
        return one_line(f"{self.job.id}: {self.message}")


def view(record: JobRecord, units: list[Unit]) -> Job:
    """A job from its ledger."""
    latest: dict[tuple[int, int], Unit] = {}
    for unit in units:  # sorted by shard, then by generation
        if unit.state == "split":
            latest.pop(unit.lineage, None)
        else:
            latest[unit.lineage] = unit
    unchecked = record.options.accepts and not record.checked and record.state == "open"
    unchecked = unchecked or record.uploaded == "filling"
    ended = all(unit.state == "done" for unit in latest.values()) and not unchecked
    ok = sum(unit.ok for unit in units)
    by_model: dict[str, ModelTokens] = {}
    for unit in units:
        by_model.setdefault(unit.model or "", ModelTokens()).add(unit)
    return Job(
        id=record.id,
        created=datetime.fromtimestamp(record.created_at, UTC),
        base_url=record.base_url,
        requests=record.requests,
        answered=sum(_answered(unit) for unit in latest.values()),
        ok=ok,
        failed=record.requests - ok
        if ended
        else sum(u.requests - u.ok for u in latest.values() if u.state == "done"),
        missing=sum(unit.missing for unit in latest.values() if unit.state == "done"),
        input_tokens=sum(unit.input_tokens for unit in units),
        output_tokens=sum(unit.output_tokens for unit in units),
        tokens_counted_by=record.counted_by or "bytes",
        estimated_tokens=sum(unit.tokens for unit in units if unit.generation == unit.part == 0),
        reused=_from(units, "reused"),
        repeated=_from(units, "repeated"),
        duplicates_cancelled=record.duplicates_cancelled,
        strays=sum(unit.strays for unit in units),
        cancelled=record.state == "cancelled",
        refused=record.state == "failed",
        ended=ended,
        last_error=record.last_error,
        source=record.source,
        elsewhere=record.elsewhere,
        unnotified=ended and record.options.notify is not None and record.notified != end_id(record, units),
        shards=tuple(_shard(latest[lineage], record.options.completion_window) for lineage in sorted(latest)),
        tokens_by_model=by_model,
    )


def _from(units: list[Unit], source: str) -> int:
    return sum(unit.requests for unit in units if unit.source == source and not unit.generation)


def _answered(unit: Unit) -> int:
    """How many of a shard's requests are done; those being sent again are not."""
    return (
        unit.shard_requests
        - unit.requests
        + (unit.requests if unit.state == "done" else min(unit.requests, unit.completed + unit.failed))
    )


def _expires(unit: Unit, window: str) -> datetime | None:
    found = _WINDOW.fullmatch(window)
    if found is None or unit.created_at is None:
        return None
    span = timedelta(**{_UNITS[found[2]]: int(found[1])})
    return datetime.fromtimestamp(unit.created_at, UTC) + span


def _shard(unit: Unit, window: str) -> Shard:
    return Shard(
        number=unit.shard,
        generation=unit.generation,
        part=unit.part,
        state=unit.state,
        model=unit.model,
        endpoint=unit.endpoint,
        requests=unit.requests,
        batch_id=unit.batch_id,
        status=unit.status,
        completed=unit.completed,
        failed=unit.failed,
        trouble=unit.trouble,
        problem=unit.problem,
        expires=_expires(unit, window),
    )
