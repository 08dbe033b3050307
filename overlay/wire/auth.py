"""Bearer tokens: fixed, or fetched when needed.

A provider is any callable without arguments that returns a `str` or a `Token`. A `str` is used for one request
only: the provider does the caching, as azure-identity's do. A `Token` says when it expires; it is kept until
shortly before, and renewed by one caller however many are waiting.

After a 401 the provider is called once more and the request sent once more. This is httpx's auth flow, which
also rewinds a body that can be rewound. However many requests are refused with the tokens of before, one call
serves them all, whether it gives a token or fails.
"""

from __future__ import annotations

import inspect
import re
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, TypeAlias

import attrs
import httpx

from overlay.errors import ConfigurationError, OverlayError, Problem, TokenProviderError
from overlay.hidden import hide, without_secrets
from overlay.wire.redirects import FOLLOWED, FOREIGN

BEARER = "Authorization"
"""The header of a bearer token."""
_JWT = re.compile(r"eyJ[\w-]*\.[\w-]+\.[\w-]*")
"""What an identity provider such as Entra issues, RFC 7519: it is a bearer token, never a key."""
PROVIDER_SECONDS = 60.0
"""How long `AsyncClient` waits for a provider."""
_EARLY_SECONDS = 300.0
_EARLY_SHARE = 0.1


@attrs.frozen
class Token:
    """A bearer token and when it expires.

    `expires_at` is an aware datetime. The token is renewed 5 minutes early, or a tenth of its life if that
    is less.
    """

    value: str = attrs.field(repr=False)
    expires_at: datetime


TokenProvider: TypeAlias = (
    Callable[[], str] | Callable[[], Token] | Callable[[], Awaitable[str]] | Callable[[], Awaitable[Token]]
)


@attrs.frozen
class Issued:
    """A token that was given out, and how many refused ones had been renewed by then."""

    value: str = attrs.field(repr=False)
    renewals: int


@attrs.frozen
class _Renewal:
    """What a call of the provider after a refusal has come to: a token, or why there is none."""

    token: Issued | None
    failure: str = ""


def _fault(value: object) -> str | None:
    """What is wrong with a token's text, without showing any of it; None if nothing is."""
    if not isinstance(value, str):
        return f"is {type(value).__name__}, not str"
    if not value:
        return "is empty"
    if not value.isascii():
        return "has characters outside ASCII"
    if any(character.isspace() or not character.isprintable() for character in value):
        return "contains white space or a control character (perhaps a line break at its end)"
    return None


