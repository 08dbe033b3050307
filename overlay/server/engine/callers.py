"""On whose behalf batches are answered: their tokens, as far as they are sent on, and their priorities."""

import asyncio
from collections.abc import Callable

from overlay.server.answers.source import Caller, Forwards, Source
from overlay.server.engine.progress import Progress
from overlay.server.objects import Batch, Problem, Problems
from overlay.server.upstreams.keys import is_marked, mark_of


class Callers:
    """Of the batches that are not final. For the engine's loop."""

    def __init__(self, source: Source) -> None:
        self._source = source if isinstance(source, Forwards) else None
        self._lost: dict[str, tuple[Caller, str]] = {}

    def new(self, batch: Batch, progress: Progress, token: str | None) -> Caller:
        """For a batch that is created with that token; notes in the progress by what it is known again."""
        caller = self._caller(batch)
        if token and self._source and self._source.passes_tokens:
            caller.token = token
            progress.token_mark = mark_of(token)
        return caller

    def recovered(self, batch: Batch, progress: Progress) -> Caller:
        """For a batch of an earlier run."""
        caller = self._caller(batch)
        if progress.token_mark and self._source and self._source.passes_tokens:
            caller.token_lost = True
            self._lost[batch.id] = caller, progress.token_mark
        return caller

    def seen(self, token: str | None) -> None:
        if not self._lost or not token or not self._source:
            return
        found = [batch_id for batch_id, (_, mark) in self._lost.items() if is_marked(token, mark)]
        for batch_id in found:
            caller, _ = self._lost.pop(batch_id)
            caller.token, caller.token_lost = token, False
        if found:
            self._source.keys_changed()

    def forget(self, batch_id: str) -> None:
        self._lost.pop(batch_id, None)

    def _caller(self, batch: Batch) -> Caller:
        return Caller(
            batch.id, priority=self._priority(batch), one_model=batch.model is not None, say=_saying(batch)
        )

    def _priority(self, batch: Batch) -> int:
        text = (batch.metadata or {}).get((self._source and self._source.priority) or "", "")
        try:
            return int(text)
        except ValueError:
            return 0


def _saying(batch: Batch) -> Callable[[str | None, str], None]:
    """What a running batch waits for stands in its `errors`, where clients look for what is wrong."""
    loop = asyncio.get_running_loop()

    def note(text: str | None, code: str) -> None:
        batch.errors = None if text is None else Problems([Problem(code, text)])

    def say(text: str | None, code: str) -> None:
        loop.call_soon_threadsafe(note, text, code)

    return say
