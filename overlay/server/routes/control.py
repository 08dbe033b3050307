"""The service's own paths, for tests in other processes, under /_control/: faults, requests, advance, neighbour."""

from collections.abc import Sequence
from typing import TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from overlay.server.clock import Timeline
from overlay.server.engine.neighbour import Foreign, Neighbour
from overlay.server.faults.matching import Fault, Faults
from overlay.server.http.recorder import RequestLog
from overlay.server.refusals import Refusal
from overlay.server.routes.batches import answer

PREFIX = "/_control/"

_T = TypeVar("_T")


class Advance(msgspec.Struct, forbid_unknown_fields=True):
    seconds: float


_fault = msgspec.json.Decoder(Fault)
_advance = msgspec.json.Decoder(Advance)
_foreign = msgspec.json.Decoder(Foreign)


class Control:
    def __init__(
        self, faults: Faults, requests: RequestLog, timeline: Timeline, neighbour: Neighbour
    ) -> None:
        self._faults = faults
        self._requests = requests
        self._timeline = timeline
        self._neighbour = neighbour

    def routes(self) -> Sequence[Route]:
        return [
            Route(f"{PREFIX}faults", self.add_fault, methods=["POST"]),
            Route(f"{PREFIX}faults", self.list_faults, methods=["GET"]),
            Route(f"{PREFIX}faults", self.clear_faults, methods=["DELETE"]),
            Route(f"{PREFIX}requests", self.list_requests, methods=["GET"]),
            Route(f"{PREFIX}requests", self.clear_requests, methods=["DELETE"]),
            Route(f"{PREFIX}advance", self.advance, methods=["POST"]),
            Route(f"{PREFIX}neighbour/batches", self.create_theirs, methods=["POST"]),
            Route(f"{PREFIX}neighbour/files", self.upload_theirs, methods=["POST"]),
        ]

    async def add_fault(self, request: Request) -> Response:
        fault = await _read(request, _fault)
        self._faults.put(fault)
        return answer(fault)

    async def list_faults(self, request: Request) -> Response:
        del request
        return answer(self._faults.all())

    async def clear_faults(self, request: Request) -> Response:
        del request
        self._faults.clear()
        return Response(status_code=204)

    async def list_requests(self, request: Request) -> Response:
        """Without tokens and headers."""
        del request
        names = ("method", "path", "sent_path", "query", "request_id", "status")
        return answer([{name: getattr(each, name) for name in names} for each in self._requests.all()])

    async def clear_requests(self, request: Request) -> Response:
        del request
        self._requests.clear()
        return Response(status_code=204)

    async def advance(self, request: Request) -> Response:
        asked = await _read(request, _advance)
        try:
            await self._timeline.advance(asked.seconds)
        except (TypeError, ValueError) as error:
            raise Refusal(400, str(error), param="seconds") from None
        return answer({"now": self._timeline.now()})

    async def create_theirs(self, request: Request) -> Response:
        return answer(self._neighbour.create(await _read(request, _foreign)))

    async def upload_theirs(self, request: Request) -> Response:
        return answer(self._neighbour.upload(await _read(request, _foreign)))


async def _read(request: Request, decoder: msgspec.json.Decoder[_T]) -> _T:
    try:
        return decoder.decode(await request.body())
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
        raise Refusal(400, str(error)) from None
