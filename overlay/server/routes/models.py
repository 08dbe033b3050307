"""The list of models, and one of it: https://platform.openai.com/docs/api-reference/models.

Where `Limits.models` names the models, they are the list. Else a server behind the service has a list of its own,
which is passed on; and where any name is accepted, a few well-known ones stand for all.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from overlay.server.http.paths import id_in
from overlay.server.objects import Model
from overlay.server.refusals import Refusal
from overlay.server.routes.batches import answer
from overlay.server.settings import Limits

# One or two for each endpoint that batches have.
_WELL_KNOWN = (
    "gpt-4o-mini",
    "gpt-4.1",
    "gpt-5",
    "gpt-5-mini",
    "gpt-3.5-turbo-instruct",
    "text-embedding-3-small",
    "text-embedding-3-large",
    "omni-moderation-latest",
    "gpt-image-1",
    "sora-2",
)
# No model was made at this time: 2025-01-01.
_CREATED = 1_735_689_600


@runtime_checkable
class KnowsModels(Protocol):
    """A source of answers with models of its own."""

    async def models(self, name: str | None, token: str | None) -> tuple[int, bytes]:
        """The list, or the model of that name, as a status and JSON. Raises `Refusal` where there is neither."""
        ...


class _Models(msgspec.Struct):
    data: list[Model]
    object: str = "list"


class ModelRoutes:
    def __init__(self, limits: Limits, source: object) -> None:
        self._limits = limits
        self._source = source

    def routes(self) -> Sequence[Route]:
        return [
            Route("/v1/models", self.list, methods=["GET"]),
            # The names of models in the open have slashes.
            Route("/v1/models/{model:path}", self.retrieve, methods=["GET"]),
        ]

    async def list(self, request: Request) -> Response:
        names = self._limits.models
        if names is None and isinstance(self._source, KnowsModels):
            return _passed(await self._source.models(None, request.scope.get("overlay.token")))
        return answer(_Models([_model(each) for each in (_WELL_KNOWN if names is None else names)]))

    async def retrieve(self, request: Request) -> Response:
        name, names = id_in(request, "model"), self._limits.models
        if names is None and isinstance(self._source, KnowsModels):
            return _passed(await self._source.models(name, request.scope.get("overlay.token")))
        if not name or (names is not None and name not in names):
            raise Refusal(404, f"The model {name!r} does not exist", param="model", code="model_not_found")
        return answer(_model(name))


def _model(name: str) -> Model:
    return Model(id=name, created=_CREATED, owned_by="system")


def _passed(answered: tuple[int, bytes]) -> Response:
    status, body = answered
    return Response(body, status, media_type="application/json")
