"""An event loop in a thread of its own, so that thousands of answers a second keep no client of the API waiting."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

_T = TypeVar("_T")


class Background:
    """Starts when it is first used, and again after `stop`."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    async def run(self, work: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        """What the work returns. Cancelled, it returns when the work has ended."""
        here = asyncio.get_running_loop()
        loop = self._running()
        ended: asyncio.Future[None] = here.create_future()
        tasks: list[asyncio.Task[_T]] = []

        def start() -> None:
            task = loop.create_task(work())
            tasks.append(task)
            task.add_done_callback(lambda _: here.call_soon_threadsafe(end))

        def end() -> None:
            if not ended.done():
                ended.set_result(None)

        def cancel() -> None:
            tasks[0].cancel()

        loop.call_soon_threadsafe(start)
        try:
            await asyncio.shield(ended)
        except asyncio.CancelledError:
            loop.call_soon_threadsafe(cancel)
            await asyncio.wait([ended])
            raise
        return tasks[0].result()

    def call(self, function: Callable[[], object]) -> None:
        """Have it called there soon, unless nothing runs there; from any thread."""
        if (loop := self._loop) is not None:
            with suppress(RuntimeError):  # it has ended meanwhile
                loop.call_soon_threadsafe(function)

    async def stop(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do the last work there, and end the thread."""
        if self._loop is None or self._thread is None:
            return
        await self.run(last)
        loop, thread = self._loop, self._thread
        self._loop = self._thread = None
        loop.call_soon_threadsafe(loop.stop)
        await asyncio.to_thread(thread.join)

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=_serve, args=[loop], name=self._name, daemon=True)
            self._thread.start()
        return self._loop


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
