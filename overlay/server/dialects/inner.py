"""A request to the service behind the layer, and its answer, which is held back to be changed."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from overlay.lines import is_object

_MOST = 100


@dataclass
class Answer:
    """What came back: JSON as `value`; anything else has gone out already, and `start` is None."""

    start: Message | None = None
    body: bytes = b""
    value: Any = None

    @property
    def status(self) -> int:
        return self.start["status"] if self.start else 0


def given(body: bytes) -> Receive:
    """What receives a body that is at hand."""

    async def pieces() -> AsyncIterator[bytes]:
        yield body

    return streamed(pieces())


def streamed(pieces: AsyncIterator[bytes]) -> Receive:
    """What receives a body in pieces, and then nothing: whoever waits for a client to leave waits."""
    ended = False

    async def receive() -> Message:
        nonlocal ended
        if ended:
            await asyncio.Event().wait()
        piece = await anext(pieces, None)
        ended = piece is None
        return {"type": "http.request", "body": piece or b"", "more_body": not ended}

    return receive


@dataclass
class Call:
    """One request, as the layer sends it on."""

    app: ASGIApp
    scope: Scope
    receive: Receive
    headers: dict[str, str] = field(default_factory=dict[str, str])

    def to(self, method: str, path: str, query: str = "", body: bytes = b"") -> "Call":
        """Another request in the name of the same client."""
        scope = {**self.scope, "method": method, "path": path, "query_string": query.encode()}
        scope["headers"] = list(self.scope["headers"])
        return Call(self.app, scope, given(body))

    async def answer(self, send: Send | None = None) -> Answer:
        """Hold JSON back; pass anything else on, where there is somebody to send it to."""
        held = Answer()
        passing = False

        async def hold(message: Message) -> None:
            nonlocal passing
            if message["type"] == "http.response.start":
                passing = send is not None and not _is_json(message)
                held.start = None if passing else message
            elif not passing:
                held.body += message.get("body", b"")
            if passing and send is not None:
                await send(message)

        await self.app(self.scope, self.receive, hold)
        if held.start is not None and held.body:
            try:
                held.value = msgspec.json.decode(held.body)
            except (msgspec.DecodeError, UnicodeDecodeError):
                held.value = None
        return held

    async def everything(self, path: str) -> list[Any]:
        """All entries of a list, over all of its pages; of one that is strange, those before it stands still."""
        found: list[Any] = []
        after = ""
        while True:
            answer = await self.to(
                "GET", path, f"limit={_MOST}" + (f"&after={after}" if after else "")
            ).answer()
            page: dict[str, Any] = answer.value if is_object(answer.value) else {}
            found += page.get("data") or []
            if not page.get("has_more") or page.get("last_id") in {None, after}:
                return found
            after = page["last_id"]


async def sent(send: Send, start: Message, value: Any, status: int | None = None) -> None:
    """Answer with JSON, with the headers that there were."""
    body = msgspec.json.encode(value)
    message = {**start, "status": status or start["status"], "headers": list(start.get("headers", ()))}
    MutableHeaders(scope=message)["content-length"] = str(len(body))
    await send(message)
    await send({"type": "http.response.body", "body": body})


def _is_json(message: Message) -> bool:
    return (
        Headers(raw=list(message.get("headers", ()))).get("content-type", "").startswith("application/json")
    )
