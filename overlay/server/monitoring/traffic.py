"""Every request over HTTP, counted and, if wanted, logged: one line each, without tokens and without its query."""

import logging
import time
from collections import Counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from overlay.server.upstreams.figures import Latencies

logger = logging.getLogger("overlay.server.requests")

_METHODS = frozenset({"GET", "POST", "DELETE", "HEAD", "OPTIONS", "PUT", "PATCH"})
_KINDS = frozenset(
    {"batches", "files", "uploads", "models", "chat", "completions", "embeddings", "responses"}
)
_OWN = frozenset({"", "status", "health", "ready", "metrics"})
# Nothing was answered: the client has left before.
_LEFT = 499


class Traffic:
    """`requests` by kind, method and status."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.requests: Counter[tuple[str, str, str]] = Counter()
        self.latencies = Latencies()
        self.in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.monotonic(), _LEFT
        # What the client sent: the application may change it.
        method, path = scope["method"], scope["path"]

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self.in_flight += 1
        try:
            await self._app(scope, receive, noted)
        finally:
            self.in_flight -= 1
            seconds = time.monotonic() - began
            self.latencies.add(seconds)
            self.requests[_kind(path), method if method in _METHODS else "other", str(status)] += 1
            if logger.isEnabledFor(logging.INFO):
                _log(scope, method, path, status, seconds)


def _kind(path: str) -> str:
    parts = path.split("/")
    if parts[1] in _OWN:
        return "monitoring"
    return next((each for each in parts if each in _KINDS), "other")


def _log(scope: Scope, method: str, path: str, status: int, seconds: float) -> None:
    client = (scope.get("client") or ("",))[0]
    milliseconds = round(seconds * 1000, 1)
    fields = {
        "event": "request",
        "method": method,
        "path": path,
        "status": status,
        "milliseconds": milliseconds,
        "client": client,
    }
    # A path may hold line feeds, which must not look like another line of the log.
    shown = path.encode("unicode_escape").decode()
    logger.info("%s %s %d %.1f ms %s", method, shown, status, milliseconds, client, extra={"fields": fields})
