"""httpx clients that choose the line between the parts of a form anew for each request, at random.

Generated code names one and the same boundary always, and a file that has a line which begins with it would be
cut there. Of 128 random bits (httpx's own choice, where no header names a boundary) no file can know; so a file
needs not be searched for them before it is sent.
"""

from __future__ import annotations

from typing import Any

import httpx


class BlockingForms(httpx.Client):
    def build_request(self, method: str, url: httpx.URL | str, **options: Any) -> httpx.Request:
        return super().build_request(method, url, **_unnamed(options))


class AwaitingForms(httpx.AsyncClient):
    def build_request(self, method: str, url: httpx.URL | str, **options: Any) -> httpx.Request:
        return super().build_request(method, url, **_unnamed(options))


def _unnamed(options: dict[str, Any]) -> dict[str, Any]:
    """The options of a request, without the header that names a form's boundary."""
    if not options.get("files"):
        return options
    headers = httpx.Headers(options.get("headers"))
    headers.pop("content-type", None)
    return {**options, "headers": headers}