class Tokens:
    """Where a client's tokens come from: a fixed one, or a provider with at most one call in flight."""

    def __init__(self, source: str | TokenProvider, *, now: Callable[[], float] = time.time) -> None:
        self._provider: Callable[[], Any] | None = None
        self._fixed = ""
        if callable(source):
            self._provider = source
        else:
            fault = _fault(source)
            if fault:
                raise ConfigurationError(f"the token {fault}")
            self._fixed = source
        hide(self._fixed)
        self._now = now
        self._cached: Issued | None = None
        self._renew_at = 0.0
        self._renewals = 0
        self._renewal = _Renewal(None)
        """The last one."""
        self.after_fork()

    def __repr__(self) -> str:
        return f"Tokens({'fixed' if self._provider is None else 'provided'})"

    def after_fork(self) -> None:
        """Forget locks that a thread of the parent process may have held."""
        self._lock = threading.Lock()
        self._async_lock: Any = None

    @property
    def renewable(self) -> bool:
        return self._provider is not None

    @property
    def identity(self) -> str:
        """What tells one account from another: the fixed token. Those of a provider change, and tell nothing."""
        return self._fixed

    def scrub(self, text: str) -> str:
        """The text without any token: services quote the key they reject."""
        return without_secrets(text)

    def scrub_error(self, error: OverlayError) -> OverlayError:
        """The error, with every text it holds scrubbed."""
        error.args = _scrubbed(error.args)
        for name, value in vars(error).items():
            setattr(error, name, _scrubbed(value))
        return error

    def get(self, rejected: Issued | None = None) -> Issued:
        """A token to send now; `rejected` is one that the service has just refused."""
        ready = self._ready(rejected)
        if ready is not None:
            return ready
        with self._lock:
            ready = self._ready(rejected)  # another thread may have renewed it meanwhile
            if ready is not None:
                return ready
            assert self._provider is not None
            self._cached = None
            failure, given = "", None
            try:
                given = self._provider()
            except Exception as error:  # noqa: BLE001 - whatever it is, it may hold the secret
                failure = _raised(type(error).__name__)
            if inspect.isawaitable(given):
                if inspect.iscoroutine(given):
                    given.close()
                failure = (
                    "the token provider is asynchronous: use AsyncClient, or give Client a plain function"
                )
            return self._accept(given, failure, renewed=rejected is not None)

    async def aget(self, rejected: Issued | None = None) -> Issued:
        """Like `get`, async. A plain provider runs in a thread and is abandoned after 60 seconds."""
        ready = self._ready(rejected)
        if ready is not None:
            return ready
        import anyio  # noqa: PLC0415 - not needed, and not loaded, by blocking clients

        if self._async_lock is None:
            self._async_lock = anyio.Lock()
        async with self._async_lock:
            ready = self._ready(rejected)
            if ready is not None:
                return ready
            self._cached = None
            failure, given = "", None
            try:
                with anyio.fail_after(PROVIDER_SECONDS):
                    if inspect.iscoroutinefunction(self._provider):
                        given = await self._provider()
                    else:
                        # In a list, because trio's threads return no awaitables.
                        (given,) = await anyio.to_thread.run_sync(self._call_provider, abandon_on_cancel=True)
                        if inspect.isawaitable(given):
                            given = await given
            except TimeoutError:
                failure = _raised(f"TimeoutError (no token within {PROVIDER_SECONDS:.0f} s)")
            except Exception as error:  # noqa: BLE001 - whatever it is, it may hold the secret
                failure = _raised(type(error).__name__)
            return self._accept(given, failure, renewed=rejected is not None)

    def _ready(self, rejected: Issued | None) -> Issued | None:
        """A token for which the provider need not be called. Raises TokenProviderError for a call that failed."""
        if self._provider is None:
            return Issued(self._fixed, 0)
        if rejected is not None and rejected.renewals < self._renewals:
            # Since it was given out, another one was refused and renewed.
            if self._renewal.token is None:
                raise TokenProviderError(self._renewal.failure)
            return self._renewal.token
        cached = self._cached
        if cached is None or self._now() >= self._renew_at:
            return None
        return cached if rejected is None or cached.value != rejected.value else None

    def _call_provider(self) -> list[Any]:
        assert self._provider is not None
        return [self._provider()]

    def _accept(self, given: object, failure: str, *, renewed: bool) -> Issued:
        """What the provider gave, if it can be used. What came of a renewal is kept for all that need it."""
        issued, life = None, 0.0
        if not failure:
            value = given.value if isinstance(given, Token) else given
            fault = _fault(value)
            if fault:
                failure = f"the token provider returned a value that {fault}"
            elif isinstance(given, Token):
                failure, life = self._life_of(given)
            if not failure:
                assert isinstance(value, str)
                issued = Issued(value, self._renewals + renewed)
        if renewed:
            # In this order: who sees the number sees what it came to.
            self._renewal = _Renewal(issued, failure)
            self._renewals += 1
        if issued is None:
            raise TokenProviderError(failure)
        hide(issued.value)
        if isinstance(given, Token):
            self._renew_at = self._now() + life - min(_EARLY_SECONDS, _EARLY_SHARE * life)
            self._cached = issued
        return issued

    def _life_of(self, given: Token) -> tuple[str, float]:
        """What is wrong with when a token expires, if anything is; else in how many seconds it does."""
        expires_at: object = given.expires_at
        if not isinstance(expires_at, datetime) or expires_at.tzinfo is None:
            return "the token's expires_at must be an aware datetime, as in datetime.now(UTC) + life", 0.0
        return "", (expires_at - datetime.fromtimestamp(self._now(), UTC)).total_seconds()


def _scrubbed(value: Any) -> Any:
    """A value that an error holds, without any token."""
    if isinstance(value, str):
        return without_secrets(value)
    if isinstance(value, Problem):
        return attrs.evolve(value, reason=without_secrets(value.reason))
    if type(value) is tuple:
        return tuple(map(_scrubbed, value))  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return value


def _raised(what: str) -> str:
    return f"the token provider raised {what}; call it directly to see why"


class TokenAuth(httpx.Auth):
    """Puts the token on each request, tries once more with a fresh one on a 401, and follows some redirects."""

    def __init__(self, tokens: Tokens, header: str = BEARER) -> None:
        self._tokens = tokens
        self._header = header

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        token = self._tokens.get()
        response = yield self._with_token(request, token)
        if response.status_code == HTTPStatus.UNAUTHORIZED and self._tokens.renewable:
            token = self._tokens.get(rejected=token)
            response = yield self._with_token(request, token)
        while (following := response.extensions.get(FOLLOWED)) is not None:
            response = yield self._with_token(following, token)

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        token = await self._tokens.aget()
        response = yield self._with_token(request, token)
        if response.status_code == HTTPStatus.UNAUTHORIZED and self._tokens.renewable:
            token = await self._tokens.aget(rejected=token)
            response = yield self._with_token(request, token)
        while (following := response.extensions.get(FOLLOWED)) is not None:
            response = yield self._with_token(following, token)

    def _with_token(self, request: httpx.Request, token: Issued) -> httpx.Request:
        if request.extensions.get(FOREIGN):
            return request  # it goes to another host
        if self._header == BEARER or _JWT.fullmatch(token.value):
            request.headers[BEARER] = f"Bearer {token.value}"
        else:
            request.headers[self._header] = token.value
        return request
