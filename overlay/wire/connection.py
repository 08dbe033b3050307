"""How calls go out and answers come in: httpx clients, one for each kind of call, and their guards.

Generated code takes its per-call options only from its client, so each profile has its own client:

- `read` for everything that can be repeated;
- `create` for `POST /batches`, which must not be: no connection is reused, since a reused one may turn out
  to be closed only after the request was sent;
- `upload`, whose answer may take five minutes.

A guard in httpx's response hook runs before generated code sees the answer (and could choke on it) and before
the auth flow does. It caps what is read, unpacks what is compressed though nobody asked for it (half a megabyte of
gzip can hold half a gigabyte), and raises on every error status but 401 and the redirects that are followed, which
the auth flow handles first.
"""

from __future__ import annotations

import codecs
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar
from urllib.parse import parse_qsl, urlsplit

import attrs
import httpx

from overlay.errors import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    ConfigurationError,
    InvalidResponseError,
    OverlayError,
)
from overlay.generated import Client as GeneratedClient
from overlay.services import ServiceProfile
from overlay.version import VERSION
from overlay.wire.auth import TokenAuth, Tokens
from overlay.wire.bounds import Meter, MeteredStream, SentStream, TotalTimeout
from overlay.wire.clients import AwaitingClient, BlockingClient
from overlay.wire.clock import Clock, SystemClock
from overlay.wire.decoding import JSONResponse
from overlay.wire.environment import variable
from overlay.wire.hosts import is_loopback
from overlay.wire.redirects import FOLLOWED, FOREIGN, next_request, target_of
from overlay.wire.refusals import status_error
from overlay.wire.unpacking import UnpackedStream, can_unpack
from overlay.wire.uploading import UploadRedirectedError, file_id_in, is_upload

if TYPE_CHECKING:
    from overlay.telemetry import Telemetry

Profile: TypeAlias = Literal["read", "create", "upload"]
T = TypeVar("T")

_JSON_CAP = 8 * 1024 * 1024
_ERROR_CAP = 64 * 1024
_CONNECT_SECONDS = 5.0
_POOL_SECONDS = 30.0
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_UPLOAD_ANSWER_SECONDS = 300.0
_building = threading.Lock()
"""Held while a client is built, for which httpx imports modules. A fork waits for it: a child would wait for ever
for a module that a thread of its parent was importing."""
os.register_at_fork(
    before=_building.acquire, after_in_parent=_building.release, after_in_child=_building.release
)
_REMEMBERED = 10_000
_LOOPBACK = ("all://localhost", "all://*.localhost", "all://127.0.0.1", "all://[::1]")
STREAMED = "overlay.streamed"
"""The request extension that marks a body as streamed, and so not capped."""


