"""What makes batches move: one background task a batch, which does what its present status asks for until the
status is final. Every step begins from what is stored, so a service that is started again goes on with each batch
where it stood.
"""

import asyncio
import logging
import math
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from overlay.emulator import machine
from overlay.emulator.answering import Answering
from overlay.emulator.answers import Source
from overlay.emulator.clock import Timeline
from overlay.emulator.creation import Creation
from overlay.emulator.objects import Batch, File, Problem, Problems, Usage, new_id
from overlay.emulator.problems import Refusal
from overlay.emulator.settings import Limits, Pace, window_seconds
from overlay.emulator.store import Progress, Store
from overlay.emulator.validation import inspect, over_cap

logger = logging.getLogger("overlay.emulator")

_P = ParamSpec("_P")
_R = TypeVar("_R")
_PORTIONS = 100
_HOUR = 3600.0


@dataclass
class _Live:
    """A batch that is not final."""

    batch: Batch
    progress: Progress
    token: str | None = None
    answering: Answering | None = None
    task: asyncio.Task[None] | None = None


class Engine:
    """Creates, cancels and drives batches. Belongs to one event loop."""

    def __init__(self, store: Store, timeline: Timeline, source: Source, pace: Pace, limits: Limits) -> None:
        self.store = store
        self.timeline = timeline
        self.source = source
        self.pace = pace
        self.limits = limits
        self._live: dict[str, _Live] = {}
        self._created: deque[float] = deque()
        self._steps: dict[str, Callable[[_Live], Awaitable[None]]] = {
            "validating": self._validate,
            "in_progress": self._answer,
            "finalizing": self._finalize,
            "cancelling": self._wind_down,
        }

    def start(self) -> None:
        for batch, progress in self.store.unfinished():
            self._launch(_Live(batch, progress))

    async def close(self) -> None:
        """Stop where everything stands; a later start goes on from there."""
        await self.timeline.close()
        for live in self._live.values():
            if live.answering:
                live.answering.close()
        await self.source.close()

    def batch(self, batch_id: str) -> Batch | None:
        live = self._live.get(batch_id)
        return live.batch if live else self.store.batch(batch_id)

    def unfinished(self, batch_id: str) -> Batch | None:
        """The batch, if it is not final: its stored document lags behind its counts."""
        live = self._live.get(batch_id)
        return live.batch if live else None

    def create(self, asked: Creation, token: str | None) -> Batch:
        """Raises `Refusal` when the input file is not there or too many batches were created."""
        now = self.timeline.now()
        self._admit(now)
        file = self.store.usable_file(asked.input_file_id, now)
        if file is None:
            raise Refusal(
                400,
                f"Cannot find file {asked.input_file_id}, or your organization does not have access to it.",
                param="input_file_id",
            )
        if file.purpose != "batch":
            raise Refusal(
                400,
                f"The input file must have the purpose 'batch', and has {file.purpose!r}.",
                param="input_file_id",
            )
        window = window_seconds(asked.completion_window)
        batch = Batch(
            id=new_id("batch_"),
            endpoint=asked.endpoint,
            input_file_id=file.id,
            completion_window=asked.completion_window,
            created_at=int(now),
            expires_at=int(now + window),
            metadata=asked.metadata,
        )
        progress = Progress(born=now, entered=now, window=window, keep_output=asked.keep_output)
        self.store.keep_input(file.id, batch.id)
        self.store.add_batch(batch, progress)
        self._created.append(now)
        self._launch(_Live(batch, progress, token))
        return batch

    def cancel(self, batch_id: str) -> Batch:
        """Raises `Refusal` when there is no such batch, or it is past being cancelled."""
        batch = self.batch(batch_id)
        if batch is None:
            raise no_batch(batch_id)
        if batch.status == "cancelling":
            return batch
        live = self._live.get(batch_id)
        if live is None or not machine.may_enter(batch, "cancelling"):
            raise Refusal(409, f"Cannot cancel a batch with status '{batch.status}'.")
        self._enter(live, "cancelling")
        before = live.task
        if before:
            before.cancel()
        self._launch(live)
        return batch

    def _admit(self, now: float) -> None:
        most, created = self.limits.creates_per_hour, self._created
        while created and created[0] <= now - _HOUR:
            created.popleft()
        if most is not None and len(created) >= most:
            raise Refusal(
                429,
                f"Rate limit reached: {most:,} batches an hour.",
                code="rate_limit_exceeded",
                kind="requests",
                headers={"Retry-After": str(math.ceil(created[0] + _HOUR - now))},
            )

    def _launch(self, live: _Live) -> None:
        self._live[live.batch.id] = live
        live.task = self.timeline.start(self._drive(live, live.task))

    async def _drive(self, live: _Live, before: asyncio.Task[None] | None) -> None:
        if before:
            await asyncio.wait([before])
        try:
            while step := self._steps.get(live.batch.status):
                await step(live)
        except Exception:
            logger.exception("batch %s cannot go on", live.batch.id)
            live.batch.errors = Problems([Problem("server_error", "The service met an error of its own.")])
            self._enter(live, "failed")
        self._end(live)

    async def _validate(self, live: _Live) -> None:
        await self.timeline.sleep_until(live.progress.entered + self.pace.validating)
        batch = live.batch
        report = await _whole(inspect, self.store.input_of(batch.id), batch.endpoint, self.limits)
        if not report.problems and (problem := over_cap(report, self._enqueued(report.model), self.limits)):
            report.problems.append(problem)
        batch.model = report.model
        if report.problems:
            batch.errors = Problems(report.problems)
            self._enter(live, "failed")
            return
        batch.request_counts.total = report.total
        live.progress.prompt_tokens = report.prompt_tokens
        live.progress.output_id, live.progress.error_id = new_id("file-"), new_id("file-")
        self._enter(live, "in_progress")

    async def _answer(self, live: _Live) -> None:
        progress, pace = live.progress, self.pace
        answering = await self._answering(live)
        total = len(answering)
        duration = max(pace.in_progress, pace.per_line * total)
        portions = min(total, _PORTIONS) if duration else 1
        try:
            async with self.timeline.until(progress.born + progress.window):
                for portion in range(1, portions + 1):
                    await self.timeline.sleep_until(progress.entered + duration * portion / portions)
                    due = math.ceil(total * portion / portions) - answering.done
                    if due > 0:
                        await answering.answer(due, self.source, live.token)
        except TimeoutError:
            progress.outcome = "expired"
        self._enter(live, "finalizing")

    async def _finalize(self, live: _Live) -> None:
        await self.timeline.sleep_until(live.progress.entered + self.pace.finalizing)
        answering = await self._answering(live)
        if live.progress.outcome == "expired":
            message = "This request could not be executed before the completion window expired."
            await _whole(answering.write_unanswered, "batch_expired", message)
        self._publish(live, live.progress.outcome)

    async def _wind_down(self, live: _Live) -> None:
        await self.timeline.sleep_until(live.progress.entered + self.pace.cancelling)
        if live.batch.in_progress_at is None:
            self._enter(live, "cancelled")
            return
        answering = await self._answering(live)
        await _whole(
            answering.write_unanswered,
            "batch_cancelled",
            "This request was not executed: the batch was cancelled.",
        )
        self._publish(live, "cancelled")

    async def _answering(self, live: _Live) -> Answering:
        def read() -> None:
            content = self.store.content
            live.batch.usage = Usage()
            live.answering = Answering(
                self.store.input_of(live.batch.id),
                content(live.progress.output_id),
                content(live.progress.error_id),
                live.batch.request_counts,
                live.batch.usage,
            )

        if live.answering is None:
            await _whole(read)
        assert live.answering
        return live.answering

    def _publish(self, live: _Live, status: str) -> None:
        """Make files of what was written, and end the batch, in one transaction."""
        batch, progress, now = live.batch, live.progress, self.timeline.now()
        assert live.answering
        live.answering.close()
        expires = None if progress.keep_output is None else int(now) + progress.keep_output
        with self.store.transaction():
            for field, kind, file_id in (
                ("output_file_id", "output", progress.output_id),
                ("error_file_id", "error", progress.error_id),
            ):
                size = self.store.content(file_id).stat().st_size
                if not size:
                    self.store.drop_content(file_id)
                    continue
                name = f"{batch.id}_{kind}.jsonl"
                self.store.add_file(
                    File(
                        id=file_id,
                        bytes=size,
                        created_at=int(now),
                        expires_at=expires,
                        filename=name,
                        purpose="batch_output",
                    )
                )
                setattr(batch, field, file_id)
            self._enter(live, status)

    def _end(self, live: _Live) -> None:
        if live.answering:
            live.answering.close()
        self.store.input_of(live.batch.id).unlink(missing_ok=True)
        del self._live[live.batch.id]

    def _enter(self, live: _Live, status: str) -> None:
        now = self.timeline.now()
        machine.enter(live.batch, status, now)
        live.progress.entered = now
        self.store.save_batch(live.batch, live.progress)

    def _enqueued(self, model: str | None) -> int:
        return sum(live.progress.prompt_tokens for live in self._live.values() if live.batch.model == model)


def no_batch(batch_id: str) -> Refusal:
    return Refusal(404, f"No batch found with id '{batch_id}'.", param="batch_id")


async def _whole(function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
    """Run in a thread, to the end even when cancelled: files are not left to a thread that nobody waits for."""
    work = asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        raise
