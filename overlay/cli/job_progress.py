"""How a job is doing, on stderr: a live view on a terminal, plain lines elsewhere."""

from __future__ import annotations

from overlay.cli import endings
from overlay.progress.displays import Lines, Terminal
from overlay.progress.showing import Progress, is_off, is_terminal


def job_progress(*, quiet: bool = False) -> Progress:
    """What to show of a job, to be used in a `with` block."""
    if quiet or is_off():
        return Progress()
    return Progress(Terminal() if is_terminal() else Lines(endings.say))