@attrs.define(kw_only=True)
class Settings:
    """A client's settings, checked and completed."""

    base_url: str
    service: ServiceProfile
    """What the service does otherwise than OpenAI."""
    tokens: Tokens
    headers: Mapping[str, str] = attrs.field(repr=False)
    timeout: float
    max_retries: int
    home: Path = attrs.field(factory=Path)
    """The folder of the jobs."""
    object_store: str | None = None
    """The address of the home where it is not that folder: `s3://bucket/prefix`."""
    transport: Any = None
    telemetry: Telemetry | None = None
    """Where calls and the steps of jobs are told; None, nowhere."""
    clock: Clock = attrs.field(factory=SystemClock)
    server_date: tuple[str, float] | None = None
    """The last Date header seen, and the monotonic time when it was."""
    keeps_metadata: bool | None = None
    """Whether the service shows the metadata that batches were created with; None until it was seen."""
    bare_lists: bool = False
    """Whether the service's lists are known to be arrays, with nothing around them."""
    given: set[str] = attrs.field(factory=set[str], repr=False)
    """Ids of batches that answers have named, at a service that keeps no metadata."""
    uploaded: dict[str, tuple[float, str | None]] = attrs.field(
        factory=dict[str, tuple[float, "str | None"]], repr=False
    )
    """The files that this client uploaded last: when, by the monotonic clock, and their status then."""
    created: dict[str, float] = attrs.field(factory=dict[str, float], repr=False)
    """The batches that this client created last: when, by the monotonic clock."""
    inputs: dict[str, str] = attrs.field(factory=dict[str, str], repr=False)
    """The input files of batches, by the batches' ids, as far as they are known for sure."""
    told: set[str] = attrs.field(factory=set[str], repr=False)
    """Warnings that were given, and are not repeated."""
    unresolved: dict[Any, list[Any]] = attrs.field(factory=dict[Any, list[Any]], repr=False)
    """Creates that were cancelled on their way, by what they asked for: see `overlay.operations.create`."""

    @property
    def home_name(self) -> str:
        """The home, as its owner knows it."""
        return self.object_store or str(self.home)

    def note_upload(self, file_id: str, status: str | None) -> None:
        """Remember a file that was uploaded just now."""
        _keep(self.uploaded, file_id, (self.clock.monotonic(), status))

    def note_batch(self, batch_id: str, input_file_id: str | None) -> None:
        """Remember a batch that was created just now."""
        _keep(self.created, batch_id, self.clock.monotonic())
        if input_file_id:
            _keep(self.inputs, batch_id, input_file_id)

    @property
    def host(self) -> str:
        return urlsplit(self.base_url).netloc

    def client_options(self, profile: Profile) -> dict[str, Any]:
        """The arguments of httpx.Client for a profile."""
        answer = max(self.timeout, _UPLOAD_ANSWER_SECONDS) if profile == "upload" else self.timeout
        limits = httpx.Limits(max_keepalive_connections=0) if profile == "create" else httpx.Limits()
        return {
            "auth": TokenAuth(self.tokens, self.service.key_header),
            "base_url": self.base_url.partition("?")[0],
            "params": parse_qsl(urlsplit(self.base_url).query, keep_blank_values=True) or None,
            "headers": {
                "Accept-Encoding": "identity",
                "User-Agent": f"openai-batch-overlay/{VERSION}",
                **self.headers,
            },
            "limits": limits,
            "timeout": httpx.Timeout(
                self.timeout,
                connect=min(self.timeout, _CONNECT_SECONDS),
                pool=_POOL_SECONDS,
                read=answer,
            ),
            "transport": self.transport,
            # No proxy of the environment is on the way to this machine itself, and none is shown the token.
            "mounts": None if self.transport is not None else dict.fromkeys(self._direct()),
        }

    def _direct(self) -> Iterator[str]:
        """The hosts, as httpx's patterns, that are called without a proxy."""
        yield from _LOOPBACK
        host = urlsplit(self.base_url).hostname or ""
        if is_loopback(host):
            yield f"all://[{host}]" if ":" in host else f"all://{host}"


def _keep(remembered: dict[str, T], name: str, value: T) -> None:
    """Remember something, and forget the oldest for it where there is much."""
    while len(remembered) >= _REMEMBERED:
        remembered.pop(next(iter(remembered)), None)
    remembered[name] = value


def call_name(request: httpx.Request) -> str:
    """The method and path of a request, for messages."""
    return f"{request.method} {request.url.path}"


def _host_of(settings: Settings, request: httpx.Request) -> str:
    """Who was asked: the service, or a storage that it sent us on to."""
    return request.url.netloc.decode() if request.extensions.get(FOREIGN) else settings.host


def _admit(settings: Settings, response: httpx.Response) -> bool:
    """Put the guard on an answer. True: it is an error, to be read and raised."""
    request = response.request

    def call() -> str:
        return f"{call_name(request)} at {_host_of(settings, request)}"

    date = response.headers.get("date")
    if date and not request.extensions.get(FOREIGN):
        settings.server_date = date, settings.clock.monotonic()
    timeouts = request.extensions.get("timeout", {})
    if isinstance(timeouts.get("read"), TotalTimeout):
        # The headers are here. The meter, or the download, limits what the body may take.
        timeouts["read"] = timeouts["read"].seconds
    following = next_request(response, content=STREAMED in request.extensions)
    refused = not response.is_success
    unreadable = _unpack(response, call, refused=refused)
    if refused or STREAMED not in request.extensions:
        cap = 0 if unreadable else _ERROR_CAP
        meter = Meter(
            call,
            cap=cap if refused else _JSON_CAP,
            refuse=not refused,
            seconds=settings.timeout,
            clock=settings.clock,
        )
        response.stream = MeteredStream(response.stream, meter)
    if not refused:
        if STREAMED not in request.extensions:
            # Generated code parses only the status that the specification names; other services send 201.
            response.status_code = HTTPStatus.OK
            response.__class__ = JSONResponse  # sound because it adds nothing but a method
        return False
    if following is not None:
        response.extensions[FOLLOWED] = following
        return False
    if settings.service.upload_redirects and is_upload(request) and (target := target_of(response)):
        raise UploadRedirectedError(str(target), file_id_in(response.headers))
    return response.status_code != HTTPStatus.UNAUTHORIZED


