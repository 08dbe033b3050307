"""Work in a thread that is waited for to its end, even by a cancelled task.

A thread cannot be stopped. It must not keep writing after somebody else is told that the folder is free: a
cancelled task waits for it, and then ends. Under trio, and in anyio's own scopes, threads are waited for anyway; a
task that asyncio itself cancels (`wait_for`, `Task.cancel`) would leave them behind.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any


async def to_the_end(function: Callable[[], Any]) -> Any:
    """What the function returns, or raises."""
    import asyncio  # noqa: PLC0415 - neither is needed, nor loaded, by blocking clients

    import anyio  # noqa: PLC0415

    try:
        asyncio.get_running_loop()
    except RuntimeError:  # trio
        return await anyio.to_thread.run_sync(function)
    work = asyncio.ensure_future(anyio.to_thread.run_sync(function))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        with anyio.CancelScope(shield=True):
            while not work.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([work])
        if not work.cancelled() and work.exception() is None and hasattr(work.result(), "close"):
            work.result().close()  # nobody else ever sees it
        raise
