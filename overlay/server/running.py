"""The application under uvicorn, and `serve`, which runs it in the foreground."""

import asyncio
import ipaddress
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Collection, Generator, Iterable
from contextlib import contextmanager, suppress
from email.utils import formatdate
from os import PathLike
from types import FrameType
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from overlay.server.answers.source import AnswerFunction, Source
from overlay.server.app import Application
from overlay.server.dialects.dialect import Dialect
from overlay.server.dialects.table import dialect_of
from overlay.server.engine.events import Webhook
from overlay.server.faults.matching import Fault, Faults
from overlay.server.http.authentication import Tokens
from overlay.server.http.protocol import WireProtocol
from overlay.server.http.recorder import RequestLog
from overlay.server.settings import Limits, Pace, Traits
from overlay.server.upstreams.address import is_loopback

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_TICK = 0.1
# How long answers that have begun may take when the service ends, in seconds.
_PATIENCE = 5
_TURN = 0.0005


def serve(
    host: str = "127.0.0.1",
    port: int = 8080,
    *,
    answer: AnswerFunction | Source | None = None,
    pace: Pace | None = None,
    limits: Limits | None = None,
    traits: Traits | None = None,
    dialect: str | Dialect | None = None,
    tokens: Tokens = None,
    state: str | PathLike[str] | None = None,
    faults: Iterable[Fault] = (),
    webhook: Webhook | None = None,
    control: bool = False,
    allow_hosts: Collection[str] = (),
    drain: float = 10.0,
    on_reload: Callable[[], object] | None = None,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM; then let lines under way end, for up to `drain` seconds, and answers to
    clients that have begun, for up to 5, and return. Lines that did not end are asked again by the next run.

    `answer` is what answers lines: a callable, `upstream(url)`, or None for the echo. `state` is a folder; batches
    that were interrupted go on when a service is started with it again. None keeps everything until the end.
    `faults` go wrong from the start. `dialect` is another service whose ways it has: its name, or a `Dialect`.
    `webhook` is where the end of each batch is posted to.
    `on_ready` is given the base URL once the service answers. Raises `OSError` where the address is taken,
    `StateInUseError` where the folder is, and `ValueError` where it holds something else.
    `control` serves the paths for tests, /_control/. On a loopback address, requests must name a host that is this
    machine, or one of `allow_hosts`. SIGHUP calls `on_reload`, in a thread of its own.
    """
    # Lines are forwarded in a thread beside that of the API, whose answers would wait 5 ms for each of their turns.
    sys.setswitchinterval(_TURN)
    spoken = dialect_of(dialect)
    trouble = Faults()
    for fault in faults:
        trouble.put(fault)
    with listen(host, port) as listener:
        url = base_url(host, listener.getsockname()[1], spoken.bases[0] if spoken else "/v1")
        app = Application(
            answer,
            pace=pace,
            limits=limits,
            traits=traits,
            dialect=spoken,
            tokens=tokens,
            state=state,
            synced=True,
            webhook=webhook,
            control=control,
            hosts=allow_hosts if is_loopback(host) else None,
            monitored=True,
            faults=trouble,
            requests=RequestLog(most=1000),
        )
        server = Server(app, lambda: on_ready(url) if on_ready else None, drain=drain, on_reload=on_reload)
        asyncio.run(server.serve(sockets=[listener]))


def _dated(app: Application) -> ASGIApp:
    async def dated(scope: Scope, receive: Receive, send: Send) -> None:
        async def begin(message: Message) -> None:
            if message["type"] == "http.response.start":
                date = formatdate(app.timeline.now(), usegmt=True).encode()
                message = {**message, "headers": [(b"date", date), *message.get("headers", ())]}
            await send(message)

        await app(scope, receive, begin)

    return dated


class Server(uvicorn.Server):
    """uvicorn, with differences: lines end before it does, SIGHUP is no end, it says when it is ready, `stop_now`
    waits for nobody, a signal that ends it is not raised again afterwards, and answers are dated by the service's
    clock, as what they tell of is.
    """

    def __init__(
        self,
        app: Application,
        on_ready: Callable[[], object],
        *,
        drain: float = 0.0,
        on_reload: Callable[[], object] | None = None,
    ) -> None:
        options: dict[str, Any] = {
            "http": WireProtocol,
            "ws": "none",
            "loop": "asyncio",
            "lifespan": "on",
            "log_config": None,
            "access_log": False,
            "server_header": False,
            "date_header": False,
            "timeout_graceful_shutdown": _PATIENCE,
            "timeout_keep_alive": 75,
        }
        super().__init__(uvicorn.Config(_dated(app), **options))
        self._app = app
        self._on_ready = on_ready
        self._drain = drain
        self._on_reload = on_reload
        self._terminal = _has_terminal()
        self._leave = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()

    async def main_loop(self) -> None:
        # A test suite ends hundreds of services: none should wait for the next tick.
        ticks = 0
        while not self._leave.is_set() and not await self.on_tick(ticks):
            ticks += 1
            with suppress(TimeoutError):
                await asyncio.wait_for(self._leave.wait(), _TICK)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.leave()
        if self._drain and not self._leave.is_set():
            await self._let_lines_end()
        if not self._leave.is_set():
            await super().shutdown(sockets)
            return
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        if tasks := list(self.server_state.tasks):
            _, slow = await asyncio.wait(tasks, timeout=_PATIENCE)
            for each in slow:
                each.cancel()
        await self.lifespan.shutdown()

    async def _let_lines_end(self) -> None:
        draining = asyncio.ensure_future(self._app.drain(self._drain))
        # A second Ctrl-C waits for nothing.
        while not draining.done() and not self.force_exit:
            await asyncio.wait([draining], timeout=_TICK)
        draining.cancel()

    def stop_now(self) -> None:
        """Break every connection and end. For the thread of the loop."""
        self._leave.set()

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before: dict[signal.Signals, Any] = {each: signal.signal(each, self.handle_exit) for each in _SIGNALS}
        # What nohup has ignored stays so.
        if self._on_reload and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            before[signal.SIGHUP] = signal.signal(signal.SIGHUP, self._hang_up)
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    def _hang_up(self, number: int, frame: FrameType | None) -> None:
        """Read keys again or, where it was the terminal that went away, end."""
        if self._terminal and not _has_terminal():
            self.handle_exit(number, frame)
        elif self._on_reload:
            threading.Thread(target=self._on_reload, name="overlay-reload", daemon=True).start()


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to the address. Raises `OSError` where it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off only where the protocol is named; with it, small answers wait 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except TypeError as error:  # what Python says of a name that it cannot encode
        listener.close()
        raise OSError(f"{host!r} is not a host: {error}") from None
    except BaseException:
        listener.close()
        raise
    return listener


def reachable(host: str) -> str:
    """The address by which another machine reaches what listens at `host`: 0.0.0.0 and :: are all of this one's."""
    try:
        if not ipaddress.ip_address(host).is_unspecified:
            return host
    except ValueError:
        return host
    # To connect a datagram socket sends nothing, and chooses the address that would be sent from.
    known = (socket.AF_INET6, "2001:db8::1") if ":" in host else (socket.AF_INET, "192.0.2.1")
    with suppress(OSError), socket.socket(known[0], socket.SOCK_DGRAM) as probe:
        probe.connect((known[1], 9))
        return str(probe.getsockname()[0])
    return socket.gethostname()


def base_url(host: str, port: int, base: str) -> str:
    """`base` is what the paths begin with."""
    host = reachable(host)
    return f"http://[{host}]:{port}{base}" if ":" in host else f"http://{host}:{port}{base}"
