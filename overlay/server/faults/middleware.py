"""Where faults happen: each effect is a small ASGI application around the next. Those that spoil an answer on its
way out stand in distortions.py.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from typing import Any

from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from overlay.server.clock import Timeline
from overlay.server.faults import kinds
from overlay.server.faults.distortions import DISTORTIONS
from overlay.server.faults.listing import ListEffect, page, weather
from overlay.server.faults.matching import Faults
from overlay.server.faults.results import LineEffect
from overlay.server.faults.rewriting import Rewriting
from overlay.server.http.protocol import gone, wire_of
from overlay.server.refusals import Refusal, refused


class FaultMiddleware:
    """Lets each request meet its faults on the way to `app`."""

    def __init__(self, app: ASGIApp, faults: Faults, timeline: Timeline) -> None:
        self._app = app
        self._faults = faults
        self._timeline = timeline
        self._leaving = asyncio.Event()

    def leave(self) -> None:
        """End every wait, because the service ends."""
        self._leaving.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app
        scope["overlay.pause"] = self._pause
        effects = self._faults.meet(scope["method"], scope["path"])
        if (listed := weather(effects, scope["query_string"])) is not None:
            scope["overlay.page"] = partial(page, listed, now=self._timeline.now())
        # What an answer says is changed first, and then the way in which it is sent.
        effects.sort(key=lambda effect: isinstance(effect, Rewriting | LineEffect))
        for effect in reversed(effects):
            if not isinstance(effect, ListEffect):
                app = self._around(effect, app)
        await app(scope, receive, send)

    def _around(self, effect: kinds.Effect, app: ASGIApp) -> ASGIApp:
        async def met(scope: Scope, receive: Receive, send: Send) -> None:
            if distort := DISTORTIONS.get(type(effect)):
                await distort(effect, app, scope, receive, send)
            else:
                await _HANDLERS[type(effect)](self, effect, app, scope, receive, send)

        return met

    async def reject(
        self, effect: kinds.Reject, _: ASGIApp, scope: Scope, receive: Receive, send: Send
    ) -> None:
        refusal = Refusal(
            effect.status, effect.message, code=effect.code, kind=effect.kind, headers=effect.headers
        )
        await refused(refusal)(scope, receive, send)

    async def literally(
        self, effect: kinds.Literally, _: ASGIApp, scope: Scope, receive: Receive, send: Send
    ) -> None:
        body = effect.body.encode()
        response: Response
        if effect.repeat == 1:
            response = Response(body, effect.status, effect.headers, media_type=effect.media_type)
        else:
            pieces = (body for _ in range(effect.repeat))
            response = StreamingResponse(pieces, effect.status, effect.headers, media_type=effect.media_type)
        await response(scope, receive, send)

    async def reset(self, _: kinds.Reset, __: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        del send
        wire_of(scope).reset()
        await gone(receive)

    async def silence(
        self, effect: kinds.Silence, _: ASGIApp, scope: Scope, receive: Receive, send: Send
    ) -> None:
        del send
        waits = [asyncio.ensure_future(gone(receive)), asyncio.ensure_future(self._pause(effect.seconds))]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        wire_of(scope).close()
        for each in waits:
            each.cancel()
        await gone(receive)

    async def delay(
        self, effect: kinds.Delay, app: ASGIApp, scope: Scope, receive: Receive, send: Send
    ) -> None:
        async def late(message: Message) -> None:
            if message["type"] == "http.response.start":
                await self._pause(effect.after)
            await send(message)

        await self._pause(effect.before)
        await app(scope, receive, late)

    async def accept(
        self, effect: kinds.Accept, app: ASGIApp, scope: Scope, receive: Receive, send: Send
    ) -> None:
        await app(scope, receive, _nobody)
        await self._around(effect.then, app)(scope, receive, send)

    async def late_accept(
        self, effect: kinds.LateAccept, app: ASGIApp, scope: Scope, receive: Receive, send: Send
    ) -> None:
        body = b"".join([piece async for piece in _body(receive)])
        moment = self._timeline.now() + effect.seconds
        detached: Scope = {**scope, "extensions": {}}

        async def again() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def later() -> None:
            await self._timeline.sleep_until(moment)
            await app(detached, again, _nobody)

        self._timeline.start(later())
        await self._around(effect.then, app)(scope, receive, send)

    async def lag_list(
        self, effect: kinds.LagList, app: ASGIApp, scope: Scope, receive: Receive, send: Send
    ) -> None:
        scope["overlay.list_lag"] = effect.seconds
        await app(scope, receive, send)

    async def linger(
        self, effect: kinds.Linger, app: ASGIApp, scope: Scope, receive: Receive, send: Send
    ) -> None:
        scope["overlay.linger"] = effect.seconds
        await app(scope, receive, send)

    async def pending(
        self, effect: kinds.Pending, app: ASGIApp, scope: Scope, receive: Receive, send: Send
    ) -> None:
        scope["overlay.pending"] = effect.seconds, effect.refused
        await app(scope, receive, send)

    async def _pause(self, seconds: float | None) -> None:
        """In real time; ends early when the service does."""
        if seconds is None or seconds > 0:
            try:
                await asyncio.wait_for(self._leaving.wait(), seconds)
            except TimeoutError:
                return


_Handler = Callable[[FaultMiddleware, Any, ASGIApp, Scope, Receive, Send], Awaitable[None]]
_HANDLERS: dict[type[Any], _Handler] = {
    kinds.Reject: FaultMiddleware.reject,
    kinds.Literally: FaultMiddleware.literally,
    kinds.Reset: FaultMiddleware.reset,
    kinds.Silence: FaultMiddleware.silence,
    kinds.Delay: FaultMiddleware.delay,
    kinds.Accept: FaultMiddleware.accept,
    kinds.LateAccept: FaultMiddleware.late_accept,
    kinds.LagList: FaultMiddleware.lag_list,
    kinds.Linger: FaultMiddleware.linger,
    kinds.Pending: FaultMiddleware.pending,
}


async def _nobody(message: Message) -> None:
    """Send to nobody."""


async def _body(receive: Receive) -> AsyncGenerator[bytes]:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        yield message.get("body", b"")
        more = message.get("more_body", False)
