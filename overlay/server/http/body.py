"""A JSON body, which in this API is short."""

from starlette.requests import Request

from overlay.server.refusals import Refusal

_LARGEST = 1 << 20


async def read_body(request: Request) -> bytes:
    """Raises `Refusal` for a body of more than 1 MiB."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _LARGEST:
            raise Refusal(413, "The body of the request is too large.")
    return body
