"""The layer between the service and its clients: it speaks the dialect outward, and the API's own language inward.

Faults stand outside it, and so spoil what the dialect says; authentication and routes stand inside.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from overlay.lines import is_array, is_object
from overlay.server.dialects.dialect import Dialect, Json
from overlay.server.dialects.entering import STORAGE
from overlay.server.dialects.inner import Answer, Call, given, sent
from overlay.server.dialects.redirected import Redirected
from overlay.server.dialects.shapes import (
    enveloped,
    numbered,
    provider_id,
    shown_batch,
    shown_file,
    unsaid,
)
from overlay.server.http.body import read_body
from overlay.server.http.paths import sent_path
from overlay.server.refusals import Refusal, refused
from overlay.server.settings import Kind

_KNOWN = ("input_file_id", "endpoint", "completion_window", "metadata", "output_expires_after")
_FIRST_ERROR = 400
_PAGE = 100
_OUTPUT = re.compile(r"GET /batches/([^/]+)/output")
_OPERATIONS = {
    "create": r"POST /v1/batches",
    "batches": r"GET /v1/batches",
    "retrieve": r"GET /v1/batches/[^/]+",
    "cancel": r"POST /v1/batches/[^/]+/cancel",
    "upload": r"POST /v1/files",
    "files": r"GET /v1/files",
    "file": r"GET /v1/files/[^/]+",
}


class Translation:
    """`app` behind a dialect; `new_id` makes ids as the engine does."""

    def __init__(self, app: ASGIApp, dialect: Dialect, new_id: Callable[[Kind], str]) -> None:
        self._app = app
        self._dialect = dialect
        self._redirected = Redirected(lambda: new_id("file"))
        # Forgotten when the service stops.
        self._by_key: dict[str, str] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = Call(self._app, scope, receive)
        try:
            await self._handle(call, send)
        except Refusal as refusal:
            await self._refuse(await _refusing(call, refusal), send)

    async def _handle(self, call: Call, send: Send) -> None:
        scope, dialect = call.scope, self._dialect
        asked = scope.get("overlay.asked")
        if asked is None:
            raise Refusal(404, f"Invalid URL ({scope['method']} {sent_path(scope)})")
        if asked == f"PUT {STORAGE}":
            self._receiving(scope)
            await self._redirected.put(call, send)
            return
        if dialect.redirected and asked == "POST /files":
            await self._redirected.announce(call, send)
            return
        if dialect.output_route and (named := _OUTPUT.fullmatch(asked)):
            await self._output(call, named[1], send)
            return
        operation = _operation(scope)
        key = await self._prepare(call, operation)
        if operation in {"batches", "files"} and dialect.lists in {"bare", "pages"}:
            answer = await call.answer(send)
            if answer.start is not None and answer.status < _FIRST_ERROR:
                answer.value = await self._whole_list(call, operation)
        else:
            answer = await call.answer(send)
        if answer.start is None:
            return
        value: Any = answer.value
        if answer.status >= _FIRST_ERROR or not (is_object(value) or is_array(value)):
            await self._refuse(answer, send)
            return
        if key and is_object(value):
            self._by_key[key] = value["id"]
        await sent(send, answer.start, self._said(operation, value))

    async def _output(self, call: Call, batch_id: str, send: Send) -> None:
        answer = await call.to("GET", f"/v1/batches/{batch_id}").answer()
        file_id = answer.value.get("output_file_id") if is_object(answer.value) else None
        if answer.status < _FIRST_ERROR:
            if not file_id:
                raise Refusal(404, f"Batch {batch_id} has no output yet.")
            answer = await call.to("GET", f"/v1/files/{file_id}/content").answer(send)
        if answer.start is not None:
            await self._refuse(answer, send)

    async def _prepare(self, call: Call, operation: str | None) -> str | None:
        """Put a request into the API's own words; returns the idempotency key of a create."""
        if operation == "upload":
            self._receiving(call.scope)
        if operation != "create":
            return None
        body = await read_body(Request(call.scope, call.receive))
        key, body = self._asked(call, body)
        call.receive = given(body)
        if key is not None and (known := self._by_key.get(key)):
            call.scope["method"], call.scope["path"] = "GET", f"/v1/batches/{known}"
        return key

    def _asked(self, call: Call, body: bytes) -> tuple[str | None, bytes]:
        dialect = self._dialect
        try:
            value = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None, body
        if not is_object(value):
            return None, body
        asked = dialect.asks(value) if dialect.asks else dict(value)
        key = asked.pop(dialect.idempotency_key, None) if dialect.idempotency_key else None
        if model := asked.pop("model", None) or asked.pop("model_id", None):
            call.scope["overlay.model"] = model
        if dialect.window and asked.get("completion_window") is None:
            asked["completion_window"] = dialect.window
        if not dialect.metadata:
            asked.pop("metadata", None)
        if not dialect.strict:
            asked = {name: each for name, each in asked.items() if name in _KNOWN}
        return key, msgspec.json.encode(asked)

    def _receiving(self, scope: Scope) -> None:
        """Say what an upload may be for, and what becomes of it."""
        dialect = self._dialect
        scope["overlay.purposes"] = self._purpose
        if dialect.pending:
            scope.setdefault("overlay.pending", (dialect.pending, True))
        if dialect.rewrites:
            scope["overlay.rewrite"] = _rewrite

    def _purpose(self, said: str) -> str:
        accepted = self._dialect.purposes
        if accepted is None or said in accepted:
            return "batch"
        if said == "batch":
            words = ", ".join(map(repr, sorted(accepted)))
            raise Refusal(400, f"Invalid value: 'batch'. Supported values are: {words}.", param="purpose")
        return said

    async def _whole_list(self, call: Call, operation: str) -> Any:
        entries = await call.everything(call.scope["path"])
        show = shown_batch if operation == "batches" else shown_file
        shown = [show(each, self._dialect) for each in entries]
        if self._dialect.lists == "pages":
            query = QueryParams(call.scope["query_string"])
            number, size = (
                _whole(query.get(name), usual) for name, usual in (("page", 0), ("page_size", _PAGE))
            )
            return numbered(shown, number, size or _PAGE)
        return shown if operation == "batches" else {"object": "list", "data": shown}

    def _said(self, operation: str | None, value: Any) -> Any:
        dialect = self._dialect
        if operation in {"batches", "files"}:
            if dialect.lists in {"bare", "pages"}:
                return value
            show = shown_batch if operation == "batches" else shown_file
            page = {**value, "data": [show(each, dialect) for each in value["data"]]}
            page = unsaid(page) if dialect.lists == "unsaid" else page
            return enveloped(page) if operation == "files" and dialect.uploaded is enveloped else page
        if operation in {"create", "retrieve", "cancel"}:
            shown = shown_batch(value, dialect)
            if operation == "retrieve" and dialect.provider_ids:
                shown["id"] = provider_id(shown["id"])
            return dialect.created(shown) if operation == "create" and dialect.created else shown
        if operation in {"upload", "file"}:
            shown = shown_file(value, dialect)
            return dialect.uploaded(shown) if operation == "upload" and dialect.uploaded else shown
        return value

    async def _refuse(self, answer: Answer, send: Send) -> None:
        assert answer.start is not None
        error: Any = answer.value.get("error") if is_object(answer.value) else None
        if is_object(error):
            status, body = self._dialect.refuses(answer.status, error)
            await sent(send, answer.start, body, status)
        else:
            await send(answer.start)
            await send({"type": "http.response.body", "body": answer.body})


async def _refusing(call: Call, refusal: Refusal) -> Answer:
    return await Call(refused(refusal), call.scope, call.receive).answer()


def _operation(scope: Scope) -> str | None:
    sought = f"{scope['method']} {scope['path']}"
    return next((name for name, pattern in _OPERATIONS.items() if re.fullmatch(pattern, sought)), None)


def _whole(text: str | None, usual: int) -> int:
    return int(text) if text and text.isascii() and text.isdigit() else usual


def _rewrite(path: Path) -> int:
    """Store a file in other words: every line is encoded anew, with spaces that nobody else puts."""
    lines: list[Json | bytes] = []
    for line in path.read_bytes().splitlines(keepends=True):
        try:
            lines.append(json.loads(line))
        except ValueError:
            lines.append(line)
    with path.open("wb") as file:
        for each in lines:
            file.write(
                each
                if isinstance(each, bytes)
                else json.dumps(each, separators=(" , ", " : ")).encode() + b"\n"
            )
    return path.stat().st_size
