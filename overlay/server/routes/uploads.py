"""The four operations of https://platform.openai.com/docs/api-reference/uploads."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from overlay.server.engine.upload_requests import read_announced, read_completion
from overlay.server.engine.uploads import Uploads
from overlay.server.http.body import read_body
from overlay.server.http.upload import Form
from overlay.server.objects import new_id
from overlay.server.refusals import missing_parameter
from overlay.server.routes.batches import answer


class UploadRoutes:
    def __init__(self, uploads: Uploads) -> None:
        self._uploads = uploads

    def routes(self) -> Sequence[Route]:
        return [
            Route("/v1/uploads", self.create, methods=["POST"]),
            Route("/v1/uploads/{upload_id}/parts", self.add_part, methods=["POST"]),
            Route("/v1/uploads/{upload_id}/complete", self.complete, methods=["POST"]),
            Route("/v1/uploads/{upload_id}/cancel", self.cancel, methods=["POST"]),
        ]

    async def create(self, request: Request) -> Response:
        asked = read_announced(await read_body(request), self._uploads.limits)
        return answer(self._uploads.create(asked))

    async def add_part(self, request: Request) -> Response:
        upload_id, part_id = request.path_params["upload_id"], new_id("part_")
        self._uploads.pending(upload_id)
        path = self._uploads.part_path(part_id)
        form = Form(path, self._uploads.limits.max_part_bytes, "data")
        try:
            await form.read(request.headers.get("content-type"), request.stream())
            _check(form)
            await self._uploads.keep_part(part_id)
            part = self._uploads.add_part(upload_id, part_id, form.size)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return answer(part)

    async def complete(self, request: Request) -> Response:
        asked = read_completion(await read_body(request))
        return answer(await self._uploads.complete(request.path_params["upload_id"], asked))

    async def cancel(self, request: Request) -> Response:
        return answer(self._uploads.cancel(request.path_params["upload_id"]))


def _check(form: Form) -> None:
    if form.filename is None:
        raise missing_parameter("data")
