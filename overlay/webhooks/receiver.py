"""What becomes of a webhook: verified, taken once, and left as a hint for whoever waits."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from overlay.errors import ConfigurationError
from overlay.jobs.home import ready
from overlay.lines import storage_errors
from overlay.operations.hints import HintFolder
from overlay.signatures import sign
from overlay.webhooks.events import BatchEvent, unwrap
from overlay.wire.environment import variable

OnEvent: TypeAlias = Callable[[BatchEvent], object]

SECRET = "OPENAI_WEBHOOK_SECRET"  # noqa: S105 - the name of the variable
_log = logging.getLogger("overlay.webhooks")
_PRUNED_EVERY = 1000


def secrets_of(given: str | Sequence[str] | None) -> list[str]:
    """The secrets that are given, or those in OPENAI_WEBHOOK_SECRET, with white space between them.

    Raises ConfigurationError if there is none, or one that is no secret.
    """
    if given is None:
        given = (variable(SECRET) or "").split()
    found = [given] if isinstance(given, str) else list(given)
    if not found:
        raise ConfigurationError(f"no secret to verify webhooks with: pass secret=, or set {SECRET}")
    for each in found:
        sign(b"", "", each)
    return found


class Receiver:
    """Takes webhooks for one home folder. Threads may share it, and processes the folder."""

    def __init__(
        self, home: Path, secret: str | Sequence[str] | None, tolerance: float, on_event: OnEvent | None
    ) -> None:
        self._secrets = secrets_of(secret)
        self._home = home
        self._hints = HintFolder(home)
        self._tolerance = tolerance
        self._on_event = on_event
        self._taken = 0

    def start(self) -> None:
        """Make its folders, and say that it is there. Raises StorageError."""
        with storage_errors(self._home):
            ready(self._home)
            self._hints.make()
            self._hints.listen()

    def is_there(self) -> None:
        """Say so again. Raises StorageError."""
        with storage_errors(self._home):
            self._hints.listen()

    def take(self, body: bytes, headers: Mapping[str, str]) -> BatchEvent | None:
        """The event of a webhook, if it is about a batch and was not taken before.

        Raises WebhookError for one that nobody vouches for, StorageError, and what `on_event` raises: then it is
        new again when it comes again.
        """
        event = unwrap(body, headers, secret=self._secrets, tolerance=self._tolerance)
        if event is None:
            return None
        with storage_errors(self._home):
            if not self._hints.is_new(event.id):
                return None
        try:
            # Whoever is woken asks the service, so it does no harm that nobody has checked what the event claims.
            with storage_errors(self._home):
                self._hints.leave(event.batch_id)
                self._hints.listen()
            if self._on_event is not None:
                self._on_event(event)
        except BaseException:
            with storage_errors(self._home):
                self._hints.forget(event.id)
            raise
        self._taken += 1
        if self._taken % _PRUNED_EVERY == 0:
            with storage_errors(self._home):
                self._hints.make()
        _log.info("%s: %s", event.batch_id, event.type)
        return event