def _unpack(response: httpx.Response, call: Callable[[], str], *, refused: bool) -> bool:
    """Have a compressed answer unpacked as it is read; True for an error whose words cannot be read."""
    said = response.headers.get("content-encoding", "identity")
    encoding = said.strip().lower()
    if encoding in {"identity", ""}:
        return False
    if not can_unpack(encoding):
        if not refused:
            raise InvalidResponseError(f"{call()}: the answer is encoded as {said}, which was not requested")
        # Its message is dropped unread; the status is what counts.
        response.headers["content-encoding"] = "identity"
        return True
    response.stream = UnpackedStream(response.stream, encoding, call)
    # The length is that of what was sent; and httpx must not unpack it once more.
    response.headers.pop("content-length", None)
    if refused or STREAMED not in response.request.extensions:
        response.headers["content-encoding"] = "identity"
    return False


def refusal(
    settings: Settings, status_code: int, headers: Mapping[str, str], body: bytes, call: str
) -> OverlayError:
    """The typed error for an error answer, free of tokens."""
    scrubbed = settings.tokens.scrub(body.decode("utf-8", "replace")).encode()
    error = status_error(status_code, headers, scrubbed, host=settings.host, call=call)
    if status_code == HTTPStatus.NOT_FOUND and _may_lack_version(settings, call):
        error.args = (f"{error}; does the base URL, {settings.base_url}, lack /v1?",)
    return error


def _may_lack_version(settings: Settings, call: str) -> bool:
    """Whether a list, or a create, was not found at an address without a version: no id can be what is wrong."""
    path = urlsplit(settings.base_url).path.strip("/")
    return not path and call.partition("?")[0].endswith(("/batches", "/files", " batches", " files"))


def transport_error(settings: Settings, error: Exception, call: str) -> OverlayError | None:
    """The typed error for what httpx, or generated code on top of it, raised; None if it is not theirs.

    It is raised without its cause: httpx's exceptions hold the request, and so its token.
    """
    reason = settings.tokens.scrub(str(error)) or type(error).__name__
    place = f"{call} at {settings.host}"
    if isinstance(error, httpx.ConnectTimeout | httpx.PoolTimeout):
        return APITimeoutError(f"{place}: no connection in time ({type(error).__name__})", sent=False)
    if isinstance(error, httpx.TimeoutException):
        return APITimeoutError(f"{place}: no answer in time ({type(error).__name__})")
    if isinstance(error, httpx.ConnectError | httpx.ProxyError):
        return APIConnectionError(f"{place}: cannot connect: {reason}", sent=False)
    if isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL) or _is_our_fault(error):
        return ConfigurationError(f"{place}: cannot be sent: {reason}")
    if isinstance(error, httpx.TransportError):
        return APIConnectionError(f"{place}: the connection broke: {reason}")
    if isinstance(error, RuntimeError) and "client has been closed" in str(error):
        return ConfigurationError("this client is closed")
    if isinstance(error, MemoryError):
        return InvalidResponseError(f"{place}: not enough memory for the answer")
    if isinstance(error, ValueError | TypeError | KeyError | AttributeError | RecursionError | OverflowError):
        return InvalidResponseError(
            f"{place}: the answer cannot be read ({type(error).__name__}: {reason[:200]})"
        )
    return None


def _is_our_fault(error: Exception) -> bool:
    """Whether a request breaks HTTP's rules; for a body not as long as announced, h11 raises, not httpx."""
    return type(error).__name__ == httpx.LocalProtocolError.__name__


