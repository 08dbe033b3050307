"""A transport that keeps what a service really sent, before it is made readable."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import attrs
import httpx

_KEPT = 1_000_000
"""Bytes of an answer's body; a result file of three lines is far smaller."""


@attrs.frozen
class Exchange:
    """A request, and its answer."""

    method: str
    path: str
    status_code: int
    headers: dict[str, str]
    body: Any
    """Decoded JSON; the bytes of anything else."""


class Recording(httpx.BaseTransport):
    """httpx's own transport, with the proxies of the environment, and a memory."""

    def __init__(self, base_url: str) -> None:
        self.exchanges: list[Exchange] = []
        self._inner = httpx.HTTPTransport(proxy=_proxy_for(base_url))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = self._inner.handle_request(request)
        body = b"".join(_up_to(response, _KEPT))
        response.close()
        self.exchanges.append(
            Exchange(
                request.method,
                request.url.path,
                response.status_code,
                dict(response.headers.items()),
                _decoded(body),
            )
        )
        return httpx.Response(
            response.status_code,
            headers=response.headers,
            stream=httpx.ByteStream(body),
            extensions=response.extensions,
        )

    def close(self) -> None:
        self._inner.close()

    def last(self, method: str, ending: str) -> Exchange | None:
        """The latest successful exchange of a method, on a path that ends so."""
        for each in reversed(self.exchanges):
            if each.method == method and each.path.endswith(ending) and each.status_code < 300:  # noqa: PLR2004 - RFC 9110, section 15.3
                return each
        return None


def _up_to(response: httpx.Response, most: int) -> Iterator[bytes]:
    left = most
    for chunk in response.iter_raw():
        yield chunk[:left]
        left -= len(chunk)
        if left <= 0:
            return


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body


def _proxy_for(base_url: str) -> str | None:
    url = urlsplit(base_url)
    if proxy_bypass(url.hostname or ""):
        return None
    proxies = getproxies()
    return proxies.get(url.scheme) or proxies.get("all")
