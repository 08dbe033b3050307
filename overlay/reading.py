"""The results of an ended batch: fetched to disk, joined there with the requests, read from there.

A `Results` owns a temporary folder with the batch's files. Nothing is fetched before the first result is asked
for, and the folder goes when the iteration ends, the `with` block is left, or the object is dropped.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from functools import partial
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self

import attrs

from overlay.batches import retrieve
from overlay.connection import Settings
from overlay.drivers import Awaiting, Blocking
from overlay.errors import (
    BatchFailedError,
    BatchNotEndedError,
    FileGoneError,
    NoResultsError,
    Problem,
)
from overlay.files import download
from overlay.flow import Flow, Sleep, Work, deadline
from overlay.models import Batch
from overlay.results import JoinReport, Result, check_complete, join_results, read_results

_FILES_APPEAR_SECONDS = 10.0
"""For how long a completed batch may lack the id of a file that its counts promise."""
_LOOK_SECONDS = 1.0
_AT_ONCE = 256
"""Results read by one turn off the event loop."""


@attrs.frozen
class Asked:
    """What results were asked for."""

    batch_id: str
    requests: Path | None
    ordered: bool


@attrs.define
class _Opened:
    """A batch's files on disk, being read."""

    batch: Batch
    results: Iterator[Result]
    report: JoinReport | None


def _open(settings: Settings, asked: Asked, folder: Path, stack: ExitStack) -> Flow[_Opened]:
    batch = yield from _ended(settings, asked)
    answers: list[Path] = []
    for name, file_id in (("output", batch.output_file_id), ("error", batch.error_file_id)):
        # An empty id stands for none at some services.
        if file_id:
            path = yield from download(settings, file_id, folder / f"{name}.jsonl")
            yield Work(partial(check_complete, path))
            answers.append(path)
    if not asked.ordered:
        return _Opened(batch, read_results(answers), None)
    requests = asked.requests
    if requests is None:
        if not batch.input_file_id:
            raise NoResultsError(
                f"batch {batch.id} names no input file to take the order from; give requests=, or ordered=False",
                batch_id=batch.id,
            )
        try:
            requests = yield from download(settings, batch.input_file_id, folder / "input.jsonl")
        except FileGoneError as error:
            raise FileGoneError(
                f"the input file {batch.input_file_id} is gone, and with it the order of the results: give "
                "requests=, your copy of it, or ordered=False",
                status_code=error.status_code,
                request_id=error.request_id,
            ) from None
    joined = yield Work(partial(join_results, requests, answers))
    stack.push(joined)
    return _Opened(batch, joined, joined.report)


def _ended(settings: Settings, asked: Asked) -> Flow[Batch]:
    """The batch, once the files that its counts promise are there, if they ever are."""
    until = deadline(settings, _FILES_APPEAR_SECONDS)
    while True:
        batch = yield from retrieve(settings, asked.batch_id)
        if not batch.ended:
            raise BatchNotEndedError(
                f"batch {batch.id} is {batch.status}: wait for its end before you read its results",
                batch_id=batch.id,
                status=batch.status,
            )
        if not _lacks_files(batch):
            break
        if until.left <= 0:
            if batch.succeeded and not (batch.output_file_id or batch.error_file_id):
                raise NoResultsError(
                    f"batch {batch.id} is completed but names no result file; ask the service's support",
                    batch_id=batch.id,
                )
            break
        yield Sleep(_LOOK_SECONDS)
    if (batch.status or "").lower() == "failed" and not (batch.output_file_id or batch.error_file_id):
        raise failed(batch, asked.requests)
    return batch


def _lacks_files(batch: Batch) -> bool:
    """Whether a completed batch has not yet named the files its results must be in."""
    if not batch.succeeded:
        return False
    counts = batch.request_counts
    if not (batch.output_file_id or batch.error_file_id):
        return True
    return counts is not None and bool(
        (counts.completed and not batch.output_file_id) or (counts.failed and not batch.error_file_id)
    )


