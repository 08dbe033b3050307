"""httpx clients that tell `overlay.telemetry` of each call, and send its trace context along.

A call is one request with what the auth flow adds to it: a token that is renewed, a redirect that is followed.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import httpx

from overlay.services import ServiceProfile
from overlay.telemetry.names import template_of
from overlay.telemetry.telemetry import CallSpan, Target, Telemetry
from overlay.wire.clients import AwaitingClient, BlockingClient


class TracedBlockingClient(BlockingClient):
    def __init__(self, telemetry: Telemetry, **options: Any) -> None:
        super().__init__(**options)
        self._telemetry = telemetry

    def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        with _calling(self._telemetry, self.service, self.base_url, request) as call:
            response = super().send(request, **options)
            call.answered(response.status_code)
            return response


class TracedAwaitingClient(AwaitingClient):
    def __init__(self, telemetry: Telemetry, **options: Any) -> None:
        super().__init__(**options)
        self._telemetry = telemetry

    async def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        with _calling(self._telemetry, self.service, self.base_url, request) as call:
            response = await super().send(request, **options)
            call.answered(response.status_code)
            return response


def _calling(
    telemetry: Telemetry, service: ServiceProfile | None, base: httpx.URL, request: httpx.Request
) -> AbstractContextManager[CallSpan]:
    url = request.url
    # Else it goes to a storage that an upload was redirected to.
    ours = (url.scheme, url.netloc) == (base.scheme, base.netloc) and url.path.startswith(base.path)
    target = Target(
        method=request.method,
        address=url.host,
        port=url.port or {"http": 80, "https": 443}.get(url.scheme),
        provider="other" if service is None else service.provider or service.name,
        template=template_of(url.path[len(base.path) :]) if ours else None,
        url=f"{url.scheme}://{url.netloc.decode()}{url.path}" if ours else None,
    )
    return telemetry.calling(target, request.headers)
