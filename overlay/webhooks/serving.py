"""`overlay hooks serve`: the application that receives webhooks, in the foreground."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from overlay.server.running import base_url, listen

_PATIENCE = 5


def serve(
    application: ASGIApp, host: str, port: int, *, path: str = "/", on_ready: Callable[[str], None]
) -> None:
    """Serve until SIGINT or SIGTERM. `on_ready` is given the URL once it answers.

    Raises OSError where the address is taken.
    """
    with listen(host, port) as listener:
        url = base_url(host, listener.getsockname()[1], path)
        asyncio.run(_Server(application, lambda: on_ready(url)).serve(sockets=[listener]))


class _Server(uvicorn.Server):
    def __init__(self, application: ASGIApp, on_ready: Callable[[], object]) -> None:
        super().__init__(
            uvicorn.Config(
                application,
                ws="none",
                loop="asyncio",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=_PATIENCE,
            )
        )
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        # Not raised again afterwards, as uvicorn does: the command ends in order.
        before = {each: signal.signal(each, self.handle_exit) for each in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)
