"""httpx clients without two habits that an API client has no use for.

Cookies are not kept: only the token says who is calling, and threads that share a client share no session.
(Looking for them takes a tenth of the time of a small call.)

The boundary between the parts of a form is random, and new for each request. Generated code always names the same
one, and a file with a line that begins with it would be cut there. No file can guess 128 random bits (httpx's own
choice, if no header names a boundary), so files need not be searched for them before they are sent.
"""

from __future__ import annotations

from typing import Any

import httpx


class _NoCookies(httpx.Cookies):
    def __bool__(self) -> bool:
        return False

    def extract_cookies(self, response: httpx.Response) -> None:
        """Ignore them."""


_NO_COOKIES = _NoCookies()


class _Cookieless:
    @property
    def cookies(self) -> httpx.Cookies:
        return _NO_COOKIES

    @cookies.setter
    def cookies(self, cookies: Any) -> None:
        raise NotImplementedError


class BlockingClient(_Cookieless, httpx.Client):
    def build_request(self, method: str, url: httpx.URL | str, **options: Any) -> httpx.Request:
        return super().build_request(method, url, **_without_boundary(options))


class AwaitingClient(_Cookieless, httpx.AsyncClient):
    def build_request(self, method: str, url: httpx.URL | str, **options: Any) -> httpx.Request:
        return super().build_request(method, url, **_without_boundary(options))


def _without_boundary(options: dict[str, Any]) -> dict[str, Any]:
    """The options of a request, without the header that names a form's boundary."""
    if not options.get("files"):
        return options
    headers = httpx.Headers(options.get("headers"))
    headers.pop("content-type", None)
    return {**options, "headers": headers}
