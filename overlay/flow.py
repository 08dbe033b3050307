"""Logic once: flows, and the two drivers that run them.

A flow is a generator that yields steps and returns a value. It decides; a driver acts: `Blocking` by waiting,
`Awaiting` by awaiting. It is the idea of httpx's `auth_flow`, one level up. An error of a step is thrown into
the flow at its `yield`, so try, except and retry are ordinary code, and a flow can be tested by hand with
`next` and `send`, without a server, a loop, or time passing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping
from datetime import timedelta
from typing import Any, Protocol, TypeAlias, TypeVar

import attrs
import httpx

from overlay import retry
from overlay.connection import (
    STREAMED,
    AsyncConnections,
    Connections,
    Profile,
    Settings,
    call_name,
    refusal,
    transport_error,
)
from overlay.errors import APIError, APITimeoutError, OverlayError, StorageError
from overlay.landing import Landing

T = TypeVar("T")
Seconds: TypeAlias = timedelta | float


class Endpoint(Protocol):
    """One generated module under `overlay.generated.api`."""

    @property
    def sync_detailed(self) -> Callable[..., Any]: ...
    @property
    def asyncio_detailed(self) -> Callable[..., Awaitable[Any]]: ...


@attrs.frozen
class Call:
    """Call an operation once; gives what generated code made of the answer."""

    endpoint: Endpoint
    arguments: Mapping[str, Any]
    profile: Profile = "read"


@attrs.frozen
class Fetch:
    """Stream the body of a GET to disk, from `landing.offset` on."""

    path: str
    landing: Landing


@attrs.frozen
class Sleep:
    seconds: float


@attrs.frozen
class Work:
    """Run a function that takes the disk or the processor: in place, or off the event loop."""

    function: Callable[[], Any]


Step: TypeAlias = Call | Fetch | Sleep | Work
Flow: TypeAlias = Generator[Step, Any, T]


@attrs.frozen
class Deadline:
    """A moment on the monotonic clock; `at` is None for never."""

    settings: Settings
    at: float | None

    @property
    def left(self) -> float:
        return float("inf") if self.at is None else self.at - self.settings.clock.monotonic()

    def later(self, by: float) -> Deadline:
        """The deadline moved back by so many seconds."""
        return self if self.at is None else attrs.evolve(self, at=self.at + by)


def seconds(value: Seconds) -> float:
    """A span of time in seconds, from a timedelta or a number of them."""
    return value.total_seconds() if isinstance(value, timedelta) else float(value)


def deadline(settings: Settings, within: Seconds | None) -> Deadline:
    """The moment `within` from now; never, for None."""
    return Deadline(settings, None if within is None else settings.clock.monotonic() + seconds(within))


def call(
    settings: Settings,
    endpoint: Endpoint,
    /,
    *,
    policy: retry.Policy = retry.READ,
    profile: Profile = "read",
    until: Deadline | None = None,
    settled: type[APIError] | None = None,
    **arguments: Any,
) -> Flow[Any]:
    """Call an operation that does no harm when repeated, with retries, none of them begun after `until`.

    `settled` is the refusal that, from the second try on, means that an earlier one did the work.
    """
    limit = deadline(settings, policy.within)
    tries = min(policy.tries, settings.max_retries + 1)
    for attempt in range(tries):
        try:
            return (yield Call(endpoint, arguments, profile))
        except APIError as error:
            if attempt and settled and isinstance(error, settled):
                return None
            delay = retry.delay(error, attempt)
            limit = limit.later(retry.asked_wait(error))
            if delay is None or attempt + 1 == tries or delay > limit.left or (until and delay > until.left):
                raise
        yield Sleep(delay)
    raise AssertionError("unreachable: the last attempt returns or raises")


def failure(settings: Settings, error: Exception, step: Step) -> OverlayError | None:
    """The typed error for what a step raised, or None where it is nobody's business but the caller's."""
    if isinstance(error, OverlayError):
        return error
    if isinstance(step, Work | Fetch) and isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return StorageError(f"{place}{error.strerror or error}", path=error.filename)
    if isinstance(step, Call | Fetch):
        request = getattr(error, "_request", None)
        name = call_name(request) if isinstance(request, httpx.Request) else _name(step)
        if isinstance(error, TimeoutError):
            return APITimeoutError(f"{name} at {settings.host}: no answer in time")
        return transport_error(settings, error, name)
    return None


def _name(step: Call | Fetch) -> str:
    if isinstance(step, Fetch):
        return f"GET {step.path}"
    return str(getattr(step.endpoint, "__name__", "the call")).rpartition(".")[2]


def _parsed(settings: Settings, step: Call, response: Any) -> Any:
    if response.status_code == httpx.codes.UNAUTHORIZED:
        raise refusal(settings, 401, response.headers, response.content, _name(step))
    return response.parsed


class Blocking:
    """Runs flows by waiting."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.connections = Connections(settings)

    def run(self, flow: Flow[T]) -> T:
        try:
            step = next(flow)
            while True:
                problem: OverlayError | None = None
                try:
                    value = self._perform(step)
                except Exception as error:
                    problem = failure(self.settings, error, step)
                    if problem is None:
                        raise
                # Thrown outside of the except block, so that the cause, which may hold a token, is let go.
                step = flow.send(value) if problem is None else flow.throw(problem)
        except StopIteration as stop:
            result: T = stop.value
            return result
        finally:
            flow.close()

    def _perform(self, step: Step) -> Any:
        if isinstance(step, Call):
            client = self.connections.get(step.profile)
            return _parsed(self.settings, step, step.endpoint.sync_detailed(client=client, **step.arguments))
        if isinstance(step, Sleep):
            return self.settings.clock.sleep(step.seconds)
        if isinstance(step, Work):
            return step.function()
        client = self.connections.get("read")
        http = client.get_httpx_client()
        request = http.build_request("GET", step.path, headers=step.landing.request_headers)
        request.extensions[STREAMED] = True
        response = http.send(request, stream=True)
        try:
            if response.status_code == httpx.codes.UNAUTHORIZED:
                raise refusal(self.settings, 401, response.headers, response.read(), call_name(request))
            with step.landing.open(response.status_code, response.headers, self.settings.clock) as sink:
                for chunk in response.iter_raw():
                    sink.write(chunk)
        finally:
            response.close()
        return None


