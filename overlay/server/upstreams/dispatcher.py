"""Lines of all batches to all servers: sent when it is their turn, and what follows from the reply.

The rules of failures are in the package's docstring.
"""

import asyncio
import logging
import random
import time
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from overlay.server.answers.source import WAITS_FOR_KEY, Work
from overlay.server.upstreams.circuit import LONGEST_PROBE, Circuit
from overlay.server.upstreams.feed import Entry, Feed
from overlay.server.upstreams.holding import Holding
from overlay.server.upstreams.keys import OwnKey
from overlay.server.upstreams.probing import Probing
from overlay.server.upstreams.server import Upstream
from overlay.server.upstreams.turns import Turns
from overlay.server.upstreams.verdicts import Meaning, Verdict

logger = logging.getLogger("overlay.server")

_LONGEST_PAUSE = 20.0
_FIRST_PAUSE = 0.5
_DRAIN_LOOK = 0.02

_T = TypeVar("_T")


class Dispatcher:
    """Belongs to one loop. `hurry` is what all its waits are multiplied with."""

    def __init__(self, servers: Sequence[Upstream], key: OwnKey, *, hurry: float = 1.0) -> None:
        self.servers = servers
        self.key = key
        self.hurry = hurry
        self.feeds: list[Feed] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._again: asyncio.Handle | None = None
        self.draining = False
        self._turns = Turns(self)
        self._probing = Probing(self)
        self._holding = Holding(self)

    async def run(self, work: Work) -> None:
        """Return when every line of the work is answered and written. Cancelled, it leaves no line half written."""
        feed = Feed(work, self.pump)
        self.feeds.append(feed)
        try:
            if work.caller.token_lost:
                self._holding.hold(
                    feed, "the key that it was created with is not known since the service was restarted"
                )
            self.pump()
            await feed.done
        finally:
            self.feeds.remove(feed)
            if feed.held or feed.key_refused:
                feed.caller.say(None, WAITS_FOR_KEY)
            tasks = [each for each in feed.tasks if not each.done()]
            for each in tasks:
                each.cancel()
            feed.flush()
            if tasks:
                await asyncio.wait(tasks)
            self.pump()

    async def drain(self, within: float) -> None:
        """Send no more; return when what is under way is answered, or after so many seconds."""
        self.draining = True
        until = time.monotonic() + within
        while any(each.in_flight for each in self.servers) and time.monotonic() < until:  # noqa: ASYNC110  rare
            await asyncio.sleep(_DRAIN_LOOK)
        for feed in self.feeds:
            feed.flush()

    async def close(self) -> None:
        for each in list(self._tasks):
            each.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self._again:
            self._again.cancel()
            self._again = None
        self.draining = False
        for server in self.servers:
            await server.link.close()
            server.reset()

    def wake(self) -> None:
        """Something outside has changed: a live request has ended, a key is known."""
        self.pump()

    def keys_changed(self) -> None:
        """There is another key: what waited for one goes on."""
        for feed in self.feeds:
            if feed.held and not feed.caller.token_lost:
                self._holding.release(feed)
        self.pump()

    def pump(self) -> None:
        """Send what there is room for."""
        while self._turns.has_room():
            found = self._turns.next()
            if found is None:
                return
            self.start(self._work(*found))

    def start(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def pump_soon(self) -> None:
        if self._again is None or self._again.cancelled():
            self._again = asyncio.get_running_loop().call_soon(self._pump_again)

    def _pump_again(self) -> None:
        self._again = None
        self.pump()

    # One line

    def takes(self, entry: Entry, server: Upstream) -> None:
        """It counts as under way before its task begins."""
        entry.feed.in_flight += 1
        server.in_flight += 1
        server.circuit(entry.model).in_flight += 1

    async def _work(self, entry: Entry, server: Upstream) -> None:
        """Send a line, and then others for as long as there is room."""
        found: tuple[Entry, Upstream] | None = (entry, server)
        while found:
            await self.send(*found)
            found = self._turns.next() if self._turns.has_room() else None
            if found and self._turns.has_room():
                # A server has come to do with more at once.
                self.pump_soon()

    async def send(
        self, entry: Entry, server: Upstream, *, probe: bool = False, keyless: bool = False
    ) -> Verdict | None:
        """For a line that was taken; None where the disk has damaged it meanwhile."""
        feed, circuit = entry.feed, server.circuit(entry.model)
        task = asyncio.current_task()
        assert task
        feed.tasks.add(task)
        try:
            feed.check_alive()
            entry.mark = circuit.successes
            head = feed.open_up(entry)
            verdict: Verdict | None = None
            if head is not None:
                key = None if keyless else feed.caller.token or self.key.value
                verdict = await server.ask("POST", head.url, bytes(head.body), key)
        except BaseException:
            # Its place is free, and whoever waits for it is not told otherwise.
            self.pump_soon()
            raise
        finally:
            feed.tasks.discard(task)
            feed.in_flight -= 1
            server.in_flight -= 1
            circuit.in_flight -= 1
        try:
            if verdict is not None:
                self._settle(entry, server, circuit, verdict, probe=probe, keyless=keyless)
        except Exception as error:  # noqa: BLE001  an error of our own ends the batch, and leaves no line behind
            feed.fail(error)
        feed.check_done()
        return verdict

    def _settle(
        self,
        entry: Entry,
        server: Upstream,
        circuit: Circuit,
        verdict: Verdict,
        *,
        probe: bool,
        keyless: bool,
    ) -> None:
        feed, first = entry.feed, entry.attempts == 0
        entry.attempts += 1
        if keyless and verdict.meaning is not Meaning.ANSWERED:
            # What a server says to nobody is no answer to the line.
            feed.put(entry)
        elif verdict.settled:
            self._holding.accepted(feed)
            if verdict.meaning is Meaning.ANSWERED and (head := feed.open_up(entry)):
                server.witnesses(entry.model).answered(head.url, head.body)
            if probe and not first:
                # What it met before was the server's fault, and so was what others met.
                circuit.outages += 1
            if circuit.succeeded(first=first):
                self._probing.closed(server, entry.model)
            feed.settle(entry, verdict.status, verdict.body, verdict.request_id)
        else:
            self._failed(entry, server, circuit, verdict, first=first, probe=probe)

    def _failed(
        self, entry: Entry, server: Upstream, circuit: Circuit, verdict: Verdict, *, first: bool, probe: bool
    ) -> None:
        feed = entry.feed
        if verdict.meaning is Meaning.KEY and feed.caller.token is not None:
            # Another batch has another token: the server is well.
            feed.put(entry)
            self._holding.hold(feed, "the upstream refuses the key that it was created with")
            return
        if verdict.meaning is Meaning.KEY:
            if self.key.reload():
                self.keys_changed()
            self._holding.refused(feed)
        entry.verdict, entry.circuit, entry.server = verdict, circuit, server
        entry.began = entry.began or time.monotonic()
        if probe or circuit.is_open or verdict.meaning is Meaning.KEY:
            entry.mark = -1
        entry.outage = circuit.outages
        if probe:
            feed.put(entry)
            self.pump_soon()
            return
        if circuit.failed((id(feed), entry.number), first=first):
            # One that has failed while others succeeded says little: a witness says more.
            self._probing.open(server, entry.model, circuit, verdict, alone=entry.strikes > 0)
        if circuit.is_open:
            feed.put(entry)
            return
        feed.delayed += 1
        pause = 0.0 if verdict.meaning is Meaning.SLOW else self._pause(entry, verdict)
        asyncio.get_running_loop().call_later(pause, self._due, entry, server)

    def _pause(self, entry: Entry, verdict: Verdict) -> float:
        longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(entry.attempts - 1, 10))
        if entry.circuit and entry.strikes + 1 >= entry.circuit.tries():
            # What it waits for is a verdict, and not another attempt.
            longest = _FIRST_PAUSE
        asked = min(LONGEST_PROBE, verdict.retry_after or 0.0)
        return self.hurry * (asked + random.uniform(longest / 2, longest))  # noqa: S311  no secret

    def _due(self, entry: Entry, server: Upstream) -> None:
        feed = entry.feed
        feed.delayed -= 1
        if feed.done.done():
            return
        feed.put(entry)
        circuit = server.circuit(entry.model)
        alone = circuit.successes == entry.mark and not circuit.in_flight
        if alone and not circuit.is_open and entry.verdict:
            self._probing.open(server, entry.model, circuit, entry.verdict, alone=True)
        self.pump()
