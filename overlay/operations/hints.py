"""Hints that a batch may have ended: files in the home folder, left by whoever receives webhooks.

home/hints/<digest>            one for each batch that an event told of: replaced by the next event
           receiver            touched while webhooks are received
           seen/<digest>       one for each webhook that was taken, so that it is taken once

A hint wakes a wait, in this process or another, which then asks the service: it is never evidence. So it does no
harm if one comes twice, late, or for a batch that nobody here waits for; and if none comes, polling finds out.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from collections.abc import Collection
from contextlib import suppress
from functools import partial
from pathlib import Path

from overlay.flows.steps import Flow, Sleep, Work, deadline
from overlay.private import make_file, make_folder
from overlay.wire.connection import Settings

FOLDER = "hints"
_RECEIVER, _SEEN = "receiver", "seen"
LISTENED_SECONDS = 600.0
"""For so long after the receiver's last sign of life, webhooks are taken to arrive."""
_EVERY = 0.5
_LONGEST_PAUSE, _LONGEST_PAUSE_LISTENING = 60.0, 300.0
_KEPT_SECONDS = 4 * 86400.0
"""Longer than a service tries to deliver a webhook: OpenAI does for 72 hours,
https://platform.openai.com/docs/guides/webhooks."""


class Hints:
    """What a wait has heard of so far."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = settings.home / FOLDER
        self._known: dict[str, tuple[int, int]] = {}
        self.longest_pause = _LONGEST_PAUSE
        """Between two looks at the service, in seconds: longer while webhooks arrive."""

    def rest(self, seconds: float, batch_ids: Collection[str]) -> Flow[bool]:
        """Pause for so many seconds, or until there is a hint that is new here; whether there is one.

        One that was there before the wait is new to it: the batch may have ended since it was looked at.
        """
        if not (yield Work(self._may_come)):
            yield Sleep(seconds)
            return False
        until = deadline(self._settings, seconds)
        while (left := until.left) > 0:
            if (yield Work(partial(self._heard, batch_ids))):
                return True
            yield Sleep(min(left, _EVERY))
        return False

    def _may_come(self) -> bool:
        listening = False
        with suppress(OSError):
            listening = time.time() - (self._folder / _RECEIVER).stat().st_mtime <= LISTENED_SECONDS
        self.longest_pause = _LONGEST_PAUSE_LISTENING if listening else _LONGEST_PAUSE
        return self._folder.is_dir()

    def _heard(self, batch_ids: Collection[str]) -> bool:
        news = False
        for each in batch_ids:
            with suppress(OSError):
                status = (self._folder / _digest(each)).stat()
                stamp = status.st_mtime_ns, status.st_ino
                news = news or self._known.get(each) != stamp
                self._known[each] = stamp
        return news


class HintFolder:
    """Where whoever receives webhooks leaves hints. Its methods raise OSError and StorageError."""

    def __init__(self, home: Path) -> None:
        self._folder = home / FOLDER
        self._seen = self._folder / _SEEN

    def make(self) -> None:
        """Make the folder, for its owner alone, and remove what is older than four days."""
        make_folder(self._folder)
        make_folder(self._seen)
        for folder in (self._folder, self._seen):
            for entry in os.scandir(folder):
                with suppress(OSError):  # another receiver was first
                    if entry.is_file() and time.time() - entry.stat().st_mtime > _KEPT_SECONDS:
                        Path(entry.path).unlink()

    def listen(self) -> None:
        """Say that webhooks are being received."""
        self._replace(_RECEIVER)

    def leave(self, batch_id: str) -> None:
        """Leave a hint for whoever waits for a batch."""
        self._replace(_digest(batch_id))

    def is_new(self, webhook_id: str) -> bool:
        """Whether no receiver of this home folder has taken this webhook before. Now one has."""
        try:
            make_file(self._seen / _digest(webhook_id))
        except FileExistsError:
            return False
        return True

    def forget(self, webhook_id: str) -> None:
        """Take this webhook again if it comes again."""
        (self._seen / _digest(webhook_id)).unlink(missing_ok=True)

    def _replace(self, name: str) -> None:
        fresh = make_file(self._folder / f".{secrets.token_hex(8)}")
        fresh.replace(self._folder / name)


def _digest(name: str) -> str:
    """What a file is called: ids come from elsewhere, and may be paths."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:32]
