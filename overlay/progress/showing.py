"""Which display it is, and from when to when."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Any, Self, TypeAlias

from overlay.errors import ConfigurationError
from overlay.progress.displays import Display, Lines, Notebook, Silence, Terminal, say
from overlay.progress.figures import EventShown, Figures
from overlay.wire.environment import variable


class Progress:
    """A job's progress, shown while its `with` block runs; a block within the block changes nothing."""

    def __init__(self, display: Display | None = None) -> None:
        self.figures = Figures()
        self._display: Display = Silence() if display is None else display
        self._depth = 0

    def __enter__(self) -> Self:
        self._depth += 1
        if self._depth == 1:
            self._display.start(self.figures)
        return self

    def __exit__(self, *exception: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._display.stop(self.figures)

    def watch(self, event: EventShown) -> None:
        """Something happened to the job."""
        self.figures.see(event)
        self._display.changed(self.figures)

    def pause(self, seconds: float) -> None:
        """Nothing will be asked of the service for so long."""
        self.figures.pause(seconds)
        self._display.changed(self.figures)

    def note(self, text: str) -> None:
        """A line that stays."""
        say(text)

    @property
    def shows(self) -> bool:
        """Whether anything is shown."""
        return not isinstance(self._display, Silence)


Shown: TypeAlias = bool | Progress | None
"""True shows progress, False does not; None shows it where somebody is there to see it."""


def progress_of(shown: Shown) -> Progress:
    """What a caller's `progress=` means. OVERLAY_PROGRESS=0 turns off what is not asked for by True.

    Raises ConfigurationError for what is none of these.
    """
    if isinstance(shown, Progress):
        return shown
    given: Any = shown
    if given is not None and not isinstance(given, bool):
        raise ConfigurationError(f"progress must be True, False or None, not {shown!r:.60}")
    if shown is False or (shown is None and is_off()):
        return Progress()
    if is_notebook():
        return Progress(Notebook())
    if is_terminal() and find_spec("rich") is not None:
        return Progress(Terminal())
    return Progress(Lines() if shown else None)


def is_off() -> bool:
    """Whether the environment turns it off."""
    return variable("OVERLAY_PROGRESS") == "0"


def is_terminal() -> bool:
    """Whether stderr is a terminal."""
    return sys.stderr is not None and sys.stderr.isatty()


def is_notebook() -> bool:
    """Whether this runs in a notebook's kernel."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"
