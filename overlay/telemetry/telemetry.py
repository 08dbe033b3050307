"""`Telemetry`: a tracer and a few instruments, and what is told to them."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, MutableMapping
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from typing import Any, TypeVar

import attrs

from overlay.errors import APIStatusError, ConfigurationError
from overlay.telemetry import names
from overlay.telemetry.instruments import Instruments, Watched, instruments_of
from overlay.version import VERSION

T = TypeVar("T")
Attributes = Mapping[str, str | int | float]

_SCOPE = "overlay"
_FIRST_ERROR = 400


@attrs.frozen(kw_only=True)
class Target:
    """Where a call goes."""

    method: str
    address: str
    port: int | None
    provider: str
    template: str | None
    """The path with `{id}` in place of ids; None at a storage that the service sent us on to."""
    url: str | None
    """Without a query, which may hold a secret; None at such a storage, whose paths may be secret, too."""


class Telemetry:
    """Sends spans and metrics of a client to OpenTelemetry: `Client(telemetry=Telemetry())`.

    `tracer_provider` and `meter_provider` are by default those that the application has set globally, or will have.
    Several clients may share one Telemetry.

    Raises ConfigurationError if opentelemetry-api is not installed.
    """

    def __init__(self, *, tracer_provider: Any = None, meter_provider: Any = None) -> None:
        self._trace = _api("trace")
        self._context = _api("context")
        self._propagate = _api("propagate")
        self._tracer = self._trace.get_tracer(_SCOPE, VERSION, tracer_provider)
        self._instruments: Instruments = instruments_of(_api("metrics"), meter_provider)

    @contextmanager
    def calling(self, target: Target, headers: MutableMapping[str, str]) -> Generator[CallSpan]:
        """A span and a duration of one call, whose headers get the trace context unless it leaves the service."""
        attributes: dict[str, str | int] = {
            names.METHOD: target.method,
            names.ADDRESS: target.address,
            names.PROVIDER: target.provider,
        }
        if target.port is not None:
            attributes[names.PORT] = target.port
        if target.template is not None:
            attributes[names.TEMPLATE] = target.template
        told = dict(attributes)
        if target.url is not None:
            told[names.URL] = target.url
        job = self._context.get_value(names.JOB)
        if job is not None:
            told[names.JOB] = job
        name = target.method if target.template is None else f"{target.method} {target.template}"
        span = self._tracer.start_span(name, kind=self._trace.SpanKind.CLIENT, attributes=told)
        token = self._context.attach(self._trace.set_span_in_context(span))
        call, began = CallSpan(), time.perf_counter()
        try:
            if target.template is not None:
                self._propagate.inject(headers)
            yield call
        except BaseException as error:
            call.failed(error)
            raise
        finally:
            self._context.detach(token)
            for key, value in call.outcome.items():
                attributes[key] = value
                span.set_attribute(key, value)
            if names.ERROR in call.outcome:
                span.set_status(self._trace.StatusCode.ERROR)
            span.end()
            self._instruments.calls.record(time.perf_counter() - began, attributes)

    def step(
        self,
        name: str,
        attributes: Attributes,
        flow: Generator[Any, Any, T],
        ended: Callable[[], Attributes],
    ) -> Generator[Any, Any, T]:
        """The flow of a job's step, as a span. `ended` gives the attributes that are known once it is over.

        The span is part of what the caller does now, in whichever thread the flow will run.
        """
        return self._stepping(name, attributes, flow, ended, self._context.get_current())

    def _stepping(
        self,
        name: str,
        attributes: Attributes,
        flow: Generator[Any, Any, T],
        ended: Callable[[], Attributes],
        here: Any,
    ) -> Generator[Any, Any, T]:
        span = self._tracer.start_span(name, context=here, attributes=attributes)
        inside = self._context.set_value(names.JOB, attributes[names.JOB], here)
        token = self._context.attach(self._trace.set_span_in_context(span, inside))
        try:
            return (yield from flow)
        except Exception as error:
            span.set_attribute(names.ERROR, type(error).__name__)
            span.set_status(self._trace.StatusCode.ERROR)
            raise
        finally:
            self._context.detach(token)
            span.set_attributes(ended())
            span.end()

    def collected(
        self, what: Attributes, *, ok: int, failed: int, tokens: tuple[int, int], cost: float | None
    ) -> None:
        """The answers of a batch are on disk. `tokens` are input and output; `cost` in dollars, if it is known."""
        counters = self._instruments
        counters.answered.add(ok, what)
        counters.failed.add(failed, what)
        # The Batch API does not say what the tokens stand for: text, pictures, sound.
        unsaid = {**what, names.MODALITY: "unknown"}
        counters.input_tokens.add(tokens[0], unsaid)
        counters.output_tokens.add(tokens[1], unsaid)
        if cost is not None:
            counters.cost.add(cost, what)

    def sent_again(self, what: Attributes, requests: int) -> None:
        """So many requests are to be sent once more."""
        self._instruments.sent_again.add(requests, what)

    @contextmanager
    def watching(self, job: str) -> Generator[Watched]:
        """A job that this process works on, until the block ends."""
        watched = Watched(job)
        self._instruments.watched.append(watched)
        try:
            yield watched
        finally:
            self._instruments.watched.remove(watched)


class CallSpan:
    """What became of a call."""

    def __init__(self) -> None:
        self.outcome: dict[str, str | int] = {}

    def answered(self, status: int) -> None:
        self.outcome = {names.STATUS: status}
        if status >= _FIRST_ERROR:
            self.outcome[names.ERROR] = str(status)

    def failed(self, error: BaseException) -> None:
        if isinstance(error, APIStatusError):
            self.answered(error.status_code)
        self.outcome.setdefault(names.ERROR, type(error).__name__)


def _api(part: str) -> Any:
    try:
        return import_module(f"opentelemetry.{part}")
    except ImportError:
        raise ConfigurationError(
            "telemetry needs opentelemetry-api: pip install 'openai-batch-overlay[otel]'"
        ) from None


@cache
def _shared() -> Telemetry:
    return Telemetry()


def telemetry_of(given: Telemetry | bool | None, default: str | None) -> Telemetry | None:
    """What a client's `telemetry=` means; where it is None, `default` says it, the variable OVERLAY_TELEMETRY.

    Raises ConfigurationError for what is none of these.
    """
    if given is None and default not in {None, "", "0", "1"}:
        raise ConfigurationError(f"OVERLAY_TELEMETRY must be 1 or 0, not {default!r:.60}")
    chosen: object = default == "1" if given is None else given
    if isinstance(chosen, Telemetry):
        return chosen
    if not isinstance(chosen, bool):
        raise ConfigurationError(f"telemetry must be True, False or a Telemetry, not {chosen!r:.60}")
    return _shared() if chosen else None
