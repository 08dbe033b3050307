"""The paths for those who watch the service. The page acts on their behalf, so it is guarded like one that does."""

import secrets
from collections.abc import Sequence
from importlib.resources import files
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from overlay.server.engine.engine import Engine
from overlay.server.http.authentication import Authentication, Tokens
from overlay.server.http.paths import id_in
from overlay.server.monitoring.metrics import Metrics
from overlay.server.monitoring.survey import Survey
from overlay.server.monitoring.traffic import Traffic
from overlay.server.refusals import Refusal, refused

_OPEN = frozenset({"/", "/health", "/ready"})
_GUARDED = frozenset({"/metrics", "/status"})
_LONGEST_ID = 512


class Monitoring:
    """The application of these paths; `tokens` as for the API."""

    def __init__(self, survey: Survey, traffic: Traffic, tokens: Tokens) -> None:
        self._survey = survey
        self._engine: Engine = survey.engine
        self._metrics = Metrics(survey, traffic)
        self._page = files("overlay.server.monitoring").joinpath("page.html").read_text("utf-8")
        app = Starlette(routes=self._routes(), exception_handlers={Refusal: _refusal})
        self._app: ASGIApp = app
        self._guarded: ASGIApp = app if tokens is None else Authentication(app, tokens)

    @staticmethod
    def takes(path: str) -> bool:
        return path in _OPEN or path in _GUARDED or path.startswith("/status/")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app if scope["path"] in _OPEN else self._guarded
        await app(scope, receive, send)

    def _routes(self) -> Sequence[Route]:
        return [
            Route("/", self.page),
            Route("/health", self.health),
            Route("/ready", self.ready),
            Route("/metrics", self.metrics),
            Route("/status", self.status),
            Route("/status/{batch_id:path}/cancel", self.cancel, methods=["POST"]),
            Route("/status/{batch_id:path}", self.batch),
        ]

    async def page(self, request: Request) -> Response:
        del request
        nonce = secrets.token_urlsafe(16)
        # Nothing is loaded from anywhere, nothing is sent elsewhere, and no other page shows it in a frame.
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self';"
            " img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        return HTMLResponse(
            self._page.replace("NONCE", nonce), headers={"Content-Security-Policy": policy} | _HEADERS
        )

    async def health(self, request: Request) -> Response:
        del request
        return JSONResponse({"status": "ok"}, headers=_HEADERS)

    async def ready(self, request: Request) -> Response:
        del request
        reasons = self._survey.not_ready()
        if reasons:
            return JSONResponse({"status": "not ready", "reasons": reasons}, 503, headers=_HEADERS)
        return JSONResponse({"status": "ready"}, headers=_HEADERS)

    async def metrics(self, request: Request) -> Response:
        body, content_type = self._metrics.exposed(request.headers.get("accept", ""))
        return Response(body, headers={"Content-Type": content_type} | _HEADERS)

    async def status(self, request: Request) -> Response:
        after = request.query_params.get("after")
        return JSONResponse(self._survey.overview(after), headers=_HEADERS)

    async def batch(self, request: Request) -> Response:
        found = await self._survey.batch(id_in(request, "batch_id")[:_LONGEST_ID])
        return JSONResponse(found, headers=_HEADERS)

    async def cancel(self, request: Request) -> Response:
        _check_origin(request)
        cancelled = self._engine.cancel(id_in(request, "batch_id")[:_LONGEST_ID])
        return JSONResponse({"id": cancelled.id, "status": cancelled.status}, headers=_HEADERS)


_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def _check_origin(request: Request) -> None:
    """Only the service's own page may act. Raises `Refusal`.

    A browser lets no other site's page send a header of its own making without asking the service, which never
    agrees; where it says what site a request came from, that is believed, too.
    """
    headers = request.headers
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    same = site == "same-origin" if site else not origin or urlsplit(origin).netloc == headers.get("host")
    if not same or headers.get("x-overlay") != "page":
        raise Refusal(403, "Only the service's own page may do this.", code="cross_site")


async def _refusal(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, Refusal)
    return refused(error)
