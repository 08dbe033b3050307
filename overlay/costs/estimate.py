"""What requests will take before any is sent: batches, tokens, money, and rounds at the account's limit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil
from typing import TypeVar

import attrs
import msgspec

from overlay.costs.prices import Price, PriceList
from overlay.costs.tokens import CountedBy
from overlay.errors import ConfigurationError, CostLimitError

N = TypeVar("N", int, float)
_WORDLESS = ("/embeddings", "/moderations", "/rerank")
"""Endpoints whose answers are not billed by tokens."""


class _Bounds(msgspec.Struct):
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    max_output_tokens: int | None = None
    n: int | None = None


class _Line(msgspec.Struct):
    body: _Bounds


_decode = msgspec.json.Decoder(_Line).decode


@attrs.define
class _Sum:
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    unbounded: int = 0
    """Requests that say nothing of how long an answer may be."""


@attrs.frozen(kw_only=True)
class ModelEstimate:
    """What the requests of one model will take."""

    model: str | None
    requests: int
    input_tokens: int
    """Prompt tokens, estimated."""
    output_tokens: int | None
    """The most that the requests allow, or as many as were expected; None where some set no limit."""
    price: Price | None
    """Of a million tokens at batch rates; None where it is not known."""

    @property
    def input_cost(self) -> float | None:
        """What the prompts cost; None without a price."""
        return None if self.price is None else self.price.of(self.input_tokens, 0)

    @property
    def cost(self) -> float | None:
        """What prompts and answers cost; None without a price, or where nothing limits the answers."""
        if self.price is None or (self.output_tokens is None and self.price.output):
            return None
        return self.price.of(self.input_tokens, self.output_tokens or 0)


@attrs.frozen(kw_only=True)
class Estimate:
    """What requests will take, if each is answered once."""

    requests: int
    batches: int
    models: tuple[ModelEstimate, ...]
    tokens_counted_by: CountedBy
    """How prompt tokens were estimated: see `Job.tokens_counted_by`."""
    rounds: int | None
    """How many batches must follow one another where the account's limit on enqueued tokens is known; else None."""
    hours: float | None
    """How long that takes at most: rounds times the completion window."""
    unknown: tuple[str, ...]
    """Why there is no cost, and what to do: one sentence each."""

    @property
    def input_tokens(self) -> int:
        return sum(each.input_tokens for each in self.models)

    @property
    def output_tokens(self) -> int | None:
        """The most that the requests allow; None where some set no limit."""
        return _total([each.output_tokens for each in self.models])

    @property
    def input_cost(self) -> float | None:
        """What the prompts cost at batch rates, in dollars or the currency of your prices; None if unknown."""
        return _total([each.input_cost for each in self.models])

    @property
    def cost(self) -> float | None:
        """What prompts and answers cost at most; None if unknown."""
        return _total([each.cost for each in self.models])

    def check(self, max_cost: float) -> None:
        """Raise CostLimitError if it may cost more than `max_cost`, or if nobody can tell."""
        if self.cost is None:
            raise CostLimitError(
                f"nothing was sent: whether it stays within {max_cost:g} cannot be told: {'; '.join(self.unknown)}",
                cost=None,
                max_cost=max_cost,
            )
        if self.cost > max_cost:
            raise CostLimitError(
                f"nothing was sent: {self.requests:,} requests may cost {self.cost:,.4g}, more than {max_cost:g}",
                cost=self.cost,
                max_cost=max_cost,
            )


def _total(parts: Sequence[N | None]) -> N | int | None:
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


class Tally:
    """Adds requests up by model, as they are put on disk."""

    def __init__(self, expected_output_tokens: int | None = None) -> None:
        """`expected_output_tokens` of each answer. Raises ConfigurationError."""
        expected = expected_output_tokens
        if expected is not None and (
            isinstance(expected, bool) or not isinstance(expected, int) or expected < 0
        ):
            raise ConfigurationError(f"expected_output_tokens must be a whole number, not {expected!r}")
        self._expected = expected
        self._models: dict[str | None, _Sum] = {}

    def add(self, line: bytes, *, endpoint: str, model: str | None, tokens: int) -> None:
        """One request, as its line of JSON."""
        found = self._models.setdefault(model, _Sum())
        found.requests += 1
        found.input_tokens += tokens
        most = 0 if endpoint.endswith(_WORDLESS) else _most(line)
        if self._expected is not None:
            most = self._expected if most is None else min(most, self._expected)
        if most is None:
            found.unbounded += 1
        else:
            found.output_tokens += most

    def estimate(
        self,
        prices: PriceList,
        *,
        batches: int,
        counted_by: CountedBy,
        window_hours: float | None,
        limit_of: Callable[[str], int | None],
    ) -> Estimate:
        """All of it. `limit_of` gives a model's limit on enqueued tokens, where it is known."""
        models = tuple(
            ModelEstimate(
                model=model,
                requests=found.requests,
                input_tokens=found.input_tokens,
                output_tokens=None if found.unbounded else found.output_tokens,
                price=prices.price(model),
            )
            for model, found in self._models.items()
        )
        limits = [(each.input_tokens, limit_of(each.model or "")) for each in models]
        rounds = [ceil(tokens / limit) for tokens, limit in limits if limit]
        most = max(rounds, default=None)
        return Estimate(
            requests=sum(each.requests for each in models),
            batches=batches,
            models=models,
            tokens_counted_by=counted_by,
            rounds=most,
            hours=None if most is None or window_hours is None else most * window_hours,
            unknown=tuple(self._unknown(models, prices)),
        )

    def _unknown(self, models: tuple[ModelEstimate, ...], prices: PriceList) -> list[str]:
        told = [prices.why_unknown(each.model) for each in models if each.price is None]
        for each in models:
            unbounded = self._models[each.model].unbounded
            if unbounded and each.price is not None and each.price.output:
                told.append(
                    f"{unbounded:,} requests to {each.model} do not limit their answers: set max_completion_tokens "
                    "(max_output_tokens at /v1/responses), or say expected_output_tokens= "
                    "(--expected-output-tokens)"
                )
        return told


def _most(line: bytes) -> int | None:
    """The output tokens that a request allows."""
    try:
        body = _decode(line).body
    except msgspec.MsgspecError:
        return None
    stated = [
        each
        for each in (body.max_completion_tokens, body.max_output_tokens, body.max_tokens)
        if each is not None
    ]
    return max(0, stated[0]) * max(1, body.n or 1) if stated else None
