"""The service as an ASGI application: every request passes, in this order,

    (control, or) normal path → record → faults → (dialect →) gate → routes

`Application` runs under any ASGI server; `Service` and `serve` run it under uvicorn, which faults that harm the
connection need.
"""

import asyncio
import logging
import tempfile
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import asynccontextmanager
from http import HTTPStatus
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send

from overlay.server.answers.echoes.echo import echo
from overlay.server.answers.source import AnswerFunction, Function, Source
from overlay.server.clock import Clock, Timeline
from overlay.server.dialects.dialect import Dialect
from overlay.server.dialects.entering import enter
from overlay.server.dialects.table import dialect_of
from overlay.server.dialects.translation import Translation
from overlay.server.disk import NoRoomError
from overlay.server.engine.engine import Engine
from overlay.server.engine.events import Webhook
from overlay.server.engine.neighbour import Neighbour
from overlay.server.engine.store import Store
from overlay.server.engine.uploads import Uploads
from overlay.server.faults.matching import Faults
from overlay.server.faults.middleware import FaultMiddleware
from overlay.server.http.authentication import Authentication, Tokens
from overlay.server.http.hosts import Hosts
from overlay.server.http.paths import keep_slashes, normalize, sent_path
from overlay.server.http.recorder import Recorder, RequestLog
from overlay.server.refusals import Refusal, refused
from overlay.server.routes.batches import BatchRoutes
from overlay.server.routes.control import PREFIX, Control
from overlay.server.routes.files import FileRoutes
from overlay.server.routes.models import ModelRoutes
from overlay.server.routes.passing import Passing
from overlay.server.routes.uploads import UploadRoutes
from overlay.server.settings import Limits, Pace, Traits
from overlay.server.upstreams.forwarding import Forwarding

if TYPE_CHECKING:
    from overlay.server.monitoring.routes import Monitoring

logger = logging.getLogger("overlay.server")

Wrap = Callable[[ASGIApp], ASGIApp]


