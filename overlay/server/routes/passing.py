"""Live requests, passed through to a server behind: one address serves them and batches.

Whatever is no path of the service's own goes on as it came, and the answer comes back as it comes, streams too.
Only the credentials change: see `Forwarding.key_for`. What `Limits` say of endpoints and models holds here as well.
A live request waits for nothing, and counts: the lines of batches get what it leaves of `at_once`.
"""

import asyncio
import re
from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple

import aiohttp
import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from overlay.server.http.hop_headers import sent_on
from overlay.server.http.protocol import wire_of
from overlay.server.refusals import Refusal
from overlay.server.settings import Limits, is_plain_path
from overlay.server.upstreams.forwarding import Forwarding
from overlay.server.upstreams.server import Upstream

_LARGEST = 64 * 1024 * 1024
_CREDENTIALS = frozenset({"authorization", "api-key", "x-api-key", "proxy-authorization", "cookie"})
# That of the next request is made anew.
_LENGTH = frozenset({"content-length"})
_OUR_OWN = ("/v1/batches", "/v1/files", "/v1/uploads")
_SLASHES = re.compile("//+")
_DATE = frozenset({"date", "server"})
# A server answers TRACE with the request as it came, its key included; CONNECT asks for a tunnel.
_NOT_PASSED = frozenset({"TRACE", "CONNECT"})
_FIRST_STATUS, _LAST_STATUS = 200, 599


class _Named(msgspec.Struct):
    model: str = ""


_decode_named = msgspec.json.Decoder(_Named).decode


class _Live(NamedTuple):
    scope: Scope
    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes


class Passing:
    """The ASGI application of whatever the service has no path for."""

    def __init__(self, source: Forwarding, limits: Limits) -> None:
        self._source = source
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        ours = _is_our_own(path)
        if scope["query_string"]:
            path += "?" + scope["query_string"].decode("latin-1")
        if scope["method"] in _NOT_PASSED:
            raise HTTPException(405)
        if ours or not is_plain_path(path):
            raise HTTPException(404)
        if not self._limits.takes_endpoint(scope["path"]):
            raise HTTPException(404)
        request = Request(scope, receive)
        body = await _read(request)
        model = _model_in(request, body)
        if self._limits.models is not None and model and model not in self._limits.models:
            raise _no_model(model)
        passing = asyncio.ensure_future(self._pass(request, path, body, model, send))
        leaving = asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait({passing, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not passing.done():
                # Nobody waits for the answer: the server need not finish it.
                raise ClientDisconnect
            passing.result()
        finally:
            for each in (passing, leaving):
                each.cancel()
            await asyncio.wait({passing, leaving})

    async def _pass(self, request: Request, path: str, body: bytes, model: str, send: Send) -> None:
        key = self._source.key_for(request.scope.get("overlay.token"))
        headers = sent_on(request.headers.items(), without=_CREDENTIALS | _LENGTH)
        if key:
            headers.append(("Authorization", f"Bearer {key}"))
        refusal = _no_model(model)
        for server in self._source.for_live(model):
            host = server.address.host
            try:
                await self._pass_to(server, _Live(request.scope, request.method, path, headers, body), send)
            except aiohttp.ClientConnectorError:
                # Nothing was sent: another may have it.
                refusal = _bad_gateway(f"{host} could not be reached.")
            else:
                return
        raise refusal

    async def _pass_to(self, server: Upstream, live: "_Live", send: Send) -> None:
        server.live += 1
        begun, host = False, server.address.host
        try:
            async with server.live_link.passing(
                live.method, live.path, headers=live.headers, body=live.body
            ) as response:
                if not _FIRST_STATUS <= response.status <= _LAST_STATUS:
                    raise _bad_gateway(f"{host} answered with the status {response.status}.")
                begun = True
                await send(
                    {
                        "type": "http.response.start",
                        "status": response.status,
                        "headers": _encoded(
                            sent_on(
                                response.headers.items(),
                                without=_DATE | _LENGTH if live.method == "HEAD" else _DATE,
                            )
                        ),
                    }
                )
                async for piece in response.content.iter_any():
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
        except aiohttp.ClientConnectorError:
            raise
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            if begun:
                # Half an answer must not look like a whole one: the connection breaks off here too.
                wire_of(live.scope).close()
                await asyncio.Event().wait()
            if isinstance(error, TimeoutError):
                raise _bad_gateway(f"{host} did not answer in time.", 504) from error
            raise _bad_gateway(f"{host} could not be reached: {type(error).__name__}.") from error
        finally:
            server.live -= 1
            self._source.woken()


async def _read(request: Request) -> bytes:
    pieces: list[bytes] = []
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > _LARGEST:
            raise Refusal(413, f"The body of the request is larger than {_LARGEST // 2**20} MiB.")
        pieces.append(piece)
    return b"".join(pieces)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _model_in(request: Request, body: bytes) -> str:
    """The model that a request names; empty where it names none."""
    if body and "json" in request.headers.get("content-type", "json"):
        with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return _decode_named(body).model
    return ""


def _is_our_own(path: str) -> bool:
    """Whether a server that is lenient about paths could take it for one of the service's."""
    plain = _SLASHES.sub("/", path).lower() + "/"
    return any(plain.startswith(f"{each}/") for each in _OUR_OWN)


def _encoded(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), text.encode("latin-1", "replace")) for name, text in headers]


def _no_model(model: str) -> Refusal:
    return Refusal(404, f"The model {model!r} does not exist", param="model", code="model_not_found")


def _bad_gateway(reason: str, status: int = 502) -> Refusal:
    return Refusal(status, reason, kind="server_error", code="upstream_error")
