"""The connection under a request, for faults that HTTP itself cannot express: a reset, a cut, silence.

ASGI gives an application no way to harm its connection, and lets a server offer more in `scope["extensions"]`. So
the protocol below is uvicorn's own, whose application is wrapped to find a `Wire` there; nothing of uvicorn is
patched or copied. It is the h11 one on purpose: it comes with uvicorn everywhere, where httptools is an option.
"""

import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

Pause = Callable[[float | None], Awaitable[None]]

_EXTENSION = "overlay.wire"


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

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        app, wire = self.app, Wire(self)

        async def wired(scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("extensions", {})[_EXTENSION] = wire
            await app(scope, receive, send)

        self.app = wired

    def data_received(self, data: bytes) -> None:
        if self.doomed:
            Wire(self).reset()
        else:
            super().data_received(data)


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