class Connections:
    """The blocking clients, each built once, on first use; many threads can share a set.

    A forked child builds its own: two processes on one connection would read each other's answers.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._inherited: list[dict[Profile, GeneratedClient]] = []
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._built: dict[Profile, GeneratedClient] = {}
        self._verify: Any = None
        self.closed = False

    def get(self, profile: Profile) -> GeneratedClient:
        """The generated client of a profile."""
        if self._pid != os.getpid():
            self._settings.tokens.after_fork()
            self._inherited.append(self._built)  # the parent closes them; dropping them here would warn
            self._reset()
        built = self._built.get(profile)
        if built is None:
            with _building:
                # The first connection imports it: a process that is forked meanwhile could never import again.
                codecs.lookup("idna")
                built = self._built.get(profile)
                if built is None:
                    if self.closed:
                        raise ConfigurationError("this client is closed")
                    built = self._built[profile] = self._build(profile)
        return built

    def _options(self, profile: Profile) -> dict[str, Any]:
        options = self._settings.client_options(profile)
        if options["transport"] is None:
            # Loading certificates is most of the cost of building a client, so it is done once for all.
            self._verify = self._verify or _certificates()
            options["verify"] = self._verify
        return options

    def _build(self, profile: Profile) -> GeneratedClient:
        generated = GeneratedClient(base_url=self._settings.base_url)
        hooks = {"request": self._request_hooks(self._set_timeout), "response": [self._guard]}
        client = _built(self._kind(), event_hooks=hooks, **self._options(profile))
        client.service = self._settings.service
        return generated.set_httpx_client(client)

    def _kind(self) -> Callable[..., BlockingClient]:
        if self._settings.telemetry is None:
            return BlockingClient
        from overlay.wire.traced import TracedBlockingClient  # noqa: PLC0415 - loaded where it is used

        return partial(TracedBlockingClient, self._settings.telemetry)

    def _request_hooks(self, hook: Callable[..., Any]) -> list[Callable[..., Any]]:
        # A transport other than httpx's may calculate with the timeout.
        return [hook] if self._settings.transport is None else []

    def _set_timeout(self, request: httpx.Request) -> None:
        timeouts = request.extensions["timeout"]
        timeouts["read"] = total = TotalTimeout(timeouts["read"], self._settings.clock)
        # Before the answer a proxy may have answered: its time does not count, nor that of a long upload.
        request.stream = SentStream(request.stream, total)

    def _guard(self, response: httpx.Response) -> None:
        if _admit(self._settings, response):
            try:
                body = response.read()
            except (httpx.TransportError, APIError):
                body = b""
            raise refusal(
                self._settings, response.status_code, response.headers, body, call_name(response.request)
            )

    def close(self) -> None:
        self.closed = True
        while self._built:
            self._built.popitem()[1].get_httpx_client().close()


def _certificates() -> Any:
    try:
        return httpx.create_ssl_context()
    except OSError as error:  # of which ssl.SSLError is one
        names = [name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if variable(name)]
        raise ConfigurationError(
            f"the certificates cannot be loaded: {error}; check {' and '.join(names) or 'the installation'}"
        ) from None


def _built(kind: Callable[..., T], **options: Any) -> T:
    """A client of httpx. Raises ConfigurationError where the environment names a proxy that cannot be used."""
    try:
        return kind(**options)
    except (ValueError, ImportError, httpx.InvalidURL, OSError) as error:
        # Not its text, which may hold the proxy's password.
        hint = "; install httpx[socks]" if isinstance(error, ImportError) else ""
        names = [name for name in _PROXIES if variable(name) or variable(name.lower())]
        raise ConfigurationError(
            f"the proxy cannot be used ({type(error).__name__}): check {', '.join(names)}{hint}"
        ) from None


class AsyncConnections(Connections):
    """The same for `AsyncClient`."""

    def _build(self, profile: Profile) -> GeneratedClient:
        generated = GeneratedClient(base_url=self._settings.base_url)
        hooks = {"request": self._request_hooks(self._aset_timeout), "response": [self._aguard]}
        client = _built(self._akind(), event_hooks=hooks, **self._options(profile))
        client.service = self._settings.service
        return generated.set_async_httpx_client(client)

    def _akind(self) -> Callable[..., AwaitingClient]:
        if self._settings.telemetry is None:
            return AwaitingClient
        from overlay.wire.traced import TracedAwaitingClient  # noqa: PLC0415 - loaded where it is used

        return partial(TracedAwaitingClient, self._settings.telemetry)

    async def _aset_timeout(self, request: httpx.Request) -> None:
        self._set_timeout(request)

    async def _aguard(self, response: httpx.Response) -> None:
        if _admit(self._settings, response):
            try:
                body = await response.aread()
            except (httpx.TransportError, APIError):
                body = b""
            raise refusal(
                self._settings, response.status_code, response.headers, body, call_name(response.request)
            )

    async def aclose(self) -> None:
        self.closed = True
        while self._built:
            await self._built.popitem()[1].get_async_httpx_client().aclose()
