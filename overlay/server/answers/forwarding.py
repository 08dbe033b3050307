"""Answers from a real OpenAI-compatible server: what turns a vLLM, llama.cpp or Ollama into a Batch API.

Each line's body goes to its url at the server, byte for byte, and what the server answers stands in the output. So
many lines are under way at once; one that meets a full or restarting server waits and is tried again, by the rules
that the SDK itself goes by.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec

from overlay.errors import APIConnectionError, APIError
from overlay.server.answers.source import Head, Outcome, outcome
from overlay.server.refusals import error_body
from overlay.wire import retry
from overlay.wire.refusals import status_error

_BAD_GATEWAY = 502
_LONGEST_CONNECT = 10.0

_head = msgspec.json.Decoder(Head)


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

    async def _send(self, head: Head, token: str | None) -> Outcome:
        client = self._client = self._client or httpx.AsyncClient(**self._options)
        key = self._api_key or token
        try:
            response = await client.post(
                self._base + head.url,
                content=bytes(head.body),
                headers={"Authorization": f"Bearer {key}"} if key else {},
            )
        except httpx.HTTPError as error:
            # The text of the exception may quote what the server sent; its name says enough.
            unreached = APIConnectionError(f"{self._host} could not be reached: {type(error).__name__}")
            raise _bad_gateway(unreached) from error
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
