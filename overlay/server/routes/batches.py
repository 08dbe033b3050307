"""The four operations of https://platform.openai.com/docs/api-reference/batch."""

from collections.abc import Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from overlay.server.engine.creation import read_creation
from overlay.server.engine.engine import Engine, no_batch
from overlay.server.http.body import read_body
from overlay.server.http.paths import is_azure
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
        return answer(self._engine.create(asked, request.scope.get("overlay.token")))

    async def retrieve(self, request: Request) -> Response:
        batch_id = request.path_params["batch_id"]
        batch = self._engine.batch(batch_id)
        if batch is None:
            raise no_batch(batch_id)
        return answer(batch)

    async def cancel(self, request: Request) -> Response:
        return answer(self._engine.cancel(request.path_params["batch_id"]))

    async def list(self, request: Request) -> Response:
        engine, after = self._engine, request.query_params.get("after")
        limit = limit_of(request, default=_DEFAULT_LIMIT, most=_MOST)
        place = None
        if after is not None and (place := engine.store.batch_place(after)) is None:
            raise no_cursor(after)
        # A fault may hide what is younger than some seconds.
        born_by = engine.timeline.now() - request.scope.get("overlay.list_lag", 0.0)
        rows = engine.store.batches(after=place, limit=limit + 1, born_by=born_by)
        current = [
            (batch_id, msgspec.json.encode(live) if (live := engine.unfinished(batch_id)) else document)
            for batch_id, document in rows[:limit]
        ]
        return page(current, more=len(rows) > limit)


def page(rows: Sequence[tuple[str, bytes]], *, more: bool) -> Response:
    """Answer with encoded objects, each after its id."""
    first, last = (rows[0][0], rows[-1][0]) if rows else (None, None)
    return answer(Page([msgspec.Raw(document) for _, document in rows], first, last, more))


def answer(value: msgspec.Struct) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")
