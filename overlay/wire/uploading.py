"""Uploads that a service sends on to a storage: the content is PUT there, without the token.

Together answers an upload with a redirect whose Location takes the bytes of the file, and nothing else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx

from overlay.errors import APIError
from overlay.wire.redirects import FOREIGN

_PIECE = 256 * 1024
_ID_HEADER = "-file-id"
"""How the name of the header ends that holds the new file's id: X-Together-File-Id."""


class UploadRedirectedError(APIError):
    """The service wants the content of an upload sent to another address. Not for callers: it is handled."""

    def __init__(self, target: str, file_id: str | None) -> None:
        super().__init__("the upload is redirected to a storage")
        self.target = target
        self.file_id = file_id


def is_upload(request: httpx.Request) -> bool:
    """Whether a request is the upload of a file."""
    return request.method == "POST" and request.url.path.endswith("/files")


def file_id_in(headers: Mapping[str, str]) -> str | None:
    """The id that a redirected upload's file will have."""
    return next((value for name, value in headers.items() if name.lower().endswith(_ID_HEADER)), None)


class FileContent(httpx.SyncByteStream, httpx.AsyncByteStream):
    """The bytes of a file, read from disk as they are sent."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __iter__(self) -> Iterator[bytes]:
        with self._path.open("rb") as file:
            while piece := file.read(_PIECE):
                yield piece

    async def __aiter__(self) -> AsyncIterator[bytes]:
        import anyio  # noqa: PLC0415 - not needed, and not loaded, by blocking clients

        async with await anyio.open_file(self._path, "rb") as file:
            while piece := await file.read(_PIECE):
                yield piece


def put_request(target: str, path: Path, client: Any) -> httpx.Request:
    """The request that sends a file to a storage: nothing in it could be a secret of ours."""
    url = httpx.URL(target)
    return httpx.Request(
        "PUT",
        url,
        stream=FileContent(path),
        headers={
            "Host": url.netloc.decode(),
            "Content-Length": str(path.stat().st_size),
            "User-Agent": client.headers["User-Agent"],
            "Accept-Encoding": "identity",
        },
        extensions={"timeout": client.timeout.as_dict(), FOREIGN: True},
    )
