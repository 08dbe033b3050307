"""Results as an iterable: nothing is fetched before the first is needed, and what was fetched is removed when the
iteration ends, the `with` block is left, or the object is dropped.
"""

from __future__ import annotations

import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from itertools import islice
from types import TracebackType
from typing import Self, TypeAlias

import attrs

from overlay.flows.drivers import Awaiting, Blocking
from overlay.flows.steps import Flow, Work
from overlay.models import Batch
from overlay.results.joining import JoinReport
from overlay.results.result import Result
from overlay.wire.connection import Settings

_AT_ONCE = 256
"""How many results are read at once off the event loop."""


@attrs.frozen
class Opened:
    """Results on disk, being read."""

    results: Iterator[Result]
    batch: Batch | None = None
    report: JoinReport | None = None


Opener: TypeAlias = Callable[[Settings, ExitStack], Flow[Opened]]
"""Brings results to disk; what it opens is closed by the stack."""


class _Owner:
    """What is open, and how to close it."""

    def __init__(self, opener: Opener) -> None:
        self._opener = opener
        self._opened: Opened | None = None
        self._last: Opened | None = None
        self._entered = False
        self._stack = ExitStack()
        # If dropped halfway, in a loop that was left, it still cleans up.
        self._finalizer = weakref.finalize(self, self._stack.close)

    @property
    def report(self) -> JoinReport | None:
        """What joining found: see `JoinReport`. None before the first result, with `ordered=False`, and for
        a job, whose own record has the counts.
        """
        return self._last.report if self._last is not None else None

    @property
    def batch(self) -> Batch | None:
        """The batch as it was when its results were fetched; None before the first result, and for a job."""
        return self._last.batch if self._last is not None else None

    def _flow(self, settings: Settings) -> Flow[Opened]:
        self._opened = self._last = yield from self._opener(settings, self._stack)
        return self._opened

    def _close(self) -> None:
        self._opened = None
        self._stack.close()


class Results(_Owner):
    """Results to iterate over. Use it in a `with` block, or directly in a `for` statement."""

    def __init__(self, driver: Blocking, opener: Opener) -> None:
        super().__init__(opener)
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

    def _ready(self) -> Opened:
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

    def __init__(self, driver: Awaiting, opener: Opener) -> None:
        super().__init__(opener)
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
        self._ahead = iter(())
        self._close()

    async def _ready(self) -> Opened:
        if self._opened is None:
            try:
                await self._driver.run(self._flow(self._driver.settings))
            except BaseException:
                self._close()
                raise
        assert self._opened is not None
        return self._opened

    def __aiter__(self) -> AsyncIterator[Result]:
        # Not an async generator: one that is left halfway is closed by the event loop late or never.
        return self

    async def __anext__(self) -> Result:
        for result in self._ahead:
            return result
        try:
            opened = await self._ready()
            taken = await self._driver.run(_take(opened.results))
        except BaseException:
            if not self._entered:
                self._close()
            raise
        if not taken:
            if not self._entered:
                await self.aclose()
            raise StopAsyncIteration
        self._ahead = iter(taken)
        return next(self._ahead)


def _take(results: Iterator[Result]) -> Flow[list[Result]]:
    taken: list[Result] = yield Work(lambda: list(islice(results, _AT_ONCE)))
    return taken
