"""The connection under a request, for faults that HTTP itself cannot express: a reset, a cut, silence.

ASGI gives an application no way to harm its connection, and lets a server offer more in `scope["extensions"]`. So
the protocol below is uvicorn's own, whose application is wrapped to find a `Wire` there; nothing of uvicorn is
patched or copied. It is the h11 one on purpose: it comes with uvicorn everywhere, where httptools is an option.

Who sends half a request must not hold the connection for ever: a head has 30 seconds to arrive, and a body must go
on, by at least 4 KiB in each 30 seconds. Heads are bounded by h11, to 64 KiB. Nor must who never reads an answer:
at least 4 KiB of it have to be taken in each minute.
"""

import asyncio
import fcntl
import socket
import struct
import sys
import termios
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import h11
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

Pause = Callable[[float | None], Awaitable[None]]

_EXTENSION = "overlay.wire"
_LEAST = 4096
_TIMEOUT = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class Wire:
    """What can be done to one connection."""

    def __init__(self, protocol: "WireProtocol") -> None:
        self._protocol = protocol

    def reset(self) -> None:
        """Make the client's next read fail with "connection reset by peer"; what was not sent yet is lost."""
        transport = self._protocol.transport
        sock = transport.get_extra_info("socket")
        if sock is not None and not transport.is_closing():
            # Closing with a linger time of zero sends RST where FIN would be sent.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()

    def close(self) -> None:
        """Send what is waiting, then end the connection, whether or not the answer was whole."""
        self._protocol.transport.close()

    def write(self, data: bytes) -> None:
        """Send bytes past the HTTP layer."""
        self._protocol.transport.write(data)

    def doom(self) -> None:
        """Keep the connection open, and reset it when the next request arrives on it."""
        self._protocol.doomed = True


class WireProtocol(H11Protocol):
    """uvicorn's protocol, with a `Wire` among the extensions of each scope."""

    doomed = False
    patience = 30.0
    """Seconds for half a request."""
    reader_patience = 60.0
    """Seconds for a part of an answer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._cycle: Callable[[], RequestResponseCycle | None] = lambda: (
            self.cycle
        )  # None before the first request
        self._taken = 0
        self._timer: asyncio.TimerHandle | None = None
        self._unread = 0
        self._reader: asyncio.TimerHandle | None = None
        app, wire = self.app, Wire(self)

        async def wired(scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("extensions", {})[_EXTENSION] = wire
            try:
                await app(scope, receive, send)
            except asyncio.CancelledError:
                # The service ends, and its patience with this request did. uvicorn would call it an error of the
                # application, with a traceback, and send the rest of an answer.
                wire.reset()
                await gone(receive)

        self.app = wired

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        if self.doomed:
            Wire(self).reset()
            return
        self._taken += len(data)
        if not self.flow.write_paused:
            self._forget_reader()  # it has read what there was, and asks for more
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        self._forget_reader()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:
        self._forget_reader()
        super().resume_writing()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch_reader()

    def _watch_reader(self) -> None:
        """Whatever is written waits for the client, and so does the end of the connection."""
        if self._reader is None and self.transport.get_write_buffer_size():
            self._unread = self._left()
            self._reader = self.loop.call_later(self.reader_patience, self._look_at_reader)

    def _forget_reader(self) -> None:
        if self._reader:
            self._reader.cancel()
            self._reader = None

    def _look_at_reader(self) -> None:
        self._reader = None
        if self.transport.get_write_buffer_size() and self._unread - self._left() < _LEAST:
            self.transport.abort()
        else:
            self._watch_reader()

    def _left(self) -> int:
        """Bytes that the client has not taken: the system's buffer holds megabytes, and is refilled in leaps."""
        queued = bytearray(4)
        with suppress(OSError):  # where the system does not tell, what it holds counts as taken
            fcntl.ioctl(self.transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, queued)
        return self.transport.get_write_buffer_size() + int.from_bytes(queued, sys.byteorder)

    def _watch(self) -> None:
        if not self._is_half():
            self._forget()
        elif self._timer is None:
            self._taken = 0
            self._timer = self.loop.call_later(self.patience, self._look)

    def _forget(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _is_half(self) -> bool:
        """Whether the rest of a request is to come, or the first one."""
        if self.conn.their_state is h11.IDLE:
            return self._cycle() is None or bool(self.conn.trailing_data[0])
        return self.conn.their_state is h11.SEND_BODY

    def _look(self) -> None:
        self._timer = None
        if self.transport.is_closing() or not self._is_half():
            return
        # A body that nobody reads at the moment is not read from the network either.
        if self.conn.their_state is h11.SEND_BODY and (self.flow.read_paused or self._taken >= _LEAST):
            self._watch()
            return
        cycle = self._cycle()
        if cycle is None or cycle.response_complete or not cycle.response_started:
            self.transport.write(_TIMEOUT)
        self.transport.close()
        self._watch_reader()


def wire_of(scope: Scope) -> Wire:
    """The connection under a request. Raises `RuntimeError` where another server runs the application."""
    wire = scope.get("extensions", {}).get(_EXTENSION)
    if not isinstance(wire, Wire):
        raise RuntimeError("this fault harms the connection, and needs the service's own server")  # noqa: TRY004
    return wire


def pause_of(scope: Scope) -> Pause:
    """How faults wait, in seconds of real time: not beyond the end of the service."""
    pause: Pause = scope["overlay.pause"]
    return pause


async def gone(receive: Receive) -> None:
    """Return when the connection has ended: an application that returns before gets an error page sent for it."""
    while (await receive())["type"] != "http.disconnect":
        pass
