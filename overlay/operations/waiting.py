"""Waiting for a batch: look, pause, look again, for a day or more.

Temporary failures are waited out; permanent ones are raised. Time is measured on the monotonic clock.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable

from overlay import models
from overlay.errors import (
    APIError,
    ConfigurationError,
    InvalidResponseError,
    NotFoundError,
    TokenProviderError,
    WaitTimeoutError,
)
from overlay.flows.steps import Deadline, Flow, deadline
from overlay.models import Batch
from overlay.operations.batches import retrieve_until
from overlay.operations.hints import Hints
from overlay.operations.oddities import Oddities
from overlay.wire import retry
from overlay.wire.clock import Seconds, seconds
from overlay.wire.connection import Settings

_log = logging.getLogger("overlay")

_PAUSE_GROWTH = 1.5
_PAUSE_JITTER = 0.2
_NEW_SECONDS = 60.0
"""How long a batch may be missing that this client has just created."""
_PATIENCE = 600.0
"""How long, in seconds, a batch seen before may be missing or unreadable, or a token provider may fail."""


def wait(
    settings: Settings,
    batch_id: str,
    *,
    timeout: Seconds | None = None,
    poll: Seconds = 5.0,
    on_change: Callable[[Batch], object] | None = None,
) -> Flow[Batch]:
    """Wait until the batch has ended, however it ended, and return it.

    `timeout` and `poll` are timedeltas or seconds. `poll` is the first pause between two looks; pauses grow by
    half each time, up to a minute; to five where webhooks are received (see `overlay.webhooks.app`), which end a
    pause at once. `on_change` is called with the batch at first, and whenever its status or
    counts change. An outage of the service is waited out until the timeout; a failing token provider, or a
    batch that is missing or cannot be read, for 10 minutes; a batch that this client has just created may be
    missing for a minute. A status that nobody knows is logged after 10 minutes, and so is what the service says is
    wrong with a batch that runs.

    Raises WaitTimeoutError; the batch then keeps running at the service. Errors of the first look, and permanent
    ones, are raised at once.
    """
    until = deadline(settings, timeout)
    pause = checked_poll(poll)
    watch = _Watch(settings, batch_id, on_change)
    hints = Hints(settings)
    first = pause
    while True:
        try:
            latest = yield from retrieve_until(settings, batch_id, until=until)
        except (APIError, TokenProviderError) as error:
            if not watch.tolerates(error):
                raise
        else:
            watch.saw(latest)
        if watch.seen is not None and watch.seen.ended:
            return watch.seen
        if until.left <= 0:
            status = watch.seen.status if watch.seen is not None else None
            raise WaitTimeoutError(
                f"batch {batch_id} is still {status} after {seconds(timeout or 0):,.0f} s; "
                "it keeps running at the service; wait again",
                batch_id=batch_id,
                status=status,
            )
        jitter = random.uniform(1 - _PAUSE_JITTER, 1 + _PAUSE_JITTER)  # noqa: S311 - spreads load, hides nothing
        if (yield from hints.rest(min(until.left, pause * jitter), [batch_id])):
            pause = first  # if it does not show yet what the hint was about, it will soon
        else:
            pause = min(hints.longest_pause, pause * _PAUSE_GROWTH)


def checked_poll(poll: Seconds) -> float:
    """A pause between two looks, in seconds. Raises ConfigurationError if it is not positive."""
    pause = seconds(poll)
    if not pause > 0:
        raise ConfigurationError(f"poll must be greater than zero, not {poll!r}")
    return pause


class _Watch:
    """What has been seen of a batch so far, and for how long it has been out of sight."""

    def __init__(
        self, settings: Settings, batch_id: str, on_change: Callable[[Batch], object] | None
    ) -> None:
        self.seen: Batch | None = None
        self._batch_id = batch_id
        self._oddities = Oddities(settings, lambda _, sentence: _log.warning("%s", sentence))
        self._settings = settings
        self._on_change = on_change
        self._patience: Deadline | None = None

    def saw(self, latest: Batch) -> None:
        self._patience = None
        self._oddities.saw(latest)
        before = self.seen
        # A replica that lags behind may show an earlier status again.
        if before is not None and -1 < models.rank(latest) < models.rank(before):
            return
        self.seen = latest
        changed = before is None or _news(before) != _news(latest)
        if changed and self._on_change is not None:
            self._on_change(latest)

    def tolerates(self, error: APIError | TokenProviderError) -> bool:
        """Whether to keep waiting despite this error."""
        if self.seen is None:
            return isinstance(error, NotFoundError) and self._is_new
        if isinstance(error, NotFoundError | TokenProviderError | InvalidResponseError):
            self._patience = self._patience or deadline(self._settings, _PATIENCE)
            return self._patience.left > 0
        return retry.is_transient(error)

    @property
    def _is_new(self) -> bool:
        created = self._settings.created.get(self._batch_id)
        return created is not None and self._settings.clock.monotonic() - created <= _NEW_SECONDS


def _news(batch: Batch) -> tuple[object, ...]:
    return batch.status, batch.request_counts
