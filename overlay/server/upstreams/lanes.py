"""What the parts of the dispatcher know of each other."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Protocol, TypeVar

from overlay.server.upstreams.feed import Entry, Feed
from overlay.server.upstreams.keys import OwnKey
from overlay.server.upstreams.server import Upstream
from overlay.server.upstreams.verdicts import Verdict

_T = TypeVar("_T")


class Lanes(Protocol):
    """Batches on one side, servers on the other, and a way between them. `hurry` multiplies all waits."""

    servers: Sequence[Upstream]
    feeds: list[Feed]
    key: OwnKey
    hurry: float
    draining: bool
    """Nothing more is sent."""

    def start(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """In the background, until the dispatcher is closed."""
        ...

    async def send(
        self, entry: Entry, server: Upstream, *, probe: bool = False, keyless: bool = False
    ) -> Verdict | None:
        """For a line that `takes` has counted; None where it cannot be read any more, and has its answer.

        `keyless` sends no key at all.
        """
        ...

    def takes(self, entry: Entry, server: Upstream) -> None: ...

    def pump_soon(self) -> None: ...
