"""`client.jobs` with `map`: the verbs of `overlay.jobs.resource`, and the one for tables.

Light to load: what needs pyarrow is loaded by the first `map`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from inspect import signature
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack, overload

from overlay.costs.prices import Prices
from overlay.flows.steps import Flow
from overlay.jobs import resource
from overlay.jobs.acceptance import Accept
from overlay.jobs.opening import OnChange
from overlay.jobs.preparing import JobName
from overlay.jobs.reading import retrieve
from overlay.jobs.telling import OnEnd
from overlay.jobs.verbs import submit
from overlay.progress.showing import Shown
from overlay.requests.cells import Row
from overlay.requests.rows import Template
from overlay.results.matching import Match
from overlay.services import Limits
from overlay.tables.answers import Answers
from overlay.tables.needed import needed
from overlay.wire.clock import Seconds
from overlay.wire.connection import Settings

if TYPE_CHECKING:  # needs pyarrow
    from overlay.tables.asking import Asked

A = TypeVar("A")


class SubmitOptions(TypedDict, total=False):
    """What `Jobs.submit` takes besides the requests; see there."""

    id: JobName | None
    completion_window: str
    metadata: Mapping[str, str] | None
    output_expires_after: Seconds | None
    max_enqueued_tokens: int | None
    max_enqueued_inputs: int | None
    max_batches: int | None
    max_creates_per_hour: int
    max_attempts: int
    limits: Limits | None
    bodies: bool
    delete_files: bool
    grace: Seconds
    poll: Seconds
    match: Match | None
    max_cost: float | None
    prices: Prices | None
    expected_output_tokens: int | None
    reuse: bool
    dedupe: bool
    accept: Accept | None
    fallback_model: str | None
    on_change: OnChange | None
    on_end: OnEnd | None
    notify: str | None
    notify_secret_file: str | os.PathLike[str] | None
    progress: Shown
    extra_body: Mapping[str, Any] | None
    extra_query: Mapping[str, Any] | None


class Jobs(resource.Jobs):
    """Any number of requests, or of rows, as one durable job."""

    @overload
    def map(
        self,
        table: Any,
        template: Template[A],
        *,
        key: str | None = None,
        prefix: str = "",
        csv: Mapping[str, Any] | None = None,
        **options: Unpack[SubmitOptions],
    ) -> Answers[A]: ...
    @overload
    def map(
        self,
        table: Any,
        template: Callable[[Row], Mapping[str, Any]],
        *,
        key: str | None = None,
        prefix: str = "",
        csv: Mapping[str, Any] | None = None,
        **options: Unpack[SubmitOptions],
    ) -> Answers[str]: ...
    def map(
        self,
        table: Any,
        template: Any,
        *,
        key: str | None = None,
        prefix: str = "",
        csv: Mapping[str, Any] | None = None,
        **options: Unpack[SubmitOptions],
    ) -> Answers[Any]:
        """Ask about each row of a table, wait, and give the table with the answers beside its columns.

        - `table`: a polars, pandas, pyarrow or duckdb table, or whatever else exports Arrow; rows as dicts, from a
          list or a generator; or the path of a CSV, TSV, Parquet, JSON lines or Arrow file (texts also packed), a
          folder of them, a pattern, or an address such as `s3://bucket/reviews/*.parquet`.
        - `template`: what is asked about a row, `Chat(...)`, `Response(...)` or `Embed(...)`, or a function that is
          given the row as a dict and returns the body of a chat completion.
        - `key`: the column that tells rows apart, whose values become the custom_ids; rows are numbered by default.
        - `prefix` comes before the names of the columns that the answers add.
        - `csv`: options of pyarrow's CSV reader by name, such as `{"delimiter": ";", "encoding": "latin-1"}`.
        - `options`: whatever `submit` takes. The job's id derives from the requests, and so from the rows, the key
          and the template: the same call after a crash goes on where the last one stopped, and a changed prompt is
          another job.

        Needs pyarrow (extra `tables`). The table need not fit into memory: its rows are kept on disk, under `home`,
        while the answers are in use.

        Raises InvalidInputError with the rows that cannot be asked about, ConfigurationError for columns that are
        missing or in the way, StorageError, before anything is sent; and what `submit` and `wait` raise.
        """
        asked = _prepare(self._driver.settings, table, template, key=key, prefix=prefix, csv=csv)
        return self._driver.run(_map(self._driver.settings, asked, options))

    def prepare(
        self,
        table: Any,
        template: Template[A] | Callable[[Row], Mapping[str, Any]],
        *,
        key: str | None = None,
        prefix: str = "",
        csv: Mapping[str, Any] | None = None,
    ) -> Asked[A]:
        """Take in a table as `map` does, and send nothing: its `requests()` are there to look at, or to submit.

        Raises InvalidInputError, ConfigurationError, StorageError.
        """
        flow = _prepare(self._driver.settings, table, template, key=key, prefix=prefix, csv=csv)
        return self._driver.run(flow)

    def answers(self, job_id: str, asked: Asked[A]) -> Answers[A]:
        """The answers of an ended job that was submitted with the requests of a table.

        Raises JobNotFoundError, JobNotEndedError.
        """
        return self._driver.run(_answers(self._driver.settings, job_id, asked))


class AsyncJobs(resource.AsyncJobs):
    """Any number of requests, or of rows, as one durable job, awaited."""

    @overload
    async def map(
        self,
        table: Any,
        template: Template[A],
        *,
        key: str | None = None,
        prefix: str = "",
        csv: Mapping[str, Any] | None = None,
        **options: Unpack[SubmitOptions],
    ) -> Answers[A]: ...
    @overload
    async def map(
        self,
        table: Any,
        template: Callable[[Row], Mapping[str, Any]],
        *,
        key: str | None = None,
        prefix: str = "",
        csv: Mapping[str, Any] | None = None,
        **options: Unpack[SubmitOptions],
    ) -> Answers[str]: ...
    async def map(
        self,
        table: Any,
        template: Any,
        *,
        key: str | None = None,
        prefix: str = "",
        csv: Mapping[str, Any] | None = None,
        **options: Unpack[SubmitOptions],
    ) -> Answers[Any]:
        """As `Jobs.map`; rows may also come from an asynchronous generator. The answers are on this machine's disk
        when it returns, and are read without awaiting.
        """
        asked = _prepare(self._driver.settings, table, template, key=key, prefix=prefix, csv=csv)
        return await self._driver.run(_map(self._driver.settings, asked, options))

    async def prepare(
        self,
        table: Any,
        template: Template[A] | Callable[[Row], Mapping[str, Any]],
        *,
        key: str | None = None,
        prefix: str = "",
        csv: Mapping[str, Any] | None = None,
    ) -> Asked[A]:
        """As `Jobs.prepare`."""
        flow = _prepare(self._driver.settings, table, template, key=key, prefix=prefix, csv=csv)
        return await self._driver.run(flow)

    async def answers(self, job_id: str, asked: Asked[A]) -> Answers[A]:
        """As `Jobs.answers`."""
        return await self._driver.run(_answers(self._driver.settings, job_id, asked))


def _prepare(settings: Settings, table: Any, template: Any, **how: Any) -> Flow[Asked[Any]]:
    needed("pyarrow", "a table")
    from overlay.tables.mapping import prepare  # noqa: PLC0415 - needs pyarrow

    return prepare(settings, table, template, **how)


def _map(settings: Settings, preparing: Flow[Asked[Any]], options: SubmitOptions) -> Flow[Answers[Any]]:
    from overlay.tables.mapping import map_table  # noqa: PLC0415 - needs pyarrow

    known = signature(submit).parameters.keys() - {"answer"}  # which the template has
    unknown = sorted(options.keys() - known)
    if unknown:
        raise TypeError(f"map() got an unexpected keyword argument {unknown[0]!r}")
    asked = yield from preparing
    return (yield from map_table(settings, asked, options))


def _answers(settings: Settings, job_id: str, asked: Asked[Any]) -> Flow[Answers[Any]]:
    from overlay.tables.mapping import answers_of  # noqa: PLC0415 - needs pyarrow

    job = yield from retrieve(settings, job_id)
    return answers_of(settings, job, asked)
