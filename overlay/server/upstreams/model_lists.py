"""The models that servers say they have, as one list."""

import asyncio
from collections.abc import Sequence
from typing import cast
from urllib.parse import quote

import msgspec

from overlay.server.refusals import Refusal
from overlay.server.upstreams.link import NoReplyError, SlowError, TooLargeError
from overlay.server.upstreams.server import Upstream
from overlay.server.upstreams.verdicts import on_one_line

_BAD_GATEWAY = 502
# A list of models is no work, and whoever asks for it is waiting.
_LONGEST_LIST = 30.0
# How long those that are well may take to say their lists, in seconds, while another hangs.
_LISTS_TOGETHER = 2.0
# To a server, these would be places in its tree of paths.
_DOTS = frozenset({".", ".."})
_NO_SUCH_PATH = frozenset({404, 405})
_FIRST_ERROR_STATUS, _FIRST_REDIRECT = 400, 300


class _Named(msgspec.Struct):
    id: str


class _List(msgspec.Struct):
    data: list[msgspec.Raw]


_decode_named = msgspec.json.Decoder(_Named).decode
_decode_list = msgspec.json.Decoder(_List).decode


class ModelLists:
    """Asks the servers each time: who asks wants to know what there is now."""

    def __init__(self, servers: Sequence[Upstream]) -> None:
        self._servers = servers

    async def models(self, name: str | None, key: str | None) -> tuple[int, bytes]:
        """The server's list of models, or its model of that name, as a status and JSON.

        Raises `Refusal` where there is none, or the server cannot be reached or answers something else.
        A server that only lists its models, as vLLM does, is asked for the list.
        """
        if len(self._servers) > 1:
            return await self._models_of_all(name, key)
        if name is None:
            return await self._get("/v1/models", key)
        if name in _DOTS:
            raise _no_model(name)
        try:
            status, model = await self._get(f"/v1/models/{quote(name, safe='')}", key)
        except Refusal as refusal:
            status, model = refusal.status, refusal.body
        if status not in _NO_SUCH_PATH:
            return status, model
        status, models = await self._get("/v1/models", key)
        if status >= _FIRST_ERROR_STATUS:
            return status, models
        listed = dict(_models_in(models)).get(name)
        if listed is None:
            raise _no_model(name)
        return status, listed

    async def _models_of_all(self, name: str | None, key: str | None) -> tuple[int, bytes]:
        """The models of all servers that say theirs, each once, or the one of that name."""
        answers = await self._lists(key)
        models: dict[str, bytes] = {}
        for answer in answers:
            if isinstance(answer, tuple) and answer[0] < _FIRST_ERROR_STATUS:
                for listed, row in _models_in(answer[1]):
                    models.setdefault(listed, row)
        if not models:
            for answer in answers:
                if isinstance(answer, BaseException):
                    raise answer
            return cast("tuple[int, bytes]", answers[0])
        if name is None:
            return 200, b'{"object":"list","data":[' + b",".join(models.values()) + b"]}"
        if name not in models:
            raise _no_model(name)
        return 200, models[name]

    async def _lists(self, key: str | None) -> list[tuple[int, bytes] | BaseException]:
        """What the servers say of their models. One that hangs is not waited for where another has said its own."""
        asked = [asyncio.ensure_future(self._get("/v1/models", key, each)) for each in self._servers]
        waiting = set(asked)
        try:
            _, waiting = await asyncio.wait(waiting, timeout=_LISTS_TOGETHER)
            while waiting and not any(each.done() and _is_list(each) for each in asked):
                _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waiting:
                each.cancel()
            answers = await asyncio.gather(*asked, return_exceptions=True)
        return [each for each in answers if not isinstance(each, asyncio.CancelledError)]

    async def _get(self, path: str, key: str | None, server: Upstream | None = None) -> tuple[int, bytes]:
        """What the server answers in JSON. Raises `Refusal` for anything else."""
        server = server or self._servers[0]
        host = server.address.host
        try:
            reply = await server.live_link.ask("GET", path, key=key, within=_LONGEST_LIST)
        except (NoReplyError, SlowError, TooLargeError) as error:
            reason = str(error) or f"{host} did not answer in time."
            raise Refusal(_BAD_GATEWAY, reason, kind="server_error", code="upstream_error") from error
        status, body = reply.status, on_one_line(reply.body)
        if body is None or _FIRST_REDIRECT <= status < _FIRST_ERROR_STATUS:
            reason = f"{host} answered GET {path} with {status} and no JSON."
            status = status if status in _NO_SUCH_PATH else _BAD_GATEWAY
            raise Refusal(status, reason, kind="server_error", code="upstream_error")
        return status, body


def _is_list(asked: asyncio.Task[tuple[int, bytes]]) -> bool:
    return asked.exception() is None and asked.result()[0] < _FIRST_ERROR_STATUS


def _no_model(name: str) -> Refusal:
    return Refusal(404, f"The model {name!r} does not exist", param="model", code="model_not_found")


def _models_in(models: bytes) -> list[tuple[str, bytes]]:
    """The models in a list, by name, each as it stands there."""
    try:
        rows = _decode_list(models).data
        return [(_decode_named(row).id, bytes(row)) for row in rows]
    except msgspec.MsgspecError:
        return []
