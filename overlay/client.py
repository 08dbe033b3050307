"""`Client` and `AsyncClient`: tables that bind verbs to flows.

with Client() as client:
    file = client.files.upload("requests.jsonl")
    batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions")
    batch = client.batches.wait(batch.id)
    for result in client.batches.results(batch.id):
        print(result.custom_id, result.text if result.ok else result.error)
"""

from __future__ import annotations

import os
from functools import cached_property, partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

import httpx

from overlay.flows.binding import AsyncResource, Resource, apaging, awaiting, blocking, paging
from overlay.flows.drivers import Awaiting, Blocking
from overlay.operations import batches, files, waiting
from overlay.results.fetching import open_batch, results_query
from overlay.results.iterables import AsyncResults, Results
from overlay.results.matching import Match
from overlay.wire.connection import Settings
from overlay.wire.settings import Configured

if TYPE_CHECKING:
    from overlay.tables.resource import AsyncJobs, Jobs


class Batches(Resource):
    """The operations on batches."""

    create = blocking(batches.create)
    retrieve = blocking(batches.retrieve)
    list = paging(batches.page)
    cancel = blocking(batches.cancel)
    wait = blocking(waiting.wait)

    def results(
        self,
        batch_id: str,
        *,
        requests: str | os.PathLike[str] | None = None,
        ordered: bool = True,
        match: Match = "custom_id",
    ) -> Results:
        """The results of an ended batch, to iterate over: one for each request, in the requests' order.

        The order, and what is missing, comes from `requests`, the path of the uploaded file, or else from the
        service's copy of it. `ordered=False` needs neither and gives the lines in the order of the service's
        files, as they arrive; requests without an answer are then left out.

        A service may lose the custom_ids. `match="order"` gives answers that name no request to the requests that
        have none, each in their order: only where you know that the service keeps it.

        A result file that is not there is waited for until ten minutes after the end of the batch. Iterating raises
        BatchNotEndedError, BatchFailedError, NoResultsError, IncompleteResultsError, UnclaimedAnswersError and
        FileGoneError.
        """
        query = results_query(batch_id, requests, ordered=ordered, match=match, run=self._driver.run)
        return Results(self._driver, partial(open_batch, query))


class AsyncBatches(AsyncResource):
    """The operations on batches, async."""

    create = awaiting(batches.create)
    retrieve = awaiting(batches.retrieve)
    list = apaging(batches.page)
    cancel = awaiting(batches.cancel)
    wait = awaiting(waiting.wait)

    def results(
        self,
        batch_id: str,
        *,
        requests: str | os.PathLike[str] | None = None,
        ordered: bool = True,
        match: Match = "custom_id",
    ) -> AsyncResults:
        """Like `Batches.results`, for `async for` and `async with`."""
        query = results_query(batch_id, requests, ordered=ordered, match=match)
        return AsyncResults(self._driver, partial(open_batch, query))


class Files(Resource):
    """The operations on files."""

    upload = blocking(files.upload)
    retrieve = blocking(files.retrieve)
    list = paging(files.page)
    download = blocking(files.download)
    delete = blocking(files.delete)


class AsyncFiles(AsyncResource):
    """The operations on files, async."""

    upload = awaiting(files.upload)
    retrieve = awaiting(files.retrieve)
    list = apaging(files.page)
    download = awaiting(files.download)
    delete = awaiting(files.delete)


class Client(Configured[httpx.BaseTransport]):
    """The Batch API, blocking. Many threads can share one client; close it, or use it in a `with` block.

    `service` is a name such as `together`, or a ServiceProfile: by default OVERLAY_SERVICE, else the one whose host
    the base URL has. `token` is a string or a provider (see `overlay.wire.auth`), by default the value of the
    service's variable: OPENAI_API_KEY, TOGETHER_API_KEY and so on. `base_url` is by default the named service's,
    else OPENAI_BASE_URL, else OpenAI's; `http://` is refused unless it is this machine or `allow_insecure`.
    `organization` and `project` are by default OPENAI_ORG_ID and OPENAI_PROJECT_ID. `timeout` (a timedelta or
    seconds) limits the wait for an answer to begin, and then the wait for the rest of it. `max_retries` is how
    often a call that is safe to repeat is retried. `headers` are sent with every request. `transport` is an httpx
    transport to use in place of the network. `telemetry`, True or a Telemetry, tells OpenTelemetry of calls and
    jobs (extra `otel`); by default only where OVERLAY_TELEMETRY is 1. `home` is the folder for jobs, by default
    OVERLAY_HOME, then `overlay` in the folder for programs' state.

    Raises ConfigurationError if there is no token, or if an argument cannot be used.
    """

    batches: Batches
    files: Files
    _driver: Blocking

    def _bind(self, settings: Settings) -> None:
        self._driver = Blocking(settings)
        self.batches = Batches(self._driver)
        self.files = Files(self._driver)

    @cached_property
    def jobs(self) -> Jobs:
        """Any number of requests as one durable job."""
        from overlay.tables.resource import Jobs  # noqa: PLC0415 - clients without jobs do not load these modules

        return Jobs(self._driver)

    def close(self) -> None:
        """Close its connections. It cannot be used afterwards."""
        self._driver.connections.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient(Configured[httpx.AsyncBaseTransport]):
    """The Batch API, async, under asyncio or trio. Takes the same arguments as `Client`."""

    batches: AsyncBatches
    files: AsyncFiles
    _driver: Awaiting

    def _bind(self, settings: Settings) -> None:
        self._driver = Awaiting(settings)
        self.batches = AsyncBatches(self._driver)
        self.files = AsyncFiles(self._driver)

    @cached_property
    def jobs(self) -> AsyncJobs:
        """Any number of requests as one durable job, async."""
        from overlay.tables.resource import AsyncJobs  # noqa: PLC0415 - as for `Client`

        return AsyncJobs(self._driver)

    async def aclose(self) -> None:
        """Close its connections. It cannot be used afterwards."""
        await self._driver.connections.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
