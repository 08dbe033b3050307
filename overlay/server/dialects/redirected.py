"""Together's upload in three steps: ask where to, put the content there, have it looked at.

POST /files               302, with the place in `Location` and the new file's id in `X-Together-File-Id`
PUT  the place            the content, and no token: a signed address and a token exclude each other
POST /files/{id}/preprocess   the file
"""

from collections.abc import AsyncIterator, Callable
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope, Send

from overlay.lines import is_object
from overlay.server.dialects.entering import STORAGE
from overlay.server.dialects.inner import Answer, Call, streamed
from overlay.server.refusals import Refusal, refused

_MOST = 1 << 16
_BOUNDARY = "overlay-storage"


class Redirected:
    """The uploads that were announced: what the content will be called, and who asked."""

    def __init__(self, new_file_id: Callable[[], str]) -> None:
        self._new_file_id = new_file_id
        self._announced: dict[str, tuple[str, str, bytes]] = {}

    async def announce(self, call: Call, send: Send) -> None:
        """Answer with the place."""
        request = Request(call.scope, call.receive)
        fields = dict(request.query_params) | await _fields(request)
        file_id = self._new_file_id()
        token = request.headers.get("authorization", "").encode()
        name = fields.get("file_name") or "upload.jsonl"
        self._announced[file_id] = (name, fields.get("purpose", ""), token)
        place = f"{request.url.scheme}://{request.url.netloc}{STORAGE}{file_id}?signature=any"
        answer = Response(status_code=302, headers={"location": place, "x-together-file-id": file_id})
        await answer(call.scope, call.receive, send)

    async def put(self, call: Call, send: Send) -> None:
        """Take the content, once, from whoever knows the place."""
        file_id = call.scope["path"].removeprefix(STORAGE)
        if call.scope.get("overlay.sent_keys"):
            refusal = Refusal(
                400, "Only one auth mechanism allowed: the address is signed, and a token was sent."
            )
            await refused(refusal)(call.scope, call.receive, send)
            return
        if file_id not in self._announced:
            await refused(Refusal(403, "There is no such place."))(call.scope, call.receive, send)
            return
        stored = await self._store(call, file_id)
        if stored.status != 200:  # noqa: PLR2004 - HTTP's own number
            refusal = Refusal(400, str(stored.value))
            await refused(refusal)(call.scope, call.receive, send)
            return
        del self._announced[file_id]
        await Response(status_code=200)(call.scope, call.receive, send)

    async def _store(self, call: Call, file_id: str) -> Answer:
        name, purpose, token = self._announced[file_id]
        scope: Scope = {**call.to("POST", "/v1/files").scope, "overlay.file_id": file_id}
        kind = f"multipart/form-data; boundary={_BOUNDARY}".encode()
        scope["headers"] = [(b"authorization", token), (b"content-type", kind)]
        pieces = _form(name, purpose, Request(call.scope, call.receive).stream())
        return await Call(call.app, scope, streamed(pieces)).answer()


async def _form(name: str, purpose: str, content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    part = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="'
    quoted = name.replace("\\", "_").replace('"', "_")
    yield f'{part}purpose"\r\n\r\n{purpose}\r\n{part}file"; filename="{quoted}"\r\n\r\n'.encode()
    async for piece in content:
        yield piece
    yield f"\r\n--{_BOUNDARY}--\r\n".encode()


async def _fields(request: Request) -> dict[str, str]:
    """The fields of a small form or JSON object; a file that is sent along is passed over."""
    kind = request.headers.get("content-type", "")
    if kind.startswith("multipart/"):
        async with request.form() as form:
            return {name: value for name, value in form.items() if isinstance(value, str)}
    body = b""
    async for piece in request.stream():
        body += piece[:_MOST]
    if kind.startswith("application/json"):
        try:
            value = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return {}
        return {name: str(each) for name, each in value.items()} if is_object(value) else {}
    return dict(parse_qsl(body.decode("utf-8", "replace")))
