"""`Client` and `AsyncClient`: a table that binds verbs to flows, and the only place that reads the environment.

with Client() as client:
    file = client.files.upload("requests.jsonl")
    batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions")
    batch = client.batches.wait(batch.id)
    for result in client.batches.results(batch.id):
        print(result.custom_id, result.text if result.ok else result.error)
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

from overlay import batches, files, jobs, preparing, recovery, waiting
from overlay.auth import TokenProvider, Tokens
from overlay.binding import AsyncResource, Resource, apaging, arunning, awaiting, blocking, paging, running
from overlay.collecting import asked, open_batch
from overlay.connection import Settings
from overlay.drivers import Awaiting, Blocking
from overlay.errors import ConfigurationError
from overlay.flow import Seconds, seconds
from overlay.reading import AsyncResults, Results

DEFAULT_BASE_URL = "https://api.openai.com/v1"


class Batches(Resource):
    """The operations on batches."""

    create = blocking(batches.create)
    retrieve = blocking(batches.retrieve)
    list = paging(batches.page)
    cancel = blocking(batches.cancel)
    wait = blocking(waiting.wait)

    def results(
        self, batch_id: str, *, requests: str | os.PathLike[str] | None = None, ordered: bool = True
    ) -> Results:
        """The results of an ended batch, to iterate over: one for each request, in the requests' order.

        The order, and what is missing, is taken from `requests`, the path of the file that was uploaded, or
        else from the service's copy of it. `ordered=False` needs neither and gives the lines as the service's
        files have them; requests without an answer then do not show.

        Raises, when iterated, BatchNotEndedError, BatchFailedError, NoResultsError and FileGoneError.
        """
        return Results(self._driver, partial(open_batch, asked(batch_id, requests, ordered=ordered)))


class AsyncBatches(AsyncResource):
    """The operations on batches, awaited."""

    create = awaiting(batches.create)
    retrieve = awaiting(batches.retrieve)
    list = apaging(batches.page)
    cancel = awaiting(batches.cancel)
    wait = awaiting(waiting.wait)

    def results(
        self, batch_id: str, *, requests: str | os.PathLike[str] | None = None, ordered: bool = True
    ) -> AsyncResults:
        """As `Batches.results`, for `async for` and `async with`."""
        return AsyncResults(self._driver, partial(open_batch, asked(batch_id, requests, ordered=ordered)))


class Files(Resource):
    """The operations on files."""

    upload = blocking(files.upload)
    retrieve = blocking(files.retrieve)
    list = paging(files.page)
    download = blocking(files.download)
    delete = blocking(files.delete)


class AsyncFiles(AsyncResource):
    """The operations on files, awaited."""

    upload = awaiting(files.upload)
    retrieve = awaiting(files.retrieve)
    list = apaging(files.page)
    download = awaiting(files.download)
    delete = awaiting(files.delete)


class Jobs(Resource):
    """Any number of requests as one durable job."""

    identify = blocking(preparing.identify)
    submit = blocking(jobs.submit)
    resume = blocking(jobs.resume)
    wait = blocking(jobs.wait)
    retrieve = blocking(jobs.retrieve)
    list = blocking(jobs.list_jobs)
    cancel = blocking(jobs.cancel)
    delete = blocking(jobs.delete)
    clean = blocking(recovery.clean)
    recover = blocking(recovery.recover)
    run = running(jobs.submit)

    def results(self, job_id: str) -> Results:
        """The results of an ended job, one for each request, in the requests' order, from this machine's disk.

        Raises, when iterated, JobNotFoundError and JobNotEndedError.
        """
        return Results(self._driver, partial(jobs.open_results, job_id))


class AsyncJobs(AsyncResource):
    """Any number of requests as one durable job, awaited."""

    identify = awaiting(preparing.identify)
    submit = awaiting(jobs.submit)
    resume = awaiting(jobs.resume)
    wait = awaiting(jobs.wait)
    retrieve = awaiting(jobs.retrieve)
    list = awaiting(jobs.list_jobs)
    cancel = awaiting(jobs.cancel)
    delete = awaiting(jobs.delete)
    clean = awaiting(recovery.clean)
    recover = awaiting(recovery.recover)
    run = arunning(jobs.submit)

    def results(self, job_id: str) -> AsyncResults:
        """As `Jobs.results`, for `async for` and `async with`."""
        return AsyncResults(self._driver, partial(jobs.open_results, job_id))


class Client:
    """The Batch API, blocking. One client serves many threads; close it, or use it in a `with` block.

    `token` is a string or a provider (see `overlay.auth`), by default OPENAI_API_KEY. `base_url` is by default
    OPENAI_BASE_URL, then OpenAI's; `http://` is refused unless it is this machine or `allow_insecure`.
    `organization` and `project` are by default OPENAI_ORG_ID and OPENAI_PROJECT_ID. `timeout` (a timedelta or
    seconds) bounds the wait for an answer, and then for the rest of it. `max_retries` is how often a call that
    does no harm when repeated is repeated. `headers` go along with every request. `transport` is an httpx
    transport to use in place of the network. `home` is the folder that keeps jobs, by default OVERLAY_HOME, then
    `overlay` in the folder for programs' state.

    Raises ConfigurationError where there is no token, or where one of these cannot be used.
    """

    def __init__(
        self,
        *,
        token: str | TokenProvider | None = None,
        base_url: str | None = None,
        organization: str | None = None,
        project: str | None = None,
        timeout: Seconds = 60.0,
        max_retries: int = 5,
        headers: Mapping[str, str] | None = None,
        transport: httpx.BaseTransport | None = None,
        home: str | os.PathLike[str] | None = None,
        allow_insecure: bool = False,
    ) -> None:
        settings = _settings(
            token=token,
            base_url=base_url,
            organization=organization,
            project=project,
            timeout=timeout,
            max_retries=max_retries,
            headers=headers,
            transport=transport,
            home=home,
            allow_insecure=allow_insecure,
        )
        self._driver = Blocking(settings)
        self.batches = Batches(self._driver)
        self.files = Files(self._driver)
        self.jobs = Jobs(self._driver)

    def __repr__(self) -> str:
        return f"Client(base_url={self._driver.settings.base_url!r})"

    def close(self) -> None:
        """Close its connections. It cannot be used afterwards."""
        self._driver.connections.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient:
    """The Batch API, awaited, under asyncio or trio. The arguments are those of `Client`."""

    def __init__(
        self,
        *,
        token: str | TokenProvider | None = None,
        base_url: str | None = None,
        organization: str | None = None,
        project: str | None = None,
        timeout: Seconds = 60.0,
        max_retries: int = 5,
        headers: Mapping[str, str] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        home: str | os.PathLike[str] | None = None,
        allow_insecure: bool = False,
    ) -> None:
        settings = _settings(
            token=token,
            base_url=base_url,
            organization=organization,
            project=project,
            timeout=timeout,
            max_retries=max_retries,
            headers=headers,
            transport=transport,
            home=home,
            allow_insecure=allow_insecure,
        )
        self._driver = Awaiting(settings)
        self.batches = AsyncBatches(self._driver)
        self.files = AsyncFiles(self._driver)
        self.jobs = AsyncJobs(self._driver)

    def __repr__(self) -> str:
        return f"AsyncClient(base_url={self._driver.settings.base_url!r})"

    async def aclose(self) -> None:
        """Close its connections. It cannot be used afterwards."""
        await self._driver.connections.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def _settings(
    *,
    token: str | TokenProvider | None,
    base_url: str | None,
    organization: str | None,
    project: str | None,
    timeout: Seconds,
    max_retries: int,
    headers: Mapping[str, str] | None,
    transport: Any,
    home: str | os.PathLike[str] | None,
    allow_insecure: bool,
) -> Settings:
    token = token if token is not None else os.environ.get("OPENAI_API_KEY")
    if token is None:
        raise ConfigurationError("no token: pass token=, a string or a provider, or set OPENAI_API_KEY")
    limit = seconds(timeout)
    if not limit > 0:
        raise ConfigurationError(f"timeout is a time greater than zero, not {timeout!r}")
    if isinstance(max_retries, bool) or not isinstance(max_retries, int) or max_retries < 0:
        raise ConfigurationError(f"max_retries is a number from 0 on, not {max_retries!r}")
    sent = {
        "OpenAI-Organization": organization or os.environ.get("OPENAI_ORG_ID"),
        "OpenAI-Project": project or os.environ.get("OPENAI_PROJECT_ID"),
        **(headers or {}),
    }
    for name, value in sent.items():
        if value is not None and (not value.isascii() or not value.isprintable()):
            raise ConfigurationError(f"the header {name} holds characters that a header cannot")
    return Settings(
        base_url=_base_url(base_url or os.environ.get("OPENAI_BASE_URL") or DEFAULT_BASE_URL, allow_insecure),
        tokens=Tokens(token),
        headers={name: value for name, value in sent.items() if value},
        timeout=limit,
        max_retries=max_retries,
        home=Path(home or os.environ.get("OVERLAY_HOME") or _state_folder()),
        transport=transport,
    )


def _state_folder() -> Path:
    """Where a program keeps its state: the XDG Base Directory Specification, "XDG_STATE_HOME"."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "overlay"


def _base_url(text: str, allow_insecure: bool) -> str:
    """A base URL that a token may be sent to."""
    try:
        url = urlsplit(text.strip())
        port_is_a_number = url.port is None or url.port >= 0
    except ValueError:
        raise ConfigurationError("the base URL cannot be read") from None
    if url.scheme not in {"http", "https"} or not url.hostname or not port_is_a_number:
        raise ConfigurationError(f"the base URL {text!r:.200} is not http:// or https:// with a host")
    if url.username is not None or url.password is not None:
        raise ConfigurationError("the base URL holds a user name or password; pass token= instead")
    if url.query or url.fragment:
        raise ConfigurationError(f"the base URL {text!r:.200} has a query or fragment; give the path only")
    if url.scheme == "http" and not allow_insecure and not _is_loopback(url.hostname):
        raise ConfigurationError(
            f"http://{url.hostname} would send the token unencrypted: use https://, or allow_insecure=True"
        )
    return text.strip().rstrip("/")


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):  # RFC 6761, section 6.3
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
