"""The connections to one server, for one event loop: a request out, a reply in, whole.

aiohttp rather than httpx, whose pool costs more for each request the more of them are under way: see
docs/explanation/server-speed.md.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple
from urllib.request import getproxies, proxy_bypass

import aiohttp
from multidict import CIMultiDict
from yarl import URL

LARGEST = 128 * 1024 * 1024
"""Bytes of one answer; one that is larger is not read to its end."""
_LONGEST_CONNECT = 10.0
_KEPT_ALIVE = 30.0
# Lines name paths: with queries, there may be many.
_MOST_URLS = 256


class Reply(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


class NoReplyError(Exception):
    """The server could not be reached, or broke off; its text is for people, and holds nothing that was sent."""


class SlowError(Exception):
    """No whole reply within the time that it may take."""


class TooLargeError(Exception):
    """The reply is larger than `LARGEST`."""


class Link:
    """Belongs to the loop in which it is first used."""

    def __init__(self, base: str, host: str, *, timeout: float, headers: Mapping[str, str]) -> None:
        self._base = base
        self._host = host
        self._timeout = timeout
        self._headers = {"Content-Type": "application/json", **headers}
        self._prepared: tuple[str | None, CIMultiDict[str]] | None = None
        self._session: aiohttp.ClientSession | None = None
        self._proxy: str | None = None
        self._urls: dict[str, URL] = {}

    async def ask(
        self,
        method: str,
        path: str,
        *,
        key: str | None,
        body: bytes | None = None,
        within: float | None = None,
    ) -> Reply:
        """Raises `NoReplyError`, `SlowError` or `TooLargeError`; `within` is in seconds.

        A redirect is not followed: it would be sent the key.
        """
        session = self._session or self._open()
        options: dict[str, Any] = {}
        if within is not None:
            options["timeout"] = aiohttp.ClientTimeout(total=within, sock_connect=_LONGEST_CONNECT)
        try:
            async with session.request(
                method,
                self.url(path),
                data=body,
                headers=self._headers_with(key),
                allow_redirects=False,
                proxy=self._proxy,
                **options,
            ) as response:
                return Reply(response.status, response.headers, await _whole(response))
        except aiohttp.ServerTimeoutError as error:
            raise NoReplyError(f"{self._host} could not be reached: no connection in time") from error
        except TimeoutError as error:
            raise SlowError from error
        except Exception as error:
            # Whatever a server can make a client raise: a line that nobody settles would hold its batch up on.
            # The text of the exception may quote what the server sent; its name says enough.
            raise NoReplyError(f"{self._host} could not be reached: {type(error).__name__}") from error

    def passing(
        self, method: str, path: str, *, headers: Sequence[tuple[str, str]], body: bytes
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """A request as somebody else made it, and its answer as it comes; only silence has a limit of time.

        Raises aiohttp's errors.
        """
        session = self._session or self._open()
        return session.request(
            method,
            self.url(path),
            data=body or None,
            headers=headers,
            skip_auto_headers=("Content-Type", "User-Agent", "Accept", "Accept-Encoding"),
            allow_redirects=False,
            auto_decompress=False,
            proxy=self._proxy,
            timeout=aiohttp.ClientTimeout(sock_connect=_LONGEST_CONNECT, sock_read=self._timeout),
        )

    def url(self, path: str) -> URL:
        """Byte for byte."""
        url = self._urls.get(path)
        if url is None:
            if len(self._urls) >= _MOST_URLS:
                self._urls.clear()
            url = self._urls[path] = URL(self._base + path, encoded=True)
        return url

    def _headers_with(self, key: str | None) -> CIMultiDict[str]:
        if self._prepared is None or self._prepared[0] != key:
            authorized = {"Authorization": f"Bearer {key}"} if key else {}
            self._prepared = key, CIMultiDict({**self._headers, **authorized})
        return self._prepared[1]

    async def close(self) -> None:
        session, self._session = self._session, None
        if session:
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        scheme = self._base.partition(":")[0]
        self._proxy = None if proxy_bypass(self._host) else getproxies().get(scheme)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEPT_ALIVE),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=self._timeout, sock_connect=_LONGEST_CONNECT),
        )
        return self._session


async def _whole(response: aiohttp.ClientResponse) -> bytes:
    length = response.content_length
    if length is not None and length <= LARGEST and "Content-Encoding" not in response.headers:
        return await response.read()
    pieces: list[bytes] = []
    size = 0
    async for piece in response.content.iter_any():
        pieces.append(piece)
        size += len(piece)
        if size > LARGEST:
            raise TooLargeError
        await asyncio.sleep(0)
    return b"".join(pieces)
