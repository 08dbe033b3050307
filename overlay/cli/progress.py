"""Progress on stderr: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from overlay.cli import endings
from overlay.errors import one_line
from overlay.models import Batch

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

_LINES_A_BATCH = 10
"""Plain lines while a batch is in progress: one per tenth, rather than one per poll."""


class Progress:
    """What a command is doing at the moment. Use it in a `with` block."""

    def __init__(self) -> None:
        self._bar: Bar | None = None
        self._task: Any = None
        self._last: tuple[object, ...] = ()

    def __enter__(self) -> Self:
        if sys.stderr is not None and sys.stderr.isatty():
            self._bar = _bar()
            self._bar.start()
            self._task = self._bar.add_task("", total=None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def step(self, text: str) -> None:
        """A step of unknown length, such as an upload."""
        if self._bar is not None:
            self._bar.reset(self._task, total=None, description=one_line(text))
        else:
            endings.say(text)

    def note(self, text: str) -> None:
        """A line that stays."""
        endings.say(text)

    def watch(self, batch: Batch) -> None:
        """Show how a batch is doing; for `on_change` of `batches.wait`."""
        counts = batch.request_counts
        total = (counts.total if counts is not None else None) or None
        done = ((counts.completed or 0) + (counts.failed or 0)) if counts is not None else 0
        failed = f", {counts.failed:,} failed" if counts is not None and counts.failed else ""
        status = str(batch.status)
        if self._bar is not None:
            description = one_line(f"{batch.id} {status}{failed}")
            self._bar.update(self._task, description=description, total=total, completed=done)
            return
        news = (status, int(_LINES_A_BATCH * (batch.progress or 0.0)))
        if news != self._last:
            self._last = news
            of_total = f" {done:,} of {total:,}" if total else ""
            endings.say(f"{batch.id}: {status}{of_total}{failed}")


def _bar() -> Bar:
    from rich.console import Console  # noqa: PLC0415 - not loaded where there is no terminal
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    class Quiet(Console):
        """A console that goes silent when its terminal is gone; work continues."""

        def on_broken_pipe(self) -> None:
            self.quiet = True

    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Quiet(stderr=True),
        transient=True,
        redirect_stdout=False,
    )
