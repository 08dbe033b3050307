"""How a job is doing, on stderr: a live view on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from overlay.cli import endings
from overlay.errors import one_line
from overlay.jobs.views import Job, JobEvent

if TYPE_CHECKING:
    from rich.live import Live

_SHARDS_SHOWN = 8
_TENTHS = 10
_SPOKEN = frozenset(
    {
        "uploading",
        "created",
        "adopted",
        "waiting",
        "split",
        "changed",
        "resubmitted",
        "stopped",
        "duplicate",
        "stuck",
        "outage",
    }
)
"""The events that get a line of their own without a terminal; besides them, each tenth of the way gets one."""


class JobProgress:
    """Use it in a `with` block, with `watch` as a job's `on_change`."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._live: Live | None = None
        self._event: JobEvent | None = None
        self._began = time.monotonic()
        self._at_first: int | None = None
        self._tenth = -1

    def __enter__(self) -> Self:
        if sys.stderr is not None and sys.stderr.isatty() and not self._quiet:
            from rich.console import Console  # noqa: PLC0415 - not loaded where there is no terminal
            from rich.live import Live  # noqa: PLC0415

            self._live = Live(
                get_renderable=self._picture,  # rendered each time: its clock runs between events
                console=Console(stderr=True),
                transient=True,
                refresh_per_second=4,
                redirect_stdout=False,
            )
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def note(self, text: str) -> None:
        """A line that stays."""
        endings.say(text)

    def watch(self, event: JobEvent) -> None:
        """Something happened to the job."""
        if self._at_first is None:
            self._at_first = event.job.answered
        self._event = event
        if self._live is not None or self._quiet:
            return
        if event.kind in _SPOKEN:
            endings.say(str(event))
        tenth = int(event.job.progress * _TENTHS)
        if tenth != self._tenth:
            self._tenth = tenth
            endings.say(f"{event.job.id}: {self._counts(event.job)}")

    def _counts(self, job: Job) -> str:
        text = f"{job.answered:,} of {job.requests:,} requests ({job.progress:.0%})"
        if job.failed:
            text += f", {job.failed:,} failed"
        tokens = job.input_tokens + job.output_tokens
        if tokens:
            text += f", {tokens:,} tokens"
        return f"{text}, {_span(time.monotonic() - self._began)} elapsed{self._expected(job)}"

    def _expected(self, job: Job) -> str:
        """The estimated time left, at the pace since this process began."""
        done = job.answered - (self._at_first or 0)
        if done <= 0 or job.ended:
            return ""
        return (
            f", about {_span((time.monotonic() - self._began) / done * (job.requests - job.answered))} to go"
        )

    def _picture(self) -> Any:
        from rich.console import Group  # noqa: PLC0415
        from rich.progress_bar import ProgressBar  # noqa: PLC0415
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        event = self._event
        if event is None:
            return Text(f"reading the requests, {_span(time.monotonic() - self._began)} elapsed")
        job = event.job
        grid = Table.grid(padding=(0, 2))
        open_shards = [shard for shard in job.shards if shard.state != "done"]
        for shard in open_shards[:_SHARDS_SHOWN]:
            status = (shard.status if shard.state == "created" else shard.state) or ""
            bar = ProgressBar(
                total=max(1, shard.requests), completed=shard.completed + shard.failed, width=24
            )
            counts = f"{shard.completed + shard.failed:,}/{shard.requests:,}"
            again = f"retry {shard.generation}" if shard.generation else ""
            grid.add_row(shard.name, Text(one_line(status)), bar, counts, again)
        finished = len(job.shards) - len(open_shards)
        whole = Table.grid()  # a bar by itself does not end its line
        whole.add_row(ProgressBar(total=1.0, completed=job.progress, width=60))
        return Group(
            Text(f"job {job.id}: {self._counts(job)}"),
            whole,
            Text(
                f"{finished:,} of {len(job.shards):,} shards done; {one_line(event.message)}",
                style="dim",
            ),
            grid,
        )


def _span(seconds: float) -> str:
    whole = int(seconds)
    if whole < 60:  # noqa: PLR2004
        return f"{whole} s"
    if whole < 3600:  # noqa: PLR2004
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"
