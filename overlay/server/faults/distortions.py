"""Effects that spoil a good answer on its way out: each passes on what the application sends, in its own manner."""

import zlib
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from overlay.server.faults.kinds import CloseAfter, Cut, Drip, Gzip
from overlay.server.http.protocol import gone, pause_of, wire_of
from overlay.server.http.recorder import RecordedRequest

# A reset overtakes what is still on its way, so it waits so many seconds.
_FLUSH = 0.02
_GZIP = 31


async def _cut(effect: Cut, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    wire, left, over = wire_of(scope), effect.after, False

    async def until_cut(message: Message) -> None:
        nonlocal left, over
        if over:
            return
        if message["type"] == "http.response.start":
            await _announce(message, effect, scope, send)
            return
        body: bytes = message.get("body", b"")
        over = len(body) >= left or (effect.framing == "close" and not message.get("more_body"))
        piece, left = body[:left], left - len(body)
        if effect.framing == "close":
            wire.write(piece)
        elif piece or not over:
            await send({**message, "body": piece, "more_body": over or message.get("more_body", False)})

    await app(scope, receive, until_cut)
    if over:
        if effect.reset:
            await pause_of(scope)(_FLUSH)
            wire.reset()
        wire.close()
        await gone(receive)


async def _announce(start: Message, effect: Cut, scope: Scope, send: Send) -> None:
    """Send the head of the answer in the framing that was asked for."""
    headers = MutableHeaders(scope=start)
    if effect.framing != "length":
        del headers["content-length"]
    if effect.framing != "close":
        await send(start)
        return
    # h11 frames the body of every HTTP/1.1 answer; one that only the connection's end ends is written by hand.
    request: RecordedRequest = scope["overlay.request"]
    request.status = start["status"]
    request.stamp(headers)
    headers["connection"] = "close"
    lines = [f"HTTP/1.1 {request.status} {HTTPStatus(start['status']).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    wire_of(scope).write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))


async def _drip(effect: Drip, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    pause = pause_of(scope)

    async def slowly(message: Message) -> None:
        if message["type"] == "http.response.start":
            await send(message)
            return
        body: bytes = message.get("body", b"")
        for start in range(0, len(body), effect.size):
            await pause(effect.seconds)
            piece = body[start : start + effect.size]
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        if not message.get("more_body"):
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    await app(scope, receive, slowly)


async def _close_after(effect: CloseAfter, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    wire = wire_of(scope)

    async def then_close(message: Message) -> None:
        await send(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            (wire.close if effect.moment == "answer" else wire.doom)()

    await app(scope, receive, then_close)


async def _gzip(_: Gzip, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    packer = zlib.compressobj(wbits=_GZIP)

    async def packed(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["content-encoding"] = "gzip"
            del headers["content-length"]
            await send(message)
            return
        body = packer.compress(message.get("body", b""))
        if not message.get("more_body"):
            body += packer.flush()
        await send({**message, "body": body})

    await app(scope, receive, packed)


Distortion = Callable[[Any, ASGIApp, Scope, Receive, Send], Awaitable[None]]
DISTORTIONS: dict[type[Any], Distortion] = {Cut: _cut, Drip: _drip, CloseAfter: _close_after, Gzip: _gzip}