class Application:
    """The assembled service. It belongs to one event loop."""

    def __init__(
        self,
        answer: AnswerFunction | Source | None = None,
        *,
        pace: Pace | None = None,
        limits: Limits | None = None,
        traits: Traits | None = None,
        dialect: str | Dialect | None = None,
        tokens: Tokens = None,
        state: str | PathLike[str] | None = None,
        synced: bool = False,
        clock: Clock | None = None,
        webhook: Webhook | None = None,
        wrap: Wrap | None = None,
        control: bool = True,
        hosts: Collection[str] | None = None,
        monitored: bool = False,
        faults: Faults | None = None,
        requests: RequestLog | None = None,
    ) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="overlay-server-") if state is None else None
        folder = Path(self._temporary.name if self._temporary else state or "")
        folder.mkdir(parents=True, exist_ok=True)
        source = _source(answer)
        self.dialect = dialect_of(dialect)
        if self.dialect is not None:
            limits, traits = self.dialect.within(limits), traits or self.dialect.traits
        limits = limits or _own_limits(source)
        database = ":memory:" if self._temporary else str(folder / "state.sqlite3")
        self.store = Store(folder, database, synced=synced and state is not None)
        self.timeline = Timeline(clock)
        self.engine = Engine(
            self.store, self.timeline, source, pace or Pace(), limits, traits=traits, webhook=webhook
        )
        self.neighbour = Neighbour(self.engine)
        self._uploads = Uploads(self.store, self.timeline, limits, self.engine.new_id)
        routes = [
            *BatchRoutes(self.engine).routes(),
            *FileRoutes(self.engine).routes(),
            *UploadRoutes(self._uploads).routes(),
            *ModelRoutes(limits, source).routes(),
        ]
        self._routes = Starlette(
            routes=routes,
            lifespan=self._lifespan,
            exception_handlers=_HANDLERS,
        )
        self._routes.router.redirect_slashes = False
        if isinstance(source, Forwarding):
            self._routes.router.default = Passing(source, limits)
        inner: ASGIApp = Authentication(self._routes, tokens)
        faults, requests = faults or Faults(), requests or RequestLog()
        inner = wrap(inner) if wrap else inner
        if self.dialect is not None:
            inner = Translation(inner, self.dialect, self.engine.new_id)
        self._faults = FaultMiddleware(inner, faults, self.timeline)
        self._recorder = Recorder(self._faults, requests)
        controls = Control(faults, requests, self.timeline, self.neighbour).routes()
        self._control = (
            Authentication(Starlette(routes=controls, exception_handlers=_HANDLERS), tokens)
            if control
            else None
        )
        self._monitoring: Monitoring | None = None
        self._app: ASGIApp = self._route
        if monitored:
            # Imported here: the services of tests need not wait for what they do not have.
            from overlay.server.monitoring import routes as monitoring  # noqa: PLC0415
            from overlay.server.monitoring.survey import Survey  # noqa: PLC0415
            from overlay.server.monitoring.traffic import Traffic  # noqa: PLC0415

            self._app = traffic = Traffic(self._route)
            self._monitoring = monitoring.Monitoring(Survey(self.engine, source, folder), traffic, tokens)
        if hosts is not None:
            self._app = Hosts(self._app, hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        keep_slashes(scope)
        if scope["type"] == "lifespan":
            await self._routes(scope, receive, send)
        elif self._control and scope["path"].startswith(PREFIX):
            await self._control(scope, receive, send)
        elif self._monitoring and self._monitoring.takes(scope["path"]):
            await self._monitoring(scope, receive, send)
        elif scope["type"] == "http":
            if self.dialect is None:
                normalize(scope)
            else:
                enter(scope, self.dialect)
            await self._recorder(scope, receive, send)

    async def drain(self, within: float) -> None:
        """Let lines under way end, and begin no others: the service ends."""
        await self.engine.drain(within)

    def leave(self) -> None:
        """End what waits on purpose, because the service ends."""
        self._faults.leave()

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncGenerator[None]:
        del app
        if self._monitoring:
            self.engine.tallies.ended.update(await asyncio.to_thread(self.store.final_statuses))
        await self.engine.start()
        self._uploads.start()
        try:
            yield
        finally:
            await self.engine.close()
            self.store.close()
            if self._temporary:
                self._temporary.cleanup()


def _source(answer: AnswerFunction | Source | None) -> Source:
    if answer is None:
        return Function(echo)
    if callable(answer):
        return Function(answer)
    return answer


def _own_limits(source: Source) -> Limits:
    own = getattr(source, "limits", None)
    return own if isinstance(own, Limits) else Limits()


async def _refusal(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, Refusal)
    return refused(error)


async def _unrouted(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        # Starlette names the methods of one route, and a path has several.
        routes = [each for each in request.app.routes if each.matches(request.scope)[0] is not Match.NONE]
        allowed = {method for each in routes for method in each.methods}
        refusal = Refusal(405, "Method not allowed.", headers={"Allow": ", ".join(sorted(allowed))})
    elif error.status_code == HTTPStatus.NOT_FOUND:
        refusal = Refusal(404, f"Invalid URL ({request.method} {sent_path(request.scope)})")
    else:
        refusal = Refusal(error.status_code, error.detail)
    return refused(refusal)


async def _broken(request: Request, error: Exception) -> Response:
    del request, error
    return refused(
        Refusal(500, "The server had an error while processing your request.", kind="server_error")
    )


async def _full(request: Request, error: Exception) -> Response:
    """Nothing of the request is stored. Clients try again what ends in 5xx, once there may be room."""
    del request
    logger.warning("a request is refused: %s", error)
    return refused(
        Refusal(
            507,
            "The disk of the service is full, or fails: nothing was stored. Try again once it has room.",
            code="insufficient_storage",
            kind="server_error",
            headers={"Retry-After": "30"},
        )
    )


_HANDLERS: dict[Any, Any] = {
    NoRoomError: _full,
    Refusal: _refusal,
    HTTPException: _unrouted,
    Exception: _broken,
}
