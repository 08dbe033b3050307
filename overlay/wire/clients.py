"""httpx clients without two habits that an API client has no use for.

Cookies are not kept: only the token says who is calling, and threads that share a client share no session.
(Looking for them takes a tenth of the time of a small call.)

The boundary between the parts of a form is random, and new for each request. Generated code always names the same
one, and a file with a line that begins with it would be cut there. No file can guess 128 random bits (httpx's own
choice, if no header names a boundary), so files need not be searched for them before they are sent.

And they are where a request of generated code becomes one that the service understands, if it has other paths or
bodies than the API.
"""

from __future__ import annotations

from typing import Any

import httpx

from overlay.services import ServiceProfile
from overlay.services.routes import sent_to

SENT = "overlay.sent"
"""The request extension that holds the service, if it has ways of its own, and the request as it was sent."""


class _NoCookies(httpx.Cookies):
    def __bool__(self) -> bool:
        return False

    def extract_cookies(self, response: httpx.Response) -> None:
        """Ignore them."""


_NO_COOKIES = _NoCookies()


class _Habits:
    service: ServiceProfile | None = None

    @property
    def cookies(self) -> httpx.Cookies:
        return _NO_COOKIES

    @cookies.setter
    def cookies(self, cookies: Any) -> None:
        raise NotImplementedError


class BlockingClient(_Habits, httpx.Client):
    def build_request(self, method: str, url: httpx.URL | str, **options: Any) -> httpx.Request:
        method, url, options = _as_the_service_wants_it(self.service, method, url, _without_boundary(options))
        return super().build_request(method, url, **options)


class AwaitingClient(_Habits, httpx.AsyncClient):
    def build_request(self, method: str, url: httpx.URL | str, **options: Any) -> httpx.Request:
        method, url, options = _as_the_service_wants_it(self.service, method, url, _without_boundary(options))
        return super().build_request(method, url, **options)


def _without_boundary(options: dict[str, Any]) -> dict[str, Any]:
    """The options of a request, without the header that names a form's boundary."""
    if not options.get("files"):
        return options
    headers = httpx.Headers(options.get("headers"))
    headers.pop("content-type", None)
    return {**options, "headers": headers}


def _as_the_service_wants_it(
    service: ServiceProfile | None, method: str, url: httpx.URL | str, options: dict[str, Any]
) -> tuple[str, httpx.URL | str, dict[str, Any]]:
    """A request of generated code, or one built like it, under the service's own method, path and names."""
    if service is None or not service.translates or not isinstance(url, str):
        return method, url, options
    sent = sent_to(service, method, url, options.get("params") or {}, options.get("json"))
    if sent is None:
        return method, url, options
    extensions: dict[str, Any] = {**(options.get("extensions") or {}), SENT: (service, sent)}
    changed: dict[str, Any] = {"params": sent.query or None, "json": sent.json, "extensions": extensions}
    return sent.method, sent.path, {**options, **changed}
