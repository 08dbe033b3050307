"""Where figures are shown: a terminal, a notebook, or lines of a log."""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any, Protocol

from overlay.errors import one_line
from overlay.progress.figures import SAFE, Figures

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
"""The events that get a line of their own in a log; besides them, each tenth of the way gets one."""
_AT_MOST_EVERY = 0.2
"""Seconds between two pictures in a notebook."""


class Display(Protocol):
    """Something that shows figures from `start` to `stop`."""

    def start(self, figures: Figures) -> None: ...
    def changed(self, figures: Figures) -> None: ...
    def stop(self, figures: Figures) -> None: ...


def say(text: str) -> None:
    """A line on stderr. If that is closed or full, work goes on in silence."""
    if sys.stderr is not None:
        with suppress(OSError, ValueError):
            sys.stderr.write(one_line(text) + "\n")
            sys.stderr.flush()


class Silence:
    """Shows nothing."""

    def start(self, figures: Figures) -> None: ...
    def changed(self, figures: Figures) -> None: ...
    def stop(self, figures: Figures) -> None: ...


class Lines:
    """A line for what is worth one."""

    def __init__(self, write: Callable[[str], None] = say) -> None:
        self._write = write
        self._tenth = -1
        self._last: object = None

    def start(self, figures: Figures) -> None: ...

    def changed(self, figures: Figures) -> None:
        """Say what happened, if it is something new."""
        event = figures.event
        if event is None or event is self._last:
            return
        self._last = event
        if event.kind in _SPOKEN:
            self._write(f"{event.job.id}: {event.message}")
        tenth = int(event.job.progress * _TENTHS)
        if tenth != self._tenth:
            self._tenth = tenth
            self._write(f"{event.job.id}: {figures.counts()}, {figures.times()}")

    def stop(self, figures: Figures) -> None: ...


class Terminal:
    """A live view on stderr, which vanishes when it ends. Needs rich."""

    def __init__(self) -> None:
        self._live: Any = None

    def start(self, figures: Figures) -> None:
        """Show it from now on; its clocks run between events."""
        from rich.console import Console  # noqa: PLC0415 - an extra
        from rich.live import Live  # noqa: PLC0415

        class Quiet(Console):
            """A console that goes silent when its terminal is gone; work continues."""

            def on_broken_pipe(self) -> None:
                self.quiet = True

        self._live = Live(
            get_renderable=lambda: picture(figures),
            console=Quiet(stderr=True),
            transient=True,
            refresh_per_second=4,
            redirect_stdout=False,
        )
        self._live.start()

    def changed(self, figures: Figures) -> None: ...

    def stop(self, figures: Figures) -> None:
        """Remove it."""
        del figures
        if self._live is not None:
            self._live.stop()
            self._live = None


def picture(figures: Figures) -> Any:
    """What is on the terminal at a moment: as wide as that is, and never longer than its lines."""
    from rich.console import Group  # noqa: PLC0415 - an extra
    from rich.progress_bar import ProgressBar  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    def line(text: str, style: str = "") -> Text:
        return Text(text, style=style, no_wrap=True, overflow="ellipsis")

    event = figures.event
    if event is None:
        return line(f"{figures.counts()}, {figures.elapsed}")
    bar = Table.grid(expand=True)  # a bar by itself does not end its line
    bar.add_row(ProgressBar(total=1.0, completed=event.job.progress))
    return Group(
        line(f"job {event.job.id}: {figures.counts()}"),
        bar,
        line(figures.lately(), "dim"),
        Text(figures.times()),
        *(line(f"  {text}", "dim") for text in figures.open_shards(_SHARDS_SHOWN)),
        line(SAFE, "dim"),
    )


class Notebook:
    """One output cell, drawn anew. Needs IPython, which a notebook has."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._drawn = 0.0

    def start(self, figures: Figures) -> None:
        """Put it into the cell."""
        shown: Any = import_module("IPython.display")
        self._handle = shown.display(shown.HTML(as_html(figures)), display_id=True)

    def changed(self, figures: Figures) -> None:
        """Draw it anew, unless that was just done."""
        if time.monotonic() - self._drawn > _AT_MOST_EVERY:
            self._draw(figures)

    def stop(self, figures: Figures) -> None:
        """Leave how it ended."""
        self._draw(figures, ended=True)

    def _draw(self, figures: Figures, *, ended: bool = False) -> None:
        self._drawn = time.monotonic()
        if self._handle is not None:
            shown: Any = import_module("IPython.display")
            self._handle.update(shown.HTML(as_html(figures, ended=ended)))


def as_html(figures: Figures, *, ended: bool = False) -> str:
    """The figures for a notebook."""
    event = figures.event
    if event is None:
        return f"<div>{html.escape(figures.counts())}</div>"
    share = 100 * event.job.progress
    below = figures.elapsed if ended else f"{figures.times()}<br>{html.escape(SAFE)}"
    return (
        '<div style="max-width: 48em; line-height: 1.5">'
        f"<div>job <code>{html.escape(event.job.id)}</code>: {html.escape(figures.counts())}</div>"
        '<div style="background: rgba(128, 128, 128, 0.25); border-radius: 4px; height: 8px; margin: 4px 0">'
        f'<div style="background: #2a9d5c; border-radius: 4px; height: 8px; width: {share:.1f}%"></div></div>'
        f'<div style="opacity: 0.7; font-size: 90%">{html.escape(figures.lately())}<br>{below}</div></div>'
    )
