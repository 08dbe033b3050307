"""The service on a port of its own: in a background thread, for tests and notebooks, or in the foreground."""

import asyncio
import socket
import threading
from collections.abc import Coroutine
from contextlib import suppress
from os import PathLike
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec
import uvicorn

from overlay.emulator.answers import AnswerFunction, Source
from overlay.emulator.app import Application, Wrap
from overlay.emulator.clock import Clock
from overlay.emulator.gate import Tokens
from overlay.emulator.protocol import WireProtocol
from overlay.emulator.record import RecordedRequest
from overlay.emulator.settings import Limits, Pace

_T = TypeVar("_T")
_LONGEST_CALL = 300.0


class Service:
    """The Batch API on loopback, in a background thread, for as long as the `with` block lasts.

        with Service() as service:
            client = Client(base_url=service.base_url, token="any")

    `answer` is a callable that is given a line of the input as a dict and returns a body, or a status and a body; it
    may be async; None echoes. `pace` is how long a batch stays in each status, and `limits` what is refused. `tokens`
    is a token, several, or a callable that says whether one is good; None accepts any that is not empty. `state` is a
    folder in which everything outlives the service; None keeps it until the end of the block. `clock` is a
    `ManualClock` for tests that move time, or any object with `time()`. `wrap` is given the ASGI application and
    returns another one around it. `port` 0 is a free one.
    """

    def __init__(
        self,
        answer: AnswerFunction | Source | None = None,
        *,
        pace: Pace | None = None,
        limits: Limits | None = None,
        tokens: Tokens = None,
        state: str | PathLike[str] | None = None,
        clock: Clock | None = None,
        wrap: Wrap | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self._app = Application(
            answer, pace=pace, limits=limits, tokens=tokens, state=state, clock=clock, wrap=wrap
        )
        self._host, self._port = host, port
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        listener = listen(self._host, self._port)
        self._port = listener.getsockname()[1]
        self._server = _Server(self._app)
        self._thread = threading.Thread(
            target=self._run, args=(self._server, listener), name="overlay-emulator", daemon=True
        )
        self._thread.start()
        self._server.ready.wait()
        if self._loop is None:
            self._thread.join()
            raise RuntimeError("the service did not start; its log says why")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server
        assert self._thread
        if self._loop:
            self._loop.call_soon_threadsafe(self._server.stop_now)
        self._thread.join()
        self._loop = None

    @property
    def base_url(self) -> str:
        """Where clients are pointed to, `/v1` included."""
        return f"http://{self._host}:{self._port}/v1"

    @property
    def requests(self) -> list[RecordedRequest]:
        """Every request so far, in order of arrival."""
        return self._app.record.requests()

    def count(self, method: str, path: str) -> int:
        """How many requests of a method were made to a path, given without `/v1`."""
        return sum(each.method == method and each.path == f"/v1{path}" for each in self.requests)

    def batches(self) -> list[dict[str, Any]]:
        """Every batch as the API shows it, newest first."""

        async def read() -> list[dict[str, Any]]:
            rows = self._app.store.batches(after=None, limit=2**31, born_by=float("inf"))
            found = (self._app.engine.batch(batch_id) for batch_id, _ in rows)
            return [msgspec.to_builtins(batch) for batch in found]

        return self._call(read())

    def advance(self, seconds: float) -> None:
        """Move the service's time forward; return when all that was due on the way has happened."""
        self._call(self._app.timeline.advance(seconds))

    def settle(self) -> None:
        """Return when no batch has anything left to do at the present time."""
        self._call(self._app.timeline.settle())

    def _call(self, work: Coroutine[Any, Any, _T]) -> _T:
        if self._loop is None:
            work.close()
            raise RuntimeError("the service is not running: use it inside its `with` block")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_LONGEST_CALL)

    def _run(self, server: "_Server", listener: socket.socket) -> None:
        async def main() -> None:
            self._loop = asyncio.get_running_loop()
            try:
                await server.serve(sockets=[listener])
            finally:
                self._loop = None

        try:
            asyncio.run(main())
        finally:
            self._loop = None
            server.ready.set()


class _Server(uvicorn.Server):
    """uvicorn, with an event for being ready, and a stop that waits for nobody."""

    def __init__(self, app: Application) -> None:
        super().__init__(
            uvicorn.Config(
                app,  # type: ignore[arg-type]
                http=WireProtocol,
                ws="none",
                loop="asyncio",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=5,
                timeout_keep_alive=75,
            )
        )
        self.ready = threading.Event()
        self._leave = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    async def main_loop(self) -> None:
        # uvicorn looks ten times a second whether it should end; a test suite ends hundreds of services.
        ticks = 0
        while not self._leave.is_set() and not await self.on_tick(ticks):
            ticks += 1
            with suppress(TimeoutError):
                await asyncio.wait_for(self._leave.wait(), 0.1)

    def stop_now(self) -> None:
        """Break every connection and end."""
        self.should_exit = True
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        self._leave.set()


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to the address. Raises `OSError` where it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except BaseException:
        listener.close()
        raise
    return listener
