"""Whom a request means to talk to, by its Host header.

A page of any site can make a browser look up a name of its own and get 127.0.0.1 for it: DNS rebinding. To the
browser, what listens there is that site then. So a service that listens on this machine alone answers to names of
this machine alone.
"""

from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from overlay.server.refusals import Refusal, refused
from overlay.server.upstreams.address import is_loopback

_MISDIRECTED = 421


class Hosts:
    """Lets a request through that is meant for this machine, or for one of the names `besides`."""

    def __init__(self, app: ASGIApp, besides: Collection[str] = ()) -> None:
        self._app = app
        self._besides = frozenset(each.lower().rstrip(".") for each in besides)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._is_meant(host := Headers(scope=scope).get("host", "")):
            refusal = Refusal(
                _MISDIRECTED,
                f"This service is for programs on its own machine, and {host!r} is not a name of it. Where a proxy"
                " passes that name on, start the service with --allow-host.",
                code="misdirected_request",
            )
            await refused(refusal)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _is_meant(self, host: str) -> bool:
        name = _name(host).lower().rstrip(".")
        # No browser leaves the header out.
        return not name or name in self._besides or name.endswith(".localhost") or is_loopback(name)


def _name(host: str) -> str:
    """Without the port, and without the brackets of IPv6."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
