"""Where faults happen: each effect is a small ASGI application around the next."""

import asyncio
import http
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from overlay.emulator import faults
from overlay.emulator.clock import Timeline
from overlay.emulator.problems import Refusal, refused
from overlay.emulator.protocol import EXTENSION, Wire
from overlay.emulator.record import RecordedRequest

_FLUSH = 0.02


class Faulty:
    """Lets each request meet its faults on the way to `app`."""

    def __init__(self, app: ASGIApp, faults: faults.Faults, timeline: Timeline) -> None:
        self._app = app
        self._faults = faults
        self._timeline = timeline
        self._leaving = asyncio.Event()

    def leave(self) -> None:
        """End every wait, because the service ends."""
        self._leaving.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app
        for effect in reversed(self._faults.meet(scope["method"], scope["path"])):
            app = self._around(effect, app)
        await app(scope, receive, send)

    def _around(self, effect: faults.Effect, app: ASGIApp) -> ASGIApp:
        handler = _HANDLERS[type(effect)]

        async def met(scope: Scope, receive: Receive, send: Send) -> None:
            await handler(self, effect, app, scope, receive, send)

        return met

    async def reject(
        self, effect: faults.Reject, _: ASGIApp, scope: Scope, receive: Receive, send: Send
    ) -> None:
        refusal = Refusal(
            effect.status, effect.message, code=effect.code, kind=effect.kind, headers=effect.headers
        )
        await refused(refusal)(scope, receive, send)

    async def literally(
        self, effect: faults.Literally, _: ASGIApp, scope: Scope, receive: Receive, send: Send
    ) -> None:
        body = effect.body.encode()
        response: Response
        if effect.repeat == 1:
            response = Response(body, effect.status, effect.headers, media_type=effect.media_type)
        else:
            pieces = (body for _ in range(effect.repeat))
            response = StreamingResponse(pieces, effect.status, effect.headers, media_type=effect.media_type)
        await response(scope, receive, send)

    async def reset(self, _: faults.Reset, __: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        del send
        _wire(scope).reset()
        await _gone(receive)

    async def silence(
        self, effect: faults.Silence, _: ASGIApp, scope: Scope, receive: Receive, send: Send
    ) -> None:
        del send
        waits = [asyncio.ensure_future(_gone(receive)), asyncio.ensure_future(self._pause(effect.seconds))]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        _wire(scope).close()
        for each in waits:
            each.cancel()
        await _gone(receive)

    async def delay(
        self, effect: faults.Delay, app: ASGIApp, scope: Scope, receive: Receive, send: Send
    ) -> None:
        async def late(message: Message) -> None:
            if message["type"] == "http.response.start":
                await self._pause(effect.after)
            await send(message)

        await self._pause(effect.before)
        await app(scope, receive, late)

    async def accept(
        self, effect: faults.Accept, app: ASGIApp, scope: Scope, receive: Receive, send: Send
    ) -> None:
        await app(scope, receive, _nobody)
        await self._around(effect.then, app)(scope, receive, send)

    async def late_accept(
        self, effect: faults.LateAccept, app: ASGIApp, scope: Scope, receive: Receive, send: Send
    ) -> None:
        body = b"".join([piece async for piece in _body(receive)])
        moment = self._timeline.now() + effect.seconds
        detached = {**scope, "extensions": {}}

        async def again() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def later() -> None:
            await self._timeline.sleep_until(moment)
            await app(detached, again, _nobody)

        self._timeline.start(later())
        await self._around(effect.then, app)(scope, receive, send)

    async def lag_list(
        self, effect: faults.LagList, app: ASGIApp, scope: Scope, receive: Receive, send: Send
    ) -> None:
        scope["overlay.list_lag"] = effect.seconds
        await app(scope, receive, send)

    async def linger(
        self, effect: faults.Linger, app: ASGIApp, scope: Scope, receive: Receive, send: Send
    ) -> None:
        scope["overlay.linger"] = effect.seconds
        await app(scope, receive, send)

    async def cut(self, effect: faults.Cut, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        wire, left, over = _wire(scope), effect.after, False

        async def until_cut(message: Message) -> None:
            nonlocal left, over
            if over:
                return
            if message["type"] == "http.response.start":
                await self._announce(message, effect, scope, send)
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
                # A reset overtakes what is still on its way.
                await self._pause(_FLUSH)
                wire.reset()
            wire.close()
            await _gone(receive)

    async def drip(
        self, effect: faults.Drip, app: ASGIApp, scope: Scope, receive: Receive, send: Send
    ) -> None:
        async def slowly(message: Message) -> None:
            body: bytes = message.get("body", b"")
            for start in range(0, len(body), effect.size):
                await self._pause(effect.seconds)
                piece = body[start : start + effect.size]
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            if message["type"] == "http.response.start":
                await send(message)
            elif not message.get("more_body"):
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        await app(scope, receive, slowly)

    async def close_after(
        self, effect: faults.CloseAfter, app: ASGIApp, scope: Scope, receive: Receive, send: Send
    ) -> None:
        wire = _wire(scope)

        async def then_close(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                (wire.close if effect.moment == "answer" else wire.doom)()

        await app(scope, receive, then_close)

    async def gzip(self, _: faults.Gzip, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        packer = zlib.compressobj(wbits=31)

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

    async def _announce(self, start: Message, effect: faults.Cut, scope: Scope, send: Send) -> None:
        headers = MutableHeaders(scope=start)
        if effect.framing != "length":
            del headers["content-length"]
        if effect.framing != "close":
            await send(start)
            return
        # h11 frames the body of every HTTP/1.1 answer; one that only the connection's end ends is written by hand.
        request: RecordedRequest = scope["overlay.request"]
        request.status = start["status"]
        headers["x-request-id"], headers["connection"] = request.request_id, "close"
        lines = [f"HTTP/1.1 {request.status} {http.HTTPStatus(start['status']).phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        _wire(scope).write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))

    async def _pause(self, seconds: float | None) -> None:
        """In real time; ends early when the service does."""
        if seconds is None or seconds > 0:
            try:
                await asyncio.wait_for(self._leaving.wait(), seconds)
            except TimeoutError:
                return


_Handler = Callable[[Faulty, Any, ASGIApp, Scope, Receive, Send], Awaitable[None]]
_HANDLERS: dict[type[Any], _Handler] = {
    faults.Reject: Faulty.reject,
    faults.Literally: Faulty.literally,
    faults.Reset: Faulty.reset,
    faults.Silence: Faulty.silence,
    faults.Delay: Faulty.delay,
    faults.Accept: Faulty.accept,
    faults.LateAccept: Faulty.late_accept,
    faults.LagList: Faulty.lag_list,
    faults.Linger: Faulty.linger,
    faults.Cut: Faulty.cut,
    faults.Drip: Faulty.drip,
    faults.CloseAfter: Faulty.close_after,
    faults.Gzip: Faulty.gzip,
}


def _wire(scope: Scope) -> Wire:
    wire = scope.get("extensions", {}).get(EXTENSION)
    if wire is None:
        raise RuntimeError("this fault harms the connection, and needs the service's own server")
    assert isinstance(wire, Wire)
    return wire


async def _nobody(message: Message) -> None:
    """Send to nobody."""


async def _gone(receive: Receive) -> None:
    """Return when the connection has ended: an application that returns before gets an error page sent for it."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _body(receive: Receive) -> Any:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        yield message.get("body", b"")
        more = message.get("more_body", False)
