"""The batches there are: created, found, cancelled, and each driven by a background task of its own."""

import asyncio
import logging
import math
from collections import deque
from itertools import takewhile

from overlay.server.answers.source import Forwards, Source
from overlay.server.clock import Timeline
from overlay.server.engine import transitions
from overlay.server.engine.callers import Callers
from overlay.server.engine.caps import over_caps, refusal
from overlay.server.engine.creation import Creation
from overlay.server.engine.events import Events, Webhook
from overlay.server.engine.ids import ids
from overlay.server.engine.lifecycle import Lifecycle
from overlay.server.engine.live import Live
from overlay.server.engine.pending import PendingFiles
from overlay.server.engine.progress import Progress
from overlay.server.engine.store import Store
from overlay.server.engine.tallies import Tallies
from overlay.server.engine.validation import Report, inspect, no_file
from overlay.server.models import snapshot
from overlay.server.objects import FINAL, Batch, Problem
from overlay.server.refusals import Refusal
from overlay.server.settings import Limits, Pace, Traits, window_seconds

logger = logging.getLogger("overlay.server")

_HOUR = 3600.0


class Engine:
    """Belongs to one event loop."""

    def __init__(
        self,
        store: Store,
        timeline: Timeline,
        source: Source,
        pace: Pace,
        limits: Limits,
        *,
        traits: Traits | None = None,
        webhook: Webhook | None = None,
    ) -> None:
        self.store = store
        self.timeline = timeline
        self.limits = limits
        self.traits = traits or Traits()
        self.new_id = ids(self.traits.ids)
        self.pending = PendingFiles()
        self.tallies = Tallies()
        self.draining = False
        self._events = Events(store, timeline, webhook)
        self._source = source
        self._lifecycle = Lifecycle(
            store,
            timeline,
            source,
            pace,
            limits,
            traits=self.traits,
            new_id=self.new_id,
            over_caps=self._over_caps,
            tallies=self.tallies,
            events=self._events,
        )
        self._callers = Callers(source)
        self._live: dict[str, Live] = {}
        self._created: deque[float] = deque()

    async def start(self) -> None:
        """Take up what an earlier run left unfinished. Returns when every batch shows what it showed before."""
        unfinished = self.store.unfinished()
        written = {name for _, progress in unfinished for name in (progress.output_id, progress.error_id)}
        batches = {batch.id for batch, _ in unfinished}
        self.store.sweep(self.timeline.now(), written, batches)
        lives = [
            Live(batch, progress, self._callers.recovered(batch, progress)) for batch, progress in unfinished
        ]
        for live in lives:
            await self._lifecycle.recover(live)
        for live in lives:
            self._launch(live)
        self._events.send()

    async def drain(self, within: float) -> None:
        """Begin no more lines, and return when those under way are answered, or after so many seconds."""
        self.draining = True
        if isinstance(self._source, Forwards):
            await self._source.drain(within)

    async def close(self) -> None:
        """Stop where everything stands; a later start goes on from there."""
        await self.timeline.close()
        for live in self._live.values():
            if live.lines:
                live.lines.close()
        await self._source.close()
        await self._events.close()

    def seen(self, token: str | None) -> None:
        """A client is there with this token: batches that were created with it, before a restart, go on."""
        self._callers.seen(token)

    def batch(self, batch_id: str) -> Batch | None:
        live = self._live.get(batch_id)
        return live.batch if live else self.store.batch(batch_id)

    @property
    def live(self) -> list[Live]:
        """The batches that are not final, oldest first."""
        return list(self._live.values())

    def failures(self, batch_id: str) -> tuple[dict[str, int], str]:
        """How many lines of a batch failed, by code, and the id of the file that they are written to."""
        live = self._live.get(batch_id)
        progress = live.progress if live else self.store.progress(batch_id)
        return (progress.failures, progress.error_id) if progress else ({}, "")

    def unfinished(self, batch_id: str) -> Batch | None:
        """The batch, if it is not final: its stored document lags behind its counts."""
        live = self._live.get(batch_id)
        return live.batch if live else None

    async def measure(self, asked: Creation) -> Report | None:
        """What the input file holds, where caps refuse creates; None where they do not.

        Raises `Refusal` for a batch over a cap.
        """
        limits, file = self.limits, self.store.usable_file(asked.input_file_id, self.timeline.now())
        caps = (limits.live_batches, limits.enqueued_tokens, limits.enqueued_inputs)
        if limits.caps_refuse == "later" or caps == (None, None, None) or file is None:
            return None
        report = await asyncio.to_thread(inspect, self.store.content(file.id), asked.endpoint, limits)
        # Nothing is awaited between here and the creation, so no other batch comes in between.
        enqueued = self._enqueued(report.model)
        if problem := over_caps(report, self._held(), enqueued, limits):
            raise refusal(problem, limits.caps_refuse)
        return report

    def create(self, asked: Creation, token: str | None, report: Report | None = None) -> Batch:
        """`report` is what `measure` found. Raises `Refusal` when the input file is for another purpose, or not
        ready, or too many batches were created.

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
        if file is not None:
            self.pending.check(file.id, now)
        window = window_seconds(asked.completion_window)
        batch = Batch(
            id=self.new_id("batch"),
            endpoint=asked.endpoint,
            model=asked.model,
            input_file_id=asked.input_file_id,
            completion_window=asked.completion_window,
            created_at=int(now),
            expires_at=int(now + window),
            metadata=asked.metadata,
        )
        progress = Progress(born=now, entered=now, window=window, keep_output=asked.keep_output)
        if report is not None:
            progress.model = None if report.model is None else snapshot(report.model)
            progress.prompt_tokens, progress.inputs = report.prompt_tokens, report.inputs
        caller = self._callers.new(batch, progress, token)
        if file is not None:
            self.store.keep_input(file.id, batch.id)
        try:
            self.store.add_batch(batch, progress)
        except BaseException:
            self.store.input_of(batch.id).unlink(missing_ok=True)
            raise
        self._created.append(now)
        fields = {"event": "batch", "batch": batch.id, "status": batch.status, "endpoint": batch.endpoint}
        logger.info("batch %s: created for %s", batch.id, batch.endpoint, extra={"fields": fields})
        self._launch(Live(batch, progress, caller))
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
        self._lifecycle.statuses.enter(live, "cancelling")
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
        self._callers.forget(live.batch.id)

    def _unfinished(self) -> list[Live]:
        """In the order of their creation."""
        return [live for live in self._live.values() if live.batch.status not in FINAL]

    def _enqueued(self, model: str | None) -> int:
        """What batches of a model hold; its alias and its snapshot share a cap."""
        dated = None if model is None else snapshot(model)
        return sum(live.progress.prompt_tokens for live in self._unfinished() if live.progress.model == dated)

    def _held(self) -> list[Progress]:
        return [live.progress for live in self._unfinished()]

    def _over_caps(self, live: Live, report: Report) -> Problem | None:
        """Why a valid batch may not go on, where that was not settled when it was created."""
        if self.limits.caps_refuse != "later":
            return None
        ahead = list(takewhile(lambda other: other is not live, self._unfinished()))
        return over_caps(report, [each.progress for each in ahead], self._enqueued(report.model), self.limits)


def no_batch(batch_id: str) -> Refusal:
    return Refusal(404, f"No batch found with id '{batch_id}'.", param="batch_id")
