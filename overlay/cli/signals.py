"""Ctrl-C and SIGTERM: stop within a second, and say how to continue.

The first signal is raised as `Interrupted` wherever the program is, so that temporary files are removed on the
way out. Python runs a handler only between two of its own instructions, and looking up a host name, or syncing
a slow disk, happens within one: so a thread, woken by the signal itself, ends the process if it is still alive
after most of a second.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import suppress
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PATIENCE_SECONDS = 0.8
_AGAIN_SECONDS = 0.01
_SHOW_CURSOR = "\x1b[?25h"


class Interrupted(BaseException):
    """The user, or the system, asked to stop."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.number = signal_number
        self.exit_status = 128 + signal_number
        """What a shell reports for a process that a signal ended: 130 for SIGINT, 143 for SIGTERM."""


class Stopping:
    """Turns the signals of one process into an orderly end. It lasts until the process ends."""

    def __init__(self) -> None:
        self.advice = ""
        """What to print when stopped: what keeps running elsewhere, and the command to get back to it."""
        self.advise_on_error = False
        self.asked = False
        """Whether a signal has arrived."""
        self._said = False
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        for number in _SIGNALS:
            # Signals that nohup, or a shell for its background jobs, has set to be ignored stay ignored.
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._handle)
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        sys.unraisablehook = self._lost
        threading.Thread(target=self._watch, name="overlay-stopping", daemon=True).start()

    def disarm(self) -> None:
        """Leave the signals to other code."""
        signal.set_wakeup_fd(-1)
        sys.unraisablehook = sys.__unraisablehook__
        for number in _SIGNALS:
            if signal.getsignal(number) == self._handle:
                signal.signal(number, signal.SIG_DFL)

    def say(self) -> None:
        """Print the advice, once."""
        if self._said:
            return
        self._said = True
        with suppress(OSError, ValueError):
            sys.stderr.write(f"stopped; {self.advice}\n" if self.advice else "stopped\n")
            sys.stderr.flush()

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self.asked:
            self._leave(number)
        self.asked = True
        raise Interrupted(number)

    def _lost(self, unraisable: sys.UnraisableHookArgs) -> None:
        """Something was raised where it cannot propagate, in a finalizer: a signal is sent again."""
        if isinstance(unraisable.exc_value, Interrupted):
            self.asked = False
            again = threading.Timer(_AGAIN_SECONDS, os.kill, (os.getpid(), unraisable.exc_value.number))
            again.daemon = True
            again.start()
        else:
            sys.__unraisablehook__(unraisable)

    def _watch(self) -> None:
        number = os.read(self._reader, 1)[0]
        time.sleep(_PATIENCE_SECONDS)
        self._leave(number)

    def _leave(self, number: int) -> None:
        with suppress(OSError, ValueError):
            if sys.stderr.isatty():
                sys.stderr.write(_SHOW_CURSOR)
        self.say()
        os._exit(128 + number)
