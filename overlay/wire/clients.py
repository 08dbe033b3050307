"""httpx clients without two habits that a client of an API has no use for.

Cookies are not kept: nothing but the token says who is calling, and threads that share a client share no session.
(Looking for them takes a tenth of the time of a small call.)

The line between the parts of a form is chosen anew for each request, at random. Generated code names one and the
same line always, and a file that has a line which begins with it would be cut there. Of 128 random bits (httpx's
own choice, where no header names a boundary) no file can know; so a file needs not be searched for them before it
is sent.
"""

from __future__ import annotations

from typing import Any

import httpx


class _NoCookies(httpx.Cookies):
    def __bool__(self) -> bool:
        return False

    def extract_cookies(self, response: httpx.Response) -> None:
        """Leave them."""


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
        return super().build_request(method, url, **_unnamed(options))


class AwaitingClient(_Cookieless, httpx.AsyncClient):
    def build_request(self, method: str, url: httpx.URL | str, **options: Any) -> httpx.Request:
        return super().build_request(method, url, **_unnamed(options))


def _unnamed(options: dict[str, Any]) -> dict[str, Any]:
    """The options of a request, without the header that names a form's boundary."""
    if not options.get("files"):
        return options
    headers = httpx.Headers(options.get("headers"))
    headers.pop("content-type", None)
    return {**options, "headers": headers}
