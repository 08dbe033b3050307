"""The application that receives webhooks: `webhooks.app(client)`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from overlay.client import AsyncClient, Client
from overlay.errors import ConfigurationError, StorageError, WebhookError
from overlay.operations.hints import LISTENED_SECONDS
from overlay.webhooks.receiver import OnEvent, Receiver
from overlay.wire.clock import Seconds, seconds

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

_log = logging.getLogger("overlay.webhooks")
_LONGEST_BODY = 256 * 1024
"""An event of a batch has a few hundred bytes."""
_TAKEN, _REFUSED, _TOO_LONG, _NO_ROOM = 204, 400, 413, 503


def app(
    client: Client | AsyncClient,
    *,
    secret: str | Sequence[str] | None = None,
    on_event: OnEvent | None = None,
    tolerance: Seconds = 300.0,
    path: str = "/",
) -> Starlette:
    """An ASGI application that receives webhooks by POST at `path` (extra `serve`).

    An event of a batch ends the pause of whatever waits for that batch, or for a job that has it, with the home
    folder of `client`: within half a second, in any process of this machine. The wait then asks the service. While
    webhooks are received, pauses grow to five minutes instead of one.

    `secret` is what the service showed when the webhook was set up, or several while one takes the place of
    another; by default OPENAI_WEBHOOK_SECRET. `on_event` is called with each BatchEvent, in a thread, once however
    often it is sent, unless it raises: then the service is asked to send it again. `tolerance`, a timedelta or
    seconds, is how old a webhook may be.

    Where you mount it in an application of your own, run its `router.lifespan_context`, too: it says to waits that
    webhooks are received.

    Raises ConfigurationError without the extra or a secret, and StorageError if the home folder cannot be used.
    """
    try:
        from starlette.applications import Starlette  # noqa: PLC0415 - of the extra
        from starlette.routing import Route  # noqa: PLC0415
    except ImportError as error:
        raise ConfigurationError(
            f"receiving webhooks needs {error.name}: pip install 'openai-batch-overlay[serve]'"
        ) from None
    receiver = Receiver(client._settings.home, secret, seconds(tolerance), on_event)  # noqa: SLF001 - of the project
    receiver.start()

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        telling = asyncio.ensure_future(_tell(receiver))
        try:
            yield
        finally:
            telling.cancel()
            with suppress(asyncio.CancelledError):
                await telling

    return Starlette(routes=[Route(path, partial(_receive, receiver), methods=["POST"])], lifespan=lifespan)


async def _tell(receiver: Receiver) -> None:
    """Say that the receiver is there, for as long as it is."""
    while True:
        try:
            await asyncio.to_thread(receiver.is_there)
        except StorageError as error:
            _log.warning("%s", error)
        await asyncio.sleep(LISTENED_SECONDS / 4)


async def _receive(receiver: Receiver, request: Request) -> Response:
    from starlette.concurrency import run_in_threadpool  # noqa: PLC0415 - of the extra
    from starlette.responses import PlainTextResponse, Response  # noqa: PLC0415

    def refused(status: int, why: str) -> Response:
        _log.warning("a webhook is refused: %s", why)
        return PlainTextResponse(f"{why}\n", status)

    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LONGEST_BODY:
            return refused(_TOO_LONG, f"it is longer than {_LONGEST_BODY:,} bytes")
    taking: Any = partial(receiver.take, bytes(body), dict(request.headers))
    try:
        await run_in_threadpool(taking)
    except WebhookError as error:
        return refused(_REFUSED, str(error))
    except StorageError as error:
        _log.warning("%s", error)
        return PlainTextResponse("it cannot be stored at present\n", _NO_ROOM)
    return Response(status_code=_TAKEN)
