"""Effects that spoil a good answer on its way out: each passes on what the application sends, in its own manner."""

import zlib
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from http.client import responses
from typing import Any, get_args

import msgspec
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from overlay.server.faults.kinds import CloseAfter, Cut, Drip, Gzip
from overlay.server.faults.results import LineEffect, spoiled
from overlay.server.faults.rewriting import Rewriting, rewritten
from overlay.server.http.protocol import gone, pause_of, wire_of
from overlay.server.http.recorder import RecordedRequest

# A reset overtakes what is still on its way, so it waits so many seconds.
_FLUSH = 0.02
_GZIP = 31


async def _cut(effect: Cut, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    wire, over = wire_of(scope), False
    left = effect.after if effect.lines is None else effect.lines

    async def until_cut(message: Message) -> None:
        nonlocal left, over
        if over:
            return
        if message["type"] == "http.response.start":
            await _announce(message, effect, scope, send)
            return
        assert left is not None
        piece, left = _before(effect, message.get("body", b""), left)
        over = not left or (effect.framing == "close" and not message.get("more_body"))
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


def _before(cut: Cut, body: bytes, left: int) -> tuple[bytes, int]:
    """What of a piece of the body comes before the cut, and how many bytes or lines are left to come."""
    if cut.lines is None:
        return body[:left], max(0, left - len(body))
    end = 0
    while left and (found := body.find(b"\n", end)) >= 0:
        left, end = left - 1, found + 1
    return (body if left else body[:end]), left


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
    lines = [f"HTTP/1.1 {request.status} {responses.get(start['status'], '')}"]
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


async def _rewrite(effect: Rewriting, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    def changed(body: bytes, media_type: str) -> bytes:
        # A file's content may be JSON, too, and is no object of the API.
        if media_type != "application/json":
            return body
        return msgspec.json.encode(rewritten(effect, msgspec.json.decode(body)))

    await _change(changed, app, scope, receive, send)


async def _spoil(effect: LineEffect, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    await _change(lambda body, _: spoiled(effect, body), app, scope, receive, send)


async def _change(
    changed: Callable[[bytes, str], bytes], app: ASGIApp, scope: Scope, receive: Receive, send: Send
) -> None:
    """Send what `changed` makes of a good answer's body and media type. The whole body is held in memory."""
    # A range would be one of the true body.
    whole = {**scope, "headers": [each for each in scope["headers"] if each[0] != b"range"]}
    head: Message = {}
    pieces: list[bytes] = []

    async def held_back(message: Message) -> None:
        if message["type"] == "http.response.start":
            head.update(message)
            return
        pieces.append(message.get("body", b""))
        if not message.get("more_body"):
            headers, body = MutableHeaders(scope=head), b"".join(pieces)
            if head["status"] == HTTPStatus.OK:
                body = changed(body, headers.get("content-type", ""))
            headers["content-length"] = str(len(body))
            await send(head)
            await send({"type": "http.response.body", "body": body, "more_body": False})

    await app(whole, receive, held_back)


Distortion = Callable[[Any, ASGIApp, Scope, Receive, Send], Awaitable[None]]
DISTORTIONS: dict[type[Any], Distortion] = {
    Cut: _cut,
    Drip: _drip,
    CloseAfter: _close_after,
    Gzip: _gzip,
    **dict.fromkeys(get_args(Rewriting), _rewrite),
    **dict.fromkeys(get_args(LineEffect), _spoil),
}
