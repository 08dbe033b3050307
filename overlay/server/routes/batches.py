"""The four operations of https://platform.openai.com/docs/api-reference/batch."""

from collections.abc import Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from overlay.server.engine.creation import read_creation
from overlay.server.engine.engine import Engine, no_batch
from overlay.server.faults.listing import Asked
from overlay.server.http.body import read_body
from overlay.server.http.paths import id_in, is_azure
from overlay.server.http.query import limit_of, no_cursor
from overlay.server.objects import Page

_DEFAULT_LIMIT, _MOST = 20, 100


class BatchRoutes:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def routes(self) -> Sequence[Route]:
        return [
            Route("/v1/batches", self.create, methods=["POST"]),
            Route("/v1/batches", self.list, methods=["GET"]),
            Route("/v1/batches/{batch_id}", self.retrieve, methods=["GET"]),
            Route("/v1/batches/{batch_id}/cancel", self.cancel, methods=["POST"]),
        ]

    async def create(self, request: Request) -> Response:
        asked = read_creation(await read_body(request), self._engine.limits, azure=is_azure(request.scope))
        asked.model = request.scope.get("overlay.model")
        self._engine.seen(request.scope.get("overlay.token"))
        report = await self._engine.measure(asked)
        return answer(self._engine.create(asked, request.scope.get("overlay.token"), report))

    async def retrieve(self, request: Request) -> Response:
        batch_id = id_in(request, "batch_id")
        self._engine.seen(request.scope.get("overlay.token"))
        batch = self._engine.batch(batch_id)
        if batch is None:
            raise no_batch(batch_id)
        return answer(batch)

    async def cancel(self, request: Request) -> Response:
        return answer(self._engine.cancel(id_in(request, "batch_id")))

    async def list(self, request: Request) -> Response:
        engine, after = self._engine, request.query_params.get("after")
        engine.seen(request.scope.get("overlay.token"))
        limit = limit_of(request, default=_DEFAULT_LIMIT, most=_MOST)
        # A fault may hide what is younger than some seconds.
        born_by = engine.timeline.now() - request.scope.get("overlay.list_lag", 0.0)
        if "overlay.page" in request.scope:
            rows = self._current(engine.store.batches(after=None, limit=-1, born_by=born_by))
            return strange_page(request, rows, Asked(after, limit))
        place = None
        if after is not None and (place := engine.store.batch_place(after)) is None:
            raise no_cursor(after)
        rows = engine.store.batches(after=place, limit=limit + 1, born_by=born_by)
        return page(self._current(rows[:limit]), more=len(rows) > limit)

    def _current(self, rows: Sequence[tuple[str, bytes]]) -> Sequence[tuple[str, bytes]]:
        """Rows of the store, whose counts of unfinished batches lag behind."""
        return [
            (batch_id, msgspec.json.encode(live) if (live := self._engine.unfinished(batch_id)) else document)
            for batch_id, document in rows
        ]


def strange_page(request: Request, rows: Sequence[tuple[str, bytes]], asked: Asked) -> Response:
    """Answer with the page that a fault makes of a whole list, which is given newest first."""
    made = request.scope["overlay.page"]([msgspec.json.decode(document) for _, document in rows], asked)
    if made is None:
        raise no_cursor(asked.after or "")
    return Response(msgspec.json.encode(made), media_type="application/json")


def page(rows: Sequence[tuple[str, bytes]], *, more: bool) -> Response:
    """Answer with encoded objects, each after its id."""
    first, last = (rows[0][0], rows[-1][0]) if rows else (None, None)
    return answer(Page([msgspec.Raw(document) for _, document in rows], first, last, more))


def answer(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")
