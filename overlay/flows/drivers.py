"""The two drivers that run flows: `Blocking` by waiting, `Awaiting` by awaiting, under asyncio or trio.

They perform a step and send its value, or throw its typed error, into the flow. Only this is written twice.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from functools import partial
from http import HTTPStatus
from itertools import islice
from typing import Any, TypeVar

import attrs
import httpx

from overlay.errors import APITimeoutError, ConfigurationError, OverlayError, StorageError
from overlay.flows.extras import ExtendedClient
from overlay.flows.interrupting import explain
from overlay.flows.steps import Call, Fetch, Flow, Pull, Put, Sleep, Step, Stream, Together, Work
from overlay.flows.threads import to_the_end
from overlay.wire.body import Body
from overlay.wire.connection import (
    STREAMED,
    AsyncConnections,
    Connections,
    Settings,
    call_name,
    refusal,
    transport_error,
)
from overlay.wire.uploading import put_request

T = TypeVar("T")


def failure(settings: Settings, error: Exception, step: Step) -> OverlayError | None:
    """The typed error for what a step raised, or None if only the caller can handle it."""
    if isinstance(error, OverlayError):
        return settings.tokens.scrub_error(error)
    if isinstance(step, Work) and isinstance(error, MemoryError):
        return StorageError("not enough memory")
    if isinstance(step, Work | Fetch) and isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return StorageError(f"{place}{error.strerror or error}", path=error.filename)
    if isinstance(step, Call | Fetch | Put | Stream):
        request = getattr(error, "_request", None)
        name = call_name(request) if isinstance(request, httpx.Request) else _name(step)
        if isinstance(error, TimeoutError):
            return APITimeoutError(f"{name} at {settings.host}: no answer in time")
        return transport_error(settings, error, name)
    return None


def _name(step: Call | Fetch | Put | Stream) -> str:
    if isinstance(step, Put):
        return "PUT of the file's content"
    if isinstance(step, Fetch | Stream):
        return f"GET {step.path}"
    return str(getattr(step.endpoint, "__name__", "the call")).rpartition(".")[2]


def _extended(client: Any, step: Call) -> Any:
    return client if step.extra is None else ExtendedClient(client, step.extra)


def _parsed(settings: Settings, step: Call, response: Any) -> Any:
    if response.status_code == HTTPStatus.UNAUTHORIZED:
        raise refusal(settings, 401, response.headers, response.content, _name(step))
    return response.parsed


class _AbandonedError(BaseException):
    """Nobody is waiting for the flow any more. Not an Exception, so that no flow handles it as its own."""


@attrs.frozen
class _Raised:
    error: BaseException


def _outcome_of(function: Callable[[], Any]) -> Any:
    try:
        return function()
    except BaseException as error:  # noqa: BLE001 - passed on to the waiting thread
        return _Raised(error)


def _values(outcomes: dict[int, Any]) -> list[Any]:
    """The outcomes in order; if any are failures, the first is raised."""
    ordered = [outcomes[number] for number in sorted(outcomes)]
    for outcome in ordered:
        if isinstance(outcome, _Raised):
            raise outcome.error
    return ordered


_LISTENING_SECONDS = 0.2
"""How long a thread is waited for at a time. Where polars is loaded, Ctrl-C does not end a wait."""


class Blocking:
    """Runs flows by waiting."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.connections = Connections(settings)

    def run(self, flow: Flow[T], abandoned: threading.Event | None = None) -> T:
        """Run a flow to its end, or to the end of the step during which it was abandoned."""
        try:
            step = next(flow)
            while True:
                value: Any = None
                problem: OverlayError | None = None
                try:
                    value = self._perform(step)
                except Exception as error:
                    problem = failure(self.settings, error, step)
                    if problem is None:
                        raise
                if abandoned is not None and abandoned.is_set():
                    raise _AbandonedError
                # Thrown outside the except block, so that the cause, which may hold a token, is not kept.
                step = flow.send(value) if problem is None else flow.throw(problem)
        except StopIteration as stop:
            result: T = stop.value
            return result
        except KeyboardInterrupt as interrupt:
            explain(interrupt)
            raise
        except OverlayError as error:
            # Flows quote what the service sent, which may include the token.
            self.settings.tokens.scrub_error(error)
            raise
        finally:
            flow.close()

    def _perform(self, step: Step) -> Any:
        if isinstance(step, Call):
            client = _extended(self.connections.get(step.profile), step)
            return _parsed(self.settings, step, step.endpoint.sync_detailed(client=client, **step.arguments))
        if isinstance(step, Sleep):
            return self.settings.clock.sleep(step.seconds)
        if isinstance(step, Work):
            return step.function()
        if isinstance(step, Pull):
            if not isinstance(step.source, Iterator):
                raise ConfigurationError("an asynchronous iterable needs AsyncClient")
            return list(islice(step.source, step.at_most))
        if isinstance(step, Together):
            return self._together(step)
        if isinstance(step, Stream):
            response = self._get(step.path, {})
            return Body(response, self.settings.clock, lambda error: failure(self.settings, error, step))
        if isinstance(step, Put):
            http = self.connections.get("upload").get_httpx_client()
            return http.send(put_request(step.target, step.path, http), auth=None)
        return self._fetch(step)

    def _together(self, step: Together) -> list[Any]:
        waiting = iter(enumerate(step.flows))
        outcomes: dict[int, Any] = {}
        guard, abandoned = threading.Lock(), threading.Event()

        def work() -> None:
            while not abandoned.is_set():
                with guard:
                    number, flow = next(waiting, (-1, None))
                if flow is None:
                    return
                outcomes[number] = _outcome_of(partial(self.run, flow, abandoned))

        # Daemons: after Ctrl-C the process ends without waiting for them.
        count = min(step.at_most, len(step.flows))
        workers = [threading.Thread(target=work, daemon=True, name="overlay") for _ in range(count)]
        for worker in workers:
            worker.start()
        try:
            for worker in workers:
                while worker.is_alive():
                    worker.join(_LISTENING_SECONDS)
        except BaseException:  # Ctrl-C: nobody is waiting any more
            abandoned.set()
            raise
        return _values(outcomes)

    def _get(self, path: str, headers: Mapping[str, str]) -> httpx.Response:
        """An answer whose body has not been read yet."""
        http = self.connections.get("read").get_httpx_client()
        request = http.build_request("GET", path, headers=headers)
        request.extensions[STREAMED] = True
        response = http.send(request, stream=True)
        if response.status_code == HTTPStatus.UNAUTHORIZED:
            with closing(response):
                raise refusal(self.settings, 401, response.headers, response.read(), call_name(request))
        return response

    def _fetch(self, step: Fetch) -> None:
        response = self._get(step.path, step.part_file.request_headers)
        with (
            closing(response),
            step.part_file.open(response.status_code, response.headers, self.settings.clock) as sink,
        ):
            for chunk in response.iter_raw():
                sink.write(chunk)


