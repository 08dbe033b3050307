"""The log of requests, and the headers that each answer carries."""

import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from overlay.server.http.authentication import token_of
from overlay.server.http.paths import sent_path
from overlay.server.objects import ORGANIZATION, new_id

_EVERYWHERE = {
    "openai-version": "2020-10-01",
    "openai-organization": ORGANIZATION,
    "x-content-type-options": "nosniff",
}
_SECRET = frozenset({"authorization", "cookie", "api-key", "x-api-key"})


@dataclass
class RecordedRequest:
    """One request, as it came in. `status` is None until an answer begins, and for ever where none does."""

    method: str
    path: str
    """As OpenAI has it, /v1 included, whichever prefix the client used."""
    sent_path: str
    """As the client sent it: `/openai/v1/batches`, for one."""
    query: str
    headers: dict[str, str]
    """Without those that hold credentials."""
    request_id: str
    token: str = field(repr=False)
    """The bearer token, else what stood in `api-key`, else an empty string."""
    status: int | None = None
    began: float = field(default_factory=time.perf_counter, repr=False, compare=False)

    def stamp(self, headers: MutableHeaders) -> None:
        """Add what every answer of the real service carries, where it does not say otherwise itself."""
        for name, value in _EVERYWHERE.items():
            headers.setdefault(name, value)
        headers.setdefault("openai-processing-ms", str(round((time.perf_counter() - self.began) * 1000)))
        headers.setdefault("x-request-id", self.request_id)

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.status}"


class RequestLog:
    """The newest `most` requests, for any thread."""

    def __init__(self, most: int = 1_000_000) -> None:
        self._requests: deque[RecordedRequest] = deque(maxlen=most)
        self._lock = threading.Lock()

    def add(self, request: RecordedRequest) -> None:
        with self._lock:
            self._requests.append(request)

    def all(self) -> list[RecordedRequest]:
        with self._lock:
            return list(self._requests)

    def clear(self) -> None:
        with self._lock:
            self._requests.clear()


class Recorder:
    """Writes down every request, and gives every answer the headers of the real service."""

    def __init__(self, app: ASGIApp, requests: RequestLog) -> None:
        self._app = app
        self._requests = requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = RecordedRequest(
            scope["method"],
            scope["path"],
            sent_path(scope),
            scope["query_string"].decode("latin-1"),
            {name: value for name, value in Headers(scope=scope).items() if name not in _SECRET},
            new_id("req_"),
            token_of(scope),
        )
        self._requests.add(request)
        scope["overlay.request"] = request

        async def stamped(message: Message) -> None:
            if message["type"] == "http.response.start":
                request.status = message["status"]
                request.stamp(MutableHeaders(scope=message))
            await send(message)

        # A client that leaves before its answer is no error here.
        with suppress(ClientDisconnect):
            await self._app(scope, receive, stamped)
