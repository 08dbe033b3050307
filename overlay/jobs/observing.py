"""What OpenTelemetry is told of a job: a span for each step, and what a batch's answers took.

Without `Client(telemetry=...)`, a step is the very flow that it would be without this module.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeVar

from overlay.costs.prices import PriceList
from overlay.flows.steps import Flow
from overlay.jobs.context import JobContext
from overlay.jobs.records import Unit
from overlay.jobs.views import EventKind
from overlay.telemetry import names
from overlay.telemetry.telemetry import Attributes
from overlay.wire.connection import Settings

T = TypeVar("T")
UnitFlow = Callable[[JobContext, Unit], Flow[None]]


def step(name: str) -> Callable[[UnitFlow], UnitFlow]:
    """Let the flow, which does something about one batch of a job, be a span of this name."""

    def decorated(flow: UnitFlow) -> UnitFlow:
        @functools.wraps(flow)
        def observed(context: JobContext, unit: Unit) -> Flow[None]:
            telemetry = context.settings.telemetry
            if telemetry is None:
                return flow(context, unit)
            started = {**of_job(context), **_of_unit(context.settings, unit)}
            return telemetry.step(name, started, flow(context, unit), lambda: _became(unit))

        return observed

    return decorated


def observed_look(context: JobContext, live: int, flow: Flow[T]) -> Flow[T]:
    """A look at so many batches, as a span."""
    telemetry = context.settings.telemetry
    if telemetry is None:
        return flow
    started = {**of_job(context), names.LIVE: live, names.PROVIDER: _provider(context.settings)}
    return telemetry.step("job poll", started, flow, dict)


def of_job(context: JobContext) -> dict[str, str | int | float]:
    """What links the spans of a job."""
    return {names.JOB: context.record.id}


def count(settings: Settings, kind: EventKind, unit: Unit | None) -> None:
    """Count what an event says of requests, tokens and money."""
    telemetry = settings.telemetry
    if telemetry is None or unit is None:
        return
    if kind == "fetched":
        price = PriceList(settings.base_url).price(unit.model)
        tokens = unit.input_tokens, unit.output_tokens
        telemetry.collected(
            _what(settings, unit),
            ok=unit.ok,
            failed=unit.requests - unit.ok,
            tokens=tokens,
            cost=None if price is None else price.of(*tokens),
        )
    elif kind == "resubmitted":
        telemetry.sent_again(_what(settings, unit), unit.requests)


def _provider(settings: Settings) -> str:
    return settings.service.provider or settings.service.name


def _what(settings: Settings, unit: Unit) -> Attributes:
    """What is asked for, and of whom; few values, since each set of them is a series of its own."""
    what = {names.PROVIDER: _provider(settings), names.OPERATION: names.operation_of(unit.endpoint)}
    return {**what, names.MODEL: unit.model} if unit.model else what


def _of_unit(settings: Settings, unit: Unit) -> Attributes:
    return {
        **_what(settings, unit),
        names.SHARD: unit.shard,
        names.GENERATION: unit.generation,
        names.REQUESTS: unit.requests,
    }


def _became(unit: Unit) -> Attributes:
    became: dict[str, str | int | float] = {} if unit.batch_id is None else {names.BATCH: unit.batch_id}
    if unit.state == "done":
        became |= {
            names.OK: unit.ok,
            names.INPUT_TOKENS: unit.input_tokens,
            names.OUTPUT_TOKENS: unit.output_tokens,
        }
    return became