class Awaiting:
    """Runs flows by awaiting, under asyncio or trio."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.connections = AsyncConnections(settings)

    async def run(self, flow: Flow[T]) -> T:
        try:
            step = next(flow)
            while True:
                problem: OverlayError | None = None
                try:
                    value = await self._perform(step)
                except Exception as error:
                    problem = failure(self.settings, error, step)
                    if problem is None:
                        raise
                step = flow.send(value) if problem is None else flow.throw(problem)
        except StopIteration as stop:
            result: T = stop.value
            return result
        finally:
            flow.close()

    async def _perform(self, step: Step) -> Any:
        import anyio  # noqa: PLC0415 - not needed, and not loaded, by blocking clients

        if isinstance(step, Call):
            client = self.connections.get(step.profile)
            response = await step.endpoint.asyncio_detailed(client=client, **step.arguments)
            return _parsed(self.settings, step, response)
        if isinstance(step, Sleep):
            return await self.settings.clock.asleep(step.seconds)
        if isinstance(step, Work):
            return await anyio.to_thread.run_sync(step.function)
        http = self.connections.get("read").get_async_httpx_client()
        request = http.build_request("GET", step.path, headers=step.landing.request_headers)
        request.extensions[STREAMED] = True
        answer = await http.send(request, stream=True)
        try:
            if answer.status_code == httpx.codes.UNAUTHORIZED:
                raise refusal(self.settings, 401, answer.headers, await answer.aread(), call_name(request))
            with step.landing.open(answer.status_code, answer.headers, self.settings.clock) as sink:
                async for chunk in answer.aiter_raw():
                    if sink.take(chunk):
                        # A megabyte at a time goes to the disk off the loop; a thread for each chunk
                        # would cost more than the write.
                        await anyio.to_thread.run_sync(sink.flush)
        finally:
            await answer.aclose()
        return None