class Awaiting:
    """Runs flows by awaiting, under asyncio or trio."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.connections = AsyncConnections(settings)

    async def run(self, flow: Flow[T]) -> T:
        try:
            step = next(flow)
            while True:
                value: Any = None
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
        except OverlayError as error:
            # Flows quote what the service sent, which may include the token.
            self.settings.tokens.scrub_error(error)
            raise
        finally:
            flow.close()

    async def _perform(self, step: Step) -> Any:
        if isinstance(step, Call):
            client = _extended(self.connections.get(step.profile), step)
            response = await step.endpoint.asyncio_detailed(client=client, **step.arguments)
            return _parsed(self.settings, step, response)
        if isinstance(step, Sleep):
            return await self.settings.clock.asleep(step.seconds)
        if isinstance(step, Work):
            return await to_the_end(step.function)
        if isinstance(step, Pull):
            return await self._pull(step)
        if isinstance(step, Together):
            return await self._together(step)
        if isinstance(step, Put):
            http = self.connections.get("upload").get_async_httpx_client()
            return await http.send(put_request(step.target, step.path, http), auth=None)
        assert not isinstance(step, Stream), "only blocking clients read a body piece by piece"
        return await self._fetch(step)

    async def _pull(self, step: Pull) -> list[Any]:
        import anyio  # noqa: PLC0415 - not needed, and not loaded, by blocking clients

        source = step.source
        if isinstance(source, Iterator):
            return await anyio.to_thread.run_sync(lambda: list(islice(source, step.at_most)))
        taken: list[Any] = []
        async for item in source:
            taken.append(item)
            if len(taken) == step.at_most:
                break
        return taken

    async def _together(self, step: Together) -> list[Any]:
        import anyio  # noqa: PLC0415

        outcomes: dict[int, Any] = {}
        slots = anyio.Semaphore(step.at_most)

        async def work(number: int, flow: Flow[Any]) -> None:
            async with slots:
                try:
                    outcomes[number] = await self.run(flow)
                except Exception as error:  # noqa: BLE001 - passed on
                    outcomes[number] = _Raised(error)

        async with anyio.create_task_group() as group:
            for number, flow in enumerate(step.flows):
                group.start_soon(work, number, flow)
        return _values(outcomes)

    async def _fetch(self, step: Fetch) -> None:
        http = self.connections.get("read").get_async_httpx_client()
        request = http.build_request("GET", step.path, headers=step.part_file.request_headers)
        request.extensions[STREAMED] = True
        answer = await http.send(request, stream=True)
        try:
            if answer.status_code == HTTPStatus.UNAUTHORIZED:
                raise refusal(self.settings, 401, answer.headers, await answer.aread(), call_name(request))
            with step.part_file.open(answer.status_code, answer.headers, self.settings.clock) as sink:
                async for chunk in answer.aiter_raw():
                    if sink.take(chunk):
                        # A megabyte at a time goes to the disk off the loop; a thread for each chunk
                        # would cost more than the write.
                        await to_the_end(sink.flush)
        finally:
            await answer.aclose()
