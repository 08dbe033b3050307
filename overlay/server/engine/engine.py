"""The batches there are: created, found, cancelled, and each driven by a background task of its own."""

import asyncio
import math
from collections import deque

from overlay.server.answers.source import Source
from overlay.server.clock import Timeline
from overlay.server.engine import transitions
from overlay.server.engine.creation import Creation
from overlay.server.engine.lifecycle import Lifecycle, Live
from overlay.server.engine.store import Progress, Store
from overlay.server.engine.validation import no_file
from overlay.server.objects import Batch, new_id
from overlay.server.refusals import Refusal
from overlay.server.settings import Limits, Pace, window_seconds

_HOUR = 3600.0


class Engine:
    """Belongs to one event loop."""

    def __init__(self, store: Store, timeline: Timeline, source: Source, pace: Pace, limits: Limits) -> None:
        self.store = store
        self.timeline = timeline
        self.limits = limits
        self._source = source
        self._lifecycle = Lifecycle(store, timeline, source, pace, limits, enqueued=self._enqueued)
        self._live: dict[str, Live] = {}
        self._created: deque[float] = deque()

    async def start(self) -> None:
        """Take up what an earlier run left unfinished. Returns when every batch shows what it showed before."""
        unfinished = self.store.unfinished()
        written = {name for _, progress in unfinished for name in (progress.output_id, progress.error_id)}
        self.store.sweep(self.timeline.now(), written)
        lives = [Live(batch, progress) for batch, progress in unfinished]
        for live in lives:
            await self._lifecycle.recover(live)
        for live in lives:
            self._launch(live)

    async def close(self) -> None:
        """Stop where everything stands; a later start goes on from there."""
        await self.timeline.close()
        for live in self._live.values():
            if live.lines:
                live.lines.close()
        await self._source.close()

    def batch(self, batch_id: str) -> Batch | None:
        live = self._live.get(batch_id)
        return live.batch if live else self.store.batch(batch_id)

    def unfinished(self, batch_id: str) -> Batch | None:
        """The batch, if it is not final: its stored document lags behind its counts."""
        live = self._live.get(batch_id)
        return live.batch if live else None

    def create(self, asked: Creation, token: str | None) -> Batch:
        """Raises `Refusal` when the input file is for another purpose or too many batches were created.

        A batch of a file that is not there is created and then fails, or is refused: `Limits.unknown_files`.
        """
        now = self.timeline.now()
        self._admit(now)
        file = self.store.usable_file(asked.input_file_id, now)
        if file is None and self.limits.unknown_files == "refused":
            raise Refusal(400, no_file(asked.input_file_id), param="input_file_id")
        # What the real service does with a file of another purpose is not known.
        if file is not None and file.purpose != "batch":
            raise Refusal(
                400,
                f"The input file must have the purpose 'batch', and has {file.purpose!r}.",
                param="input_file_id",
            )
        window = window_seconds(asked.completion_window)
        batch = Batch(
            id=new_id("batch_"),
            endpoint=asked.endpoint,
            input_file_id=asked.input_file_id,
            completion_window=asked.completion_window,
            created_at=int(now),
            expires_at=int(now + window),
            metadata=asked.metadata,
        )
        progress = Progress(born=now, entered=now, window=window, keep_output=asked.keep_output)
        if file is not None:
            self.store.keep_input(file.id, batch.id)
        self.store.add_batch(batch, progress)
        self._created.append(now)
        self._launch(Live(batch, progress, token))
        return batch

    def cancel(self, batch_id: str) -> Batch:
        """Raises `Refusal` when there is no such batch, or it has ended in another way."""
        batch = self.batch(batch_id)
        if batch is None:
            raise no_batch(batch_id)
        # A second cancel is no conflict, not even once the batch is cancelled: second-hand, from an independent
        # server's tests, which compare with OpenAI.
        if batch.status in {"cancelling", "cancelled"}:
            return batch
        live = self._live.get(batch_id)
        if live is None or not transitions.may_enter(batch, "cancelling"):
            raise Refusal(409, f"Cannot cancel a batch with status '{batch.status}'.")
        self._lifecycle.enter(live, "cancelling")
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

    def _launch(self, live: Live) -> None:
        self._live[live.batch.id] = live
        live.task = self.timeline.start(self._drive(live, live.task))

    async def _drive(self, live: Live, before: asyncio.Task[None] | None) -> None:
        if before:
            await asyncio.wait([before])
        await self._lifecycle.drive(live)
        del self._live[live.batch.id]

    def _enqueued(self, model: str | None) -> int:
        return sum(live.progress.prompt_tokens for live in self._live.values() if live.batch.model == model)


def no_batch(batch_id: str) -> Refusal:
    return Refusal(404, f"No batch found with id '{batch_id}'.", param="batch_id")
