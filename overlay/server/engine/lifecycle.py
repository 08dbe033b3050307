"""The course of one batch: what each status does until the next. Every step begins from what is stored, so that a
service that is started again goes on with each batch where it stood.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from copy import copy
from typing import ParamSpec, TypeVar

from overlay.server.answers.batch_lines import BatchLines
from overlay.server.answers.source import WAITS_FOR_ROOM, Source
from overlay.server.clock import Timeline
from overlay.server.disk import NoRoomError
from overlay.server.engine.events import Events
from overlay.server.engine.live import Live
from overlay.server.engine.result_files import ResultFiles
from overlay.server.engine.short_lines import fill_lines
from overlay.server.engine.statuses import Statuses, restore
from overlay.server.engine.store import Store
from overlay.server.engine.tallies import Tallies
from overlay.server.engine.validation import Report, inspect, no_input
from overlay.server.models import snapshot
from overlay.server.objects import FINAL, Problem, Problems, Usage
from overlay.server.settings import Kind, Limits, Pace, Traits

logger = logging.getLogger("overlay.server")

_P = ParamSpec("_P")
_R = TypeVar("_R")
_PORTIONS = 100
# How often a disk without room is tried again, in seconds.
_ROOM_EVERY = 1.0


class Lifecycle:
    """Takes batches from whatever status they are in to a final one.

    `new_id` makes ids of files; `over_caps` says why a valid batch may not go on.
    """

    def __init__(
        self,
        store: Store,
        timeline: Timeline,
        source: Source,
        pace: Pace,
        limits: Limits,
        *,
        traits: Traits,
        new_id: Callable[[Kind], str],
        over_caps: Callable[[Live, Report], Problem | None],
        tallies: Tallies,
        events: Events,
    ) -> None:
        self._tallies = tallies
        self._store = store
        self._timeline = timeline
        self.statuses = Statuses(store, timeline, tallies, events)
        self._files = ResultFiles(store, timeline, names_empty=traits.empty_files)
        self._source = source
        self._pace = pace
        self._limits = limits
        self._traits = traits
        self._partial_results = traits.partial_results
        self._new_id = new_id
        self._over_caps = over_caps
        self._steps: dict[str, Callable[[Live], Awaitable[None]]] = {
            "validating": self._validate,
            "in_progress": self._answer,
            "finalizing": self._finalize,
            "cancelling": self._wind_down,
        }

    async def drive(self, live: Live) -> None:
        """Return when the batch is final."""
        try:
            while step := self._steps.get(live.batch.status):
                try:
                    await step(live)
                except NoRoomError as error:
                    await self._wait_for_room(live, error)
        except Exception:
            logger.exception("batch %s cannot go on", live.batch.id)
            await self._fail(live)
        finally:
            if live.batch.status in FINAL:
                self._clean_up(live)

    async def _fail(self, live: Live) -> None:
        """End with what there is: answers that were written stay."""
        problems = Problems([Problem("server_error", "The service met an error of its own.")])
        while live.batch.status not in FINAL:
            live.batch.errors = problems
            try:
                if live.progress.output_id:
                    self._publish(live, "failed")
                else:
                    self.statuses.enter(live, "failed")
            except NoRoomError as error:
                await self._wait_for_room(live, error)

    async def recover(self, live: Live) -> None:
        """Count what an earlier run answered, before the batch is shown to anybody.

        What cannot be read is left for the batch's own course to fail of.
        """
        if live.batch.in_progress_at is not None:
            with suppress(Exception):
                await self._lines(live)

    async def _wait_for_room(self, live: Live, error: NoRoomError) -> None:
        """The step that met it can be taken again: nothing of it is stored, or all that it needs is."""
        before, says = live.batch.errors, f"the batch waits: {error.strerror}"
        live.batch.errors = Problems([Problem(WAITS_FOR_ROOM, says)])
        if live.says != says:
            logger.warning("batch %s waits: %s", live.batch.id, error.strerror)
        live.says = says
        try:
            await asyncio.sleep(_ROOM_EVERY)
        finally:
            live.batch.errors = before

    async def _validate(self, live: Live) -> None:
        await self._timeline.sleep_until(live.progress.entered + self._pace.validating)
        batch = live.batch
        source = self._store.input_of(batch.id)
        if source.exists():
            if self._traits.fills:
                await _whole(fill_lines, source, batch.endpoint, batch.model, self._store.disk)
            report = await _whole(inspect, source, batch.endpoint, self._limits)
        else:
            report = Report(problems=[no_input(batch.input_file_id)])
        if not report.problems and (problem := self._over_caps(live, report)):
            report.problems.append(problem)
        batch.model = live.progress.model = None if report.model is None else snapshot(report.model)
        if report.problems:
            batch.errors = Problems(report.problems)
            self.statuses.enter(live, "failed")
            return
        batch.request_counts.total = report.total
        live.progress.prompt_tokens, live.progress.inputs = report.prompt_tokens, report.inputs
        live.progress.output_id, live.progress.error_id = self._new_id("file"), self._new_id("file")
        self.statuses.enter(live, "in_progress")

    async def _answer(self, live: Live) -> None:
        progress, pace = live.progress, self._pace
        lines = await self._lines(live)
        total = len(lines)
        duration = max(pace.in_progress, pace.per_line * total)
        portions = min(total, _PORTIONS) if duration or self._partial_results else 1
        try:
            async with self._timeline.until(progress.born + progress.window):
                for portion in range(1, portions + 1):
                    await self._timeline.sleep_until(progress.entered + duration * portion / portions)
                    due = math.ceil(total * portion / portions) - lines.done
                    if due > 0:
                        await lines.answer(due, self._source, live.caller)
                    if self._partial_results:
                        await _whole(lines.sync)
                        self._files.put(live, expires=None)
                        self._store.save_batch(live.batch, progress)
        except TimeoutError:
            progress.outcome = "expired"
        # What is finalized is not asked again.
        await _whole(lines.sync)
        self.statuses.enter(live, "finalizing")

    async def _finalize(self, live: Live) -> None:
        await self._timeline.sleep_until(live.progress.entered + self._pace.finalizing)
        lines = await self._lines(live)
        if live.progress.outcome == "expired":
            message = "This request could not be executed before the completion window expired."
            await _whole(lines.write_unanswered, "batch_expired", message)
        elif lines.done < len(lines):
            # A disk has damaged answers since.
            await lines.answer(len(lines), self._source, live.caller)
        await _whole(lines.sync)
        self._publish(live, live.progress.outcome)

    async def _wind_down(self, live: Live) -> None:
        await self._timeline.sleep_until(live.progress.entered + self._pace.cancelling)
        if live.batch.in_progress_at is None:
            self.statuses.enter(live, "cancelled")
            return
        lines = await self._lines(live)
        await _whole(
            lines.write_unanswered,
            "batch_cancelled",
            "This request was not executed: the batch was cancelled.",
        )
        await _whole(lines.sync)
        self._publish(live, "cancelled")

    async def _lines(self, live: Live) -> BatchLines:
        def read() -> None:
            content = self._store.content
            live.batch.usage = Usage()
            live.lines = BatchLines(
                self._store.input_of(live.batch.id),
                content(live.progress.output_id),
                content(live.progress.error_id),
                live.batch.request_counts,
                live.batch.usage,
                disk=self._store.disk,
                failures=live.progress.failures,
                tally=self._tallies.line,
                never_run=self._limits.never_run,
                seed=live.batch.id,
            )

        if live.lines is None:
            await _whole(read)
        assert live.lines
        return live.lines

    def _publish(self, live: Live, status: str) -> None:
        """Make files of what was written, and end the batch, in one transaction. Raises `NoRoomError`."""
        keep = live.progress.keep_output
        before = copy(live.batch)
        try:
            with self._store.transaction():
                self._files.put(live, expires=None if keep is None else int(self._timeline.now()) + keep)
                self.statuses.store(live, status)
        except NoRoomError:
            restore(live.batch, before)
            raise
        self.statuses.tell(live.batch)
        for file_id in (live.progress.output_id, live.progress.error_id):
            if not self._files.size(file_id) and file_id != live.batch.error_file_id:
                self._store.drop_content(file_id)

    def _clean_up(self, live: Live) -> None:
        if live.lines:
            live.lines.close()
        self._store.input_of(live.batch.id).unlink(missing_ok=True)


async def _whole(function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
    """Run in a thread, to the end even when cancelled: files are not left to a thread that nobody waits for."""
    work = asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        raise
