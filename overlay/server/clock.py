"""Time, as the service sees it.

A clock tells the time and may be moved forward. A timeline is a clock plus everything that waits for it: batches
that are due to change, deadlines, late actions. Because every waiter is known, time can be moved by hours and all
that would have happened on the way happens, in order, each at its own moment: a discrete-event simulation.
"""

import asyncio
import heapq
import itertools
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Protocol, runtime_checkable

# How often a clock that only tells the time is looked at, in seconds.
_POLL = 0.01
# The last second of the year 9999: no HTTP date has a later one.
_LATEST = 253_402_300_799


class Clock(Protocol):
    """Whatever tells the time in seconds since 1970."""

    def time(self) -> float: ...


@runtime_checkable
class _Settable(Protocol):
    def time(self) -> float: ...
    def move_to(self, moment: float) -> None: ...


class RunningClock:
    """The machine's own time, plus whatever it was moved forward by."""

    running = True

    def __init__(self) -> None:
        self._ahead = 0.0

    def time(self) -> float:
        return time.time() + self._ahead

    def move_to(self, moment: float) -> None:
        self._ahead = max(self._ahead, moment - time.time())


class ManualClock:
    """Time that stands still until it is moved."""

    running = False

    def __init__(self, start: float = 1_750_000_000.0) -> None:
        self._now = start

    def time(self) -> float:
        return self._now

    def move_to(self, moment: float) -> None:
        self._now = max(self._now, moment)


class _Waiter:
    """One place in the queue; `call` is None once nobody waits there any more."""

    __slots__ = ("call", "moment", "order")

    def __init__(self, moment: float, order: int, call: Callable[[], None]) -> None:
        self.moment = moment
        self.order = order
        self.call: Callable[[], None] | None = call

    def __lt__(self, other: "_Waiter") -> bool:
        return (self.moment, self.order) < (other.moment, other.order)


class Timeline:
    """A clock and all who wait for it. Everything here belongs to one event loop."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock: Clock = clock or RunningClock()
        self._waiting: list[_Waiter] = []
        self._order = itertools.count()
        self._busy = 0
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def now(self) -> float:
        return self.clock.time()

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run in the background; `settle` waits for it unless it sleeps on this timeline."""
        self._take()
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def sleep_until(self, moment: float) -> None:
        """Only for work begun by `start`."""
        if moment <= self.now():
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def wake() -> None:
            if not woken.done():
                self._take()
                woken.set_result(None)

        self._at(moment, wake)
        self._give()
        try:
            await woken
        except asyncio.CancelledError:
            # Cancelled after being woken, the place among the busy is taken already.
            if woken.cancelled():
                self._take()
            raise

    @asynccontextmanager
    async def until(self, moment: float) -> AsyncGenerator[None]:
        """Raise `TimeoutError` out of the block when the clock reaches the moment."""
        fired = False

        def fire() -> None:
            nonlocal fired
            fired = True
            self._take()
            limit.reschedule(asyncio.get_running_loop().time())

        try:
            async with asyncio.timeout(None) as limit:
                waiter = self._at(moment, fire)
                try:
                    yield
                finally:
                    waiter.call = None
        finally:
            if fired:
                self._give()

    async def settle(self) -> None:
        """Return when nothing is due and nobody works."""
        while True:
            self._release()
            await self._quiet.wait()
            if not self._waiting or self._waiting[0].moment > self.now():
                return

    async def advance(self, seconds: float) -> None:
        """Move the clock, stopping at each moment somebody waits for; return when all is settled.

        Raises `ValueError` beyond the year 9999, and `TypeError` for a clock that cannot be moved.
        """
        target = self.now() + seconds
        if not target <= _LATEST:
            raise ValueError(f"the clock goes to the end of the year 9999, and not to {target:.0f}")
        clock = self.clock
        if not isinstance(clock, _Settable):
            raise TypeError("this clock only tells the time: move it where it was made, then settle()")
        await self.settle()
        while self._waiting and self._waiting[0].moment <= target:
            clock.move_to(self._waiting[0].moment)
            await self.settle()
        clock.move_to(target)
        await self.settle()

    async def close(self) -> None:
        if self._timer:
            self._timer.cancel()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _at(self, moment: float, call: Callable[[], None]) -> _Waiter:
        waiter = _Waiter(moment, next(self._order), call)
        heapq.heappush(self._waiting, waiter)
        self._arm()
        return waiter

    def _release(self) -> None:
        while self._waiting and (self._waiting[0].moment <= self.now() or not self._waiting[0].call):
            call = heapq.heappop(self._waiting).call
            if call:
                call()
        self._arm()

    def _arm(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if not self._waiting:
            return
        running = getattr(self.clock, "running", None)
        if running is not False:
            wait = _POLL if running is None else max(0.0, self._waiting[0].moment - self.now())
            self._timer = asyncio.get_running_loop().call_later(wait, self._release)

    def _take(self) -> None:
        self._busy += 1
        self._quiet.clear()

    def _give(self) -> None:
        self._busy -= 1
        if self._busy == 0:
            self._quiet.set()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._give()
        if not task.cancelled() and task.exception():
            task.get_loop().call_exception_handler(
                {"message": "background work failed", "exception": task.exception()}
            )
