"""Who may come in: bearer tokens, and keys in Azure's `api-key` header."""

import hmac
import inspect
from collections.abc import Awaitable, Callable, Collection

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from overlay.server.refusals import Refusal, refused

Tokens = str | Collection[str] | Callable[[str], bool | Awaitable[bool]] | None


class Authentication:
    """Lets a request through when its token is accepted; the token goes on as `overlay.token` of the scope.

    `tokens` is a token, several, a callable that says whether one is good now, or None for any that is not empty.
    """

    def __init__(self, app: ASGIApp, tokens: Tokens) -> None:
        self._app = app
        self._accepted = _asking(tokens)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        token = token_of(scope)
        try:
            await self._check(token)
        except Refusal as refusal:
            await refused(refusal)(scope, receive, send)
            return
        scope["overlay.token"] = token
        await self._app(scope, receive, send)

    async def _check(self, token: str) -> None:
        if not token:
            raise Refusal(
                401,
                "You didn't provide an API key: send it in the Authorization header, as a bearer token, or in the"
                " api-key header.",
            )
        accepted = self._accepted(token)
        if not (await accepted if inspect.isawaitable(accepted) else accepted):
            raise Refusal(401, "Incorrect API key provided.", code="invalid_api_key")


def token_of(scope: Scope) -> str:
    """The bearer token of a request, else its `api-key`, else an empty string."""
    headers = Headers(scope=scope)
    scheme, _, token = headers.get("authorization", "").partition(" ")
    bearer = token.strip() if scheme.lower() == "bearer" else ""
    return bearer or headers.get("api-key", "").strip()


def _asking(tokens: Tokens) -> Callable[[str], bool | Awaitable[bool]]:
    if tokens is None:
        return bool
    if callable(tokens):
        return tokens
    known = [each.encode() for each in ([tokens] if isinstance(tokens, str) else tokens)]
    return lambda token: any(hmac.compare_digest(token.encode(), each) for each in known)
