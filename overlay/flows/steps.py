"""Logic once: flows, the steps they take, and retries.

A flow is a generator that yields steps and returns a value. It decides; a driver (`overlay.flows.drivers`) acts.
This is the idea of httpx's `auth_flow`, one level up. A step's error is thrown into the flow at its `yield`, so
try, except and retry are ordinary code, and a flow can be tested by hand with `next` and `send`, without a
server, a loop, or time passing.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar

import attrs

from overlay.errors import APIError
from overlay.wire import retry
from overlay.wire.clock import Seconds, seconds
from overlay.wire.connection import Profile, Settings
from overlay.wire.part_file import PartFile

_log = logging.getLogger("overlay")

T = TypeVar("T")


class Endpoint(Protocol):
    """One generated module under `overlay.generated.api`."""

    @property
    def sync_detailed(self) -> Callable[..., Any]: ...
    @property
    def asyncio_detailed(self) -> Callable[..., Awaitable[Any]]: ...


@attrs.frozen
class Call:
    """Call an operation once; gives the answer as generated code parsed it."""

    endpoint: Endpoint
    arguments: Mapping[str, Any]
    profile: Profile = "read"
    extra: Any = None
    """What else goes with it: see `overlay.flows.extras`."""


@attrs.frozen
class Fetch:
    """Stream the body of a GET to disk, from `part_file.offset` on."""

    path: str
    part_file: PartFile


@attrs.frozen
class Put:
    """Send a file's content to the storage that an upload was redirected to."""

    target: str
    path: Path


@attrs.frozen
class Stream:
    """Start a GET whose body is read piece by piece; gives the `Body`. Only for blocking drivers."""

    path: str


@attrs.frozen
class Sleep:
    seconds: float


@attrs.frozen
class Work:
    """Run a function that uses the disk or the processor: in place, or off the event loop."""

    function: Callable[[], Any]


@attrs.frozen
class Pull:
    """Take up to `at_most` items from an iterator: this runs the caller's own code, which may be slow, or await."""

    source: Iterator[Any] | AsyncIterator[Any]
    at_most: int


@attrs.frozen
class Together:
    """Run flows concurrently, `at_most` at a time; gives their values in order.

    If some fail, the others still run to their end; then the first failure is raised.
    """

    flows: Sequence[Generator[Any, Any, Any]]
    at_most: int


Step: TypeAlias = Call | Fetch | Put | Stream | Sleep | Work | Pull | Together
Flow: TypeAlias = Generator[Step, Any, T]


@attrs.frozen
class Deadline:
    """A moment on the monotonic clock; `at` is None for never."""

    settings: Settings
    at: float | None

    @property
    def left(self) -> float:
        return float("inf") if self.at is None else self.at - self.settings.clock.monotonic()

    def later(self, by: float) -> Deadline:
        """The deadline, postponed by this many seconds."""
        return self if self.at is None else attrs.evolve(self, at=self.at + by)


def deadline(settings: Settings, within: Seconds | None) -> Deadline:
    """The moment `within` from now; never, for None."""
    return Deadline(settings, None if within is None else settings.clock.monotonic() + seconds(within))


def call(
    settings: Settings,
    endpoint: Endpoint,
    /,
    *,
    policy: retry.Policy = retry.READ,
    profile: Profile = "read",
    until: Deadline | None = None,
    settled: type[APIError] | None = None,
    final: type[APIError] | None = None,
    **arguments: Any,
) -> Flow[Any]:
    """Call an operation that is safe to repeat, with retries, none of them started after `until`.

    `settled` is the error that, from the second try on, means that an earlier try did the work; `final` is one
    that is permanent here, though it may be temporary elsewhere.
    """
    limit = deadline(settings, policy.within)
    tries = min(policy.tries, settings.max_retries + 1)
    for attempt in range(tries):
        try:
            return (yield Call(endpoint, arguments, profile))
        except APIError as error:
            if attempt and settled and isinstance(error, settled):
                return None
            delay = None if final and isinstance(error, final) else retry.delay(error, attempt)
            limit = limit.later(retry.asked_wait(error))
            if delay is None or attempt + 1 == tries or delay > limit.left or (until and delay > until.left):
                raise
            why = str(error)
        yield from pause(why, delay)
    raise AssertionError("unreachable: the last attempt returns or raises")


def pause(why: str, delay: float) -> Flow[None]:
    """Wait this many seconds before the next attempt, and log it."""
    _log.info("%s; retrying in %.1f s", why, delay)
    yield Sleep(delay)
