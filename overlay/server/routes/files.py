"""The five operations of https://platform.openai.com/docs/api-reference/files that batches need."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from overlay.server.engine.engine import Engine
from overlay.server.engine.filing import described
from overlay.server.engine.input_files import check_input_file
from overlay.server.faults.listing import Asked
from overlay.server.http.paths import id_in
from overlay.server.http.query import limit_of, no_cursor, one_of
from overlay.server.http.upload import Form
from overlay.server.objects import NO_DOWNLOAD, Deleted, File, decode_file
from overlay.server.refusals import Refusal, missing_parameter
from overlay.server.routes.batches import answer, page, strange_page

_MOST = 10_000


class FileRoutes:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._store = engine.store
        self._timeline = engine.timeline
        self._limits = engine.limits

    def routes(self) -> Sequence[Route]:
        return [
            Route("/v1/files", self.create, methods=["POST"]),
            Route("/v1/files", self.list, methods=["GET"]),
            Route("/v1/files/{file_id}", self.retrieve, methods=["GET"]),
            Route("/v1/files/{file_id}", self.delete, methods=["DELETE"]),
            Route("/v1/files/{file_id}/content", self.content, methods=["GET"]),
        ]

    async def create(self, request: Request) -> Response:
        # A dialect may have given the id already, where the content of a file comes in a request of its own.
        file_id = request.scope.get("overlay.file_id") or self._engine.new_id("file")
        form = Form(self._store.content(file_id), self._limits.max_upload_bytes)
        try:
            await form.read(request.headers.get("content-type"), request.stream())
            # A dialect may have other words for a purpose, or change what is stored.
            purposes = request.scope.get("overlay.purposes")
            if purposes is not None and "purpose" in form.fields:
                form.fields["purpose"] = purposes(form.fields["purpose"])
            if rewrite := request.scope.get("overlay.rewrite"):
                form.size = await asyncio.to_thread(rewrite, form.path)
            file = self._described(file_id, form)
            if file.purpose == "batch" and self._limits.check_uploads:
                await asyncio.to_thread(check_input_file, form.path, file.filename)
            await asyncio.to_thread(self._store.disk.keep, form.path)
            self._store.add_file(file)
        except BaseException:
            self._store.drop_content(file_id)
            raise
        # A fault may leave a new file pending.
        seconds, refused = request.scope.get("overlay.pending", (0.0, False))
        if seconds:
            self._engine.pending.add(file_id, self._timeline.now() + seconds, refused=refused)
        return answer(self._shown(file))

    async def retrieve(self, request: Request) -> Response:
        return answer(self._shown(self._file(request)))

    async def delete(self, request: Request) -> Response:
        file, now = self._file(request), self._timeline.now()
        # A fault may let a deleted file be named by new batches for some seconds more.
        usable_until = now + request.scope.get("overlay.linger", 0.0)
        self._store.delete_file(file.id, now, usable_until)
        self._timeline.start(self._drop(file.id, usable_until))
        return answer(Deleted(file.id))

    async def content(self, request: Request) -> Response:
        file = self._file(request)
        if file.purpose in NO_DOWNLOAD:
            raise Refusal(400, f"Not allowed to download files of purpose: {file.purpose}")
        path, kind = self._store.content(file.id), "application/octet-stream"
        if self._engine.traits.partial_results and file.purpose == "batch_output":
            # It may grow while it is sent, so send as much as its object says.
            return Response(await asyncio.to_thread(_beginning, path, file.bytes), media_type=kind)
        return _Content(path, media_type=kind, filename=file.filename)

    async def list(self, request: Request) -> Response:
        after, purpose = request.query_params.get("after"), request.query_params.get("purpose")
        limit = limit_of(request, default=_MOST, most=_MOST)
        ascending = one_of(request, "order", ("asc", "desc"), "desc") == "asc"
        if "overlay.page" in request.scope:
            rows = self._store.files(
                self._timeline.now(), after=None, limit=-1, ascending=False, purpose=purpose
            )
            return strange_page(request, self._current(rows), Asked(after, limit, ascending))
        place = None
        if after is not None and (place := self._store.file_place(after)) is None:
            raise no_cursor(after)
        rows = self._store.files(
            self._timeline.now(), after=place, limit=limit + 1, ascending=ascending, purpose=purpose
        )
        return page(self._current(rows[:limit]), more=len(rows) > limit)

    def _file(self, request: Request) -> File:
        file_id = id_in(request, "file_id")
        file = self._store.file(file_id, self._timeline.now())
        if file is None:
            raise Refusal(404, f"No such File object: {file_id}", param="id")
        return file

    def _shown(self, file: File) -> File:
        return self._engine.pending.shown(file, self._timeline.now())

    def _current(self, rows: Sequence[tuple[str, bytes]]) -> Sequence[tuple[str, bytes]]:
        """Rows of the store, which does not know which files are pending."""
        if not self._engine.pending:
            return rows
        return [
            (file_id, msgspec.json.encode(self._shown(decode_file(document)))) for file_id, document in rows
        ]

    def _described(self, file_id: str, form: Form) -> File:
        if form.filename is None:
            raise missing_parameter("file")
        return described(
            file_id,
            filename=form.filename or "upload",
            size=form.size,
            purpose=form.fields.get("purpose"),
            expires_after=_policy(form.fields),
            now=self._timeline.now(),
        )

    async def _drop(self, file_id: str, moment: float) -> None:
        await self._timeline.sleep_until(moment)
        self._store.drop_content(file_id)


class _Content(FileResponse):
    # The default of 64 KiB is a hop to a thread each.
    chunk_size = 1 << 20


def _beginning(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        return file.read(size)


def _policy(fields: dict[str, str]) -> Any:
    """`expires_after` comes as one field of JSON, or as a field for each of its keys: in brackets, or behind a dot
    as in Azure's reference.
    """
    parts = {
        key: fields[name]
        for key in ("anchor", "seconds")
        for name in (f"expires_after.{key}", f"expires_after[{key}]")
        if name in fields
    }
    return parts or fields.get("expires_after")