def failed(batch: Batch, requests: Path | None) -> BatchFailedError:
    """The error for a batch that was refused as a whole, its reasons by line of the user's own file."""
    entries = (batch.errors.data if batch.errors is not None else None) or []
    problems = [
        Problem(entry.line, f"{entry.message or 'no message'} ({entry.code or 'no code'})")
        for entry in entries
    ]
    place = str(requests) if requests is not None else f"input file {batch.input_file_id}"
    shown = "; ".join(str(problem) for problem in problems[:3]) or "the service gives no reason"
    more = f" (and {len(problems) - 3:,} more)" if len(problems) > 3 else ""  # noqa: PLR2004 - those shown
    return BatchFailedError(
        f"batch {batch.id} failed, nothing ran: {place}: {shown}{more}", batch_id=batch.id, problems=problems
    )


class _Owner:
    """The temporary folder and what is open in it."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._opened: _Opened | None = None
        self._report: JoinReport | None = None
        self._batch: Batch | None = None
        self._entered = False
        self._stack = ExitStack()
        # Dropped half way, in a loop that was left, it cleans up all the same.
        self._finalizer = weakref.finalize(self, self._stack.close)

    @property
    def report(self) -> JoinReport | None:
        """What joining found: see `JoinReport`. None before the first result, and where `ordered=False`."""
        return self._report

    @property
    def batch(self) -> Batch | None:
        """The batch as it was when its results were fetched; None before the first result."""
        return self._batch

    def _folder(self) -> Path:
        folder = tempfile.mkdtemp(prefix="overlay-")
        self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
        return Path(folder)

    def _flow(self, settings: Settings) -> Flow[_Opened]:
        folder = yield Work(self._folder)
        opened = yield from _open(settings, self._asked, folder, self._stack)
        self._opened, self._report, self._batch = opened, opened.report, opened.batch
        return opened

    def _close(self) -> None:
        self._opened = None
        self._stack.close()


class Results(_Owner):
    """The results of a batch, to iterate over. Use it in a `with` block, or in a `for` statement as it is."""

    def __init__(self, driver: Blocking, asked: Asked) -> None:
        super().__init__(asked)
        self._driver = driver

    def __enter__(self) -> Self:
        self._entered = True
        self._ready()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove what was fetched."""
        self._close()

    def _ready(self) -> _Opened:
        if self._opened is None:
            try:
                self._driver.run(self._flow(self._driver.settings))
            except BaseException:
                self._close()
                raise
        assert self._opened is not None
        return self._opened

    def __iter__(self) -> Iterator[Result]:
        try:
            yield from self._ready().results
        finally:
            if not self._entered:
                self.close()


class AsyncResults(_Owner):
    """The same, for `async for` and `async with`."""

    def __init__(self, driver: Awaiting, asked: Asked) -> None:
        super().__init__(asked)
        self._driver = driver
        self._ahead: Iterator[Result] = iter(())

    async def __aenter__(self) -> Self:
        self._entered = True
        await self._ready()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Remove what was fetched."""
        self._close()

    async def _ready(self) -> _Opened:
        if self._opened is None:
            try:
                await self._driver.run(self._flow(self._driver.settings))
            except BaseException:
                self._close()
                raise
        assert self._opened is not None
        return self._opened

    def __aiter__(self) -> AsyncIterator[Result]:
        # Not an async generator: one that is left half way is closed by the event loop, late or never.
        return self

    async def __anext__(self) -> Result:
        for result in self._ahead:
            return result
        opened = await self._ready()
        batch = await self._driver.run(_take(opened.results))
        if not batch:
            if not self._entered:
                await self.aclose()
            raise StopAsyncIteration
        self._ahead = iter(batch)
        return next(self._ahead)


def _take(results: Iterator[Result]) -> Flow[list[Result]]:
    taken: list[Result] = yield Work(lambda: list(islice(results, _AT_ONCE)))
    return taken


def asked(batch_id: str, requests: str | os.PathLike[str] | None, *, ordered: bool) -> Asked:
    return Asked(batch_id, None if requests is None else Path(requests), ordered)
