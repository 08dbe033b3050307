"""Answers from a real OpenAI-compatible server: what turns a vLLM, llama.cpp or Ollama into a Batch API.

Each line's body goes to its url at the server, byte for byte, and what the server answers stands in the output. So
many lines are under way at once; one that meets a full or restarting server waits and is tried again, by the rules
that the SDK itself goes by. Which endpoints and models there are is for that server to say: its list of models is
passed on, and a file may name any path (`/v1/score`, `/v1/rerank`) and several models unless limits say otherwise.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import msgspec

from overlay.errors import APIConnectionError, APIError
from overlay.server.answers.source import Head, Outcome, outcome
from overlay.server.refusals import Refusal, error_body
from overlay.server.settings import Limits
from overlay.wire import retry
from overlay.wire.refusals import status_error

_BAD_GATEWAY = 502
_LONGEST_CONNECT = 10.0
# A list of models is no work, and whoever asks for it is waiting.
_LONGEST_LIST = 30.0
_NO_SUCH_PATH = frozenset({404, 405})
_FIRST_ERROR_STATUS = 400

_head = msgspec.json.Decoder(Head)


class _Named(msgspec.Struct):
    id: str


class _List(msgspec.Struct):
    data: list[msgspec.Raw]


class _Wishes(msgspec.Struct):
    stream: Any = None


class _AnswerError(Exception):
    """What the server answered, where it is no success."""

    def __init__(self, status: int, body: bytes, request_id: str | None, reason: APIError) -> None:
        super().__init__(str(reason))
        self.status, self.body, self.request_id, self.reason = status, body, request_id, reason


def upstream(
    url: str,
    *,
    api_key: str | None = None,
    at_once: int = 16,
    tries: int = 8,
    timeout: float = 600.0,
    headers: Mapping[str, str] | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> "Upstream":
    """Answer lines by forwarding them to the server at `url`, with or without a last `/v1`.

    `api_key` is sent as the bearer token; None sends on the token that the batch was created with, which a service
    that is started again no longer knows. At most `at_once` lines are under way, each is tried `tries` times, and
    one answer may take `timeout` seconds. Raises `ValueError` for what is not an http or https URL.
    """
    return Upstream(
        url,
        api_key=api_key,
        at_once=at_once,
        tries=tries,
        timeout=timeout,
        headers=headers,
        transport=transport,
    )


class Upstream:
    """A source of answers; made by `upstream`."""

    batch_of = 1
    limits = Limits.lenient()
    """What a service refuses by itself, unless it is given other limits."""

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None,
        at_once: int,
        tries: int,
        timeout: float,
        headers: Mapping[str, str] | None,
        transport: httpx.AsyncBaseTransport | None,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"an upstream is an http or https URL, and this is {url!r}")
        try:
            _ = parts.port, httpx.URL(url)
        except (ValueError, httpx.InvalidURL) as error:
            raise ValueError(f"an upstream is an http or https URL, and this is {url!r}: {error}") from None
        # The url of a line begins with /v1, whatever the server puts before it.
        self._base = url.rstrip("/").removesuffix("/v1")
        self._host = parts.hostname
        self._api_key = api_key
        self._tries = tries
        self._options: dict[str, Any] = {
            "headers": {"Content-Type": "application/json", **(headers or {})},
            "timeout": httpx.Timeout(timeout, connect=_LONGEST_CONNECT, pool=None),
            "limits": httpx.Limits(max_connections=at_once, max_keepalive_connections=at_once),
            "transport": transport,
        }
        self._client: httpx.AsyncClient | None = None
        self.at_once = at_once

    def __repr__(self) -> str:
        return f"upstream({self._base!r})"

    async def answer(self, lines: Sequence[bytes], token: str | None) -> Sequence[Outcome]:
        head = _head.decode(lines[0])
        if msgspec.json.decode(head.body, type=_Wishes).stream:
            message = "A line of a batch cannot ask for a stream."
            return [outcome(head.custom_id, 400, error_body(message, param="stream"))]
        return [await self._forward(head, token)]

    async def models(self, name: str | None, token: str | None) -> tuple[int, bytes]:
        """The server's list of models, or its model of that name, as a status and JSON.

        Raises `Refusal` where there is none, or the server cannot be reached or answers something else.
        A server that only lists its models, as vLLM does, is asked for the list.
        """
        if name is None:
            return await self._get("/v1/models", token)
        try:
            status, model = await self._get(f"/v1/models/{quote(name, safe='')}", token)
        except Refusal as refusal:
            status, model = refusal.status, refusal.body
        if status not in _NO_SUCH_PATH:
            return status, model
        status, models = await self._get("/v1/models", token)
        if status >= _FIRST_ERROR_STATUS:
            return status, models
        listed = _model_in(models, name)
        if listed is None:
            raise Refusal(404, f"The model {name!r} does not exist", param="model", code="model_not_found")
        return status, listed

    async def close(self) -> None:
        if self._client:
            await self._client.aclose()
            self._client = None

    async def _forward(self, head: Head, token: str | None) -> Outcome:
        for attempt in range(self._tries):
            try:
                return await self._send(head, token)
            except _AnswerError as error:
                wait = retry.delay(error.reason, attempt)
                if wait is None or attempt + 1 == self._tries:
                    return outcome(head.custom_id, error.status, error.body, error.request_id)
                await asyncio.sleep(wait)
        raise AssertionError("a line is tried at least once")

    async def _ask(self, method: str, path: str, token: str | None, **options: Any) -> httpx.Response:
        """Raises `APIConnectionError`."""
        client = self._client = self._client or httpx.AsyncClient(**self._options)
        key = self._api_key or token
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            return await client.request(method, self._base + path, headers=headers, **options)
        except httpx.HTTPError as error:
            # The text of the exception may quote what the server sent; its name says enough.
            raise APIConnectionError(f"{self._host} could not be reached: {type(error).__name__}") from error

    async def _get(self, path: str, token: str | None) -> tuple[int, bytes]:
        """What the server answers in JSON. Raises `Refusal` for anything else."""
        try:
            response = await self._ask("GET", path, token, timeout=_LONGEST_LIST)
        except APIConnectionError as error:
            raise Refusal(_BAD_GATEWAY, str(error), kind="server_error", code="upstream_error") from error
        status, body = response.status_code, _on_one_line(response.content)
        if body is None or response.is_redirect:
            reason = f"{self._host} answered GET {path} with {status} and no JSON."
            status = status if status in _NO_SUCH_PATH else _BAD_GATEWAY
            raise Refusal(status, reason, kind="server_error", code="upstream_error")
        return status, body

    async def _send(self, head: Head, token: str | None) -> Outcome:
        try:
            response = await self._ask("POST", head.url, token, content=bytes(head.body))
        except APIConnectionError as error:
            raise _bad_gateway(error) from error
        request_id = response.headers.get("x-request-id")
        body = _on_one_line(response.content)
        if response.is_success and body is not None:
            return outcome(head.custom_id, response.status_code, body, request_id)
        reason = status_error(
            response.status_code if not response.is_success else _BAD_GATEWAY,
            response.headers,
            response.content,
            host=self._host,
            call=f"POST {head.url}",
        )
        if response.is_error and body is not None:
            raise _AnswerError(response.status_code, body, request_id, reason)
        raise _bad_gateway(reason, request_id)


def _model_in(models: bytes, name: str) -> bytes | None:
    """The model of that name in a list of models, as it stands there."""
    try:
        rows = msgspec.json.decode(models, type=_List).data
        return next((bytes(row) for row in rows if msgspec.json.decode(row, type=_Named).id == name), None)
    except msgspec.MsgspecError:
        return None


def _on_one_line(content: bytes) -> bytes | None:
    """The same JSON without white space, every number as it was written; None for what is not JSON."""
    try:
        return msgspec.json.format(content.decode(), indent=-1).encode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _bad_gateway(reason: APIError, request_id: str | None = None) -> _AnswerError:
    """What the server sent, or did not, is no answer that a client of the API could read."""
    return _AnswerError(
        _BAD_GATEWAY, error_body(str(reason), kind="server_error", code="upstream_error"), request_id, reason
    )
