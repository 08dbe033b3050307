"""A server in trouble is asked one line after another until it answers: see the package's docstring."""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Coroutine
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

from overlay.server.upstreams.circuit import LONGEST_PROBE, Circuit
from overlay.server.upstreams.feed import Entry, Feed
from overlay.server.upstreams.lanes import Lanes
from overlay.server.upstreams.server import Upstream
from overlay.server.upstreams.verdicts import Meaning, Verdict

logger = logging.getLogger("overlay.server")

_MOST_PROBES = 4
# Of so many probes, one is a line that was never tried, or the witness.
_EVERY = 4
_LOOK_AHEAD = 256
_LONGEST_LIST = 30.0
# How often a probe without room is tried again, in seconds.
_NO_ROOM = 1.0


class _Probed(NamedTuple):
    retry_after: float
    tells: bool
    """Whether its failure would be the server's for certain."""


_UNTOLD = _Probed(0.0, tells=False)
"""Of a line that could not be sent."""


class Probing:
    """Opens circuits, and closes them."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes

    def open(self, server: Upstream, model: str, circuit: Circuit, verdict: Verdict, *, alone: bool) -> None:
        """Its lines wait from now on. `alone`: there is no other line to compare with."""
        circuit.opens(time.time(), alone=alone)
        level = logging.INFO if alone else logging.WARNING
        logger.log(
            level, "upstream %s: %s; its lines wait, and it is asked again", server.address, verdict.reason
        )
        wait = self._lanes.hurry * circuit.wait(verdict.retry_after)
        self._lanes.start(self._probe(server, model, circuit, wait))

    def closed(self, server: Upstream, model: str) -> None:
        named = f" for {model}" if model else ""
        logger.info("upstream %s answers%s", server.address, named)
        self._lanes.pump_soon()

    async def _probe(self, server: Upstream, model: str, circuit: Circuit, wait: float) -> None:
        """Send one request after another until one is answered, each at its time."""
        probes: set[asyncio.Task[_Probed]] = set()
        while True:
            await asyncio.sleep(wait)
            if not circuit.is_open or self._lanes.draining:
                return
            if len(probes) < _MOST_PROBES and (server.has_room or server.probes < _MOST_PROBES):
                probes.add(self._start(server, model, circuit))
            if not probes:
                # Other models take all the room that there is.
                wait = self._lanes.hurry * random.uniform(_NO_ROOM / 2, _NO_ROOM)  # noqa: S311  no secret
                continue
            # A probe that hangs does not keep the next from being sent.
            done, probes = await asyncio.wait(
                probes, timeout=self._lanes.hurry * LONGEST_PROBE, return_when=asyncio.FIRST_COMPLETED
            )
            failed = [each.result() for each in done if not each.cancelled() and not each.exception()]
            if failed:
                circuit.probe_failed(tells=any(each.tells for each in failed))
            wait = self._lanes.hurry * circuit.wait(max((each.retry_after for each in failed), default=None))

    def _start(self, server: Upstream, model: str, circuit: Circuit) -> asyncio.Task[_Probed]:
        def ended(_: object) -> None:
            server.probes -= 1

        server.probes += 1
        probe = self._lanes.start(self._next_probe(server, model, circuit))
        probe.add_done_callback(ended)
        return probe

    def _next_probe(self, server: Upstream, model: str, circuit: Circuit) -> Coroutine[Any, Any, _Probed]:
        """The lines that wait, each in turn, and every fourth time one that was never tried, or the witness. Where
        no line waits, the list of models.
        """
        number = circuit.probes_again()
        feeds = [
            each for each in self._lanes.feeds if each.held is None and not (each.no_room or each.done.done())
        ]
        if number % _EVERY == 1:
            for feed in feeds:
                if entry := self._untried(feed, model):
                    self._lanes.takes(entry, server)
                    return self._probe_with(entry, server)
        feeds = [each for each in feeds if each.waiting.get(model)]
        if not feeds:
            return self._beside_lines(server, partial(self._probe_without_lines, server, model, circuit))
        entries = feeds[number % len(feeds)].waiting[model]
        if number % _EVERY == 1:
            return self._beside_lines(server, partial(self._probe_with_witness, entries[0], server, circuit))
        entry = entries.popleft()
        self._lanes.takes(entry, server)
        return self._probe_with(entry, server)

    def _untried(self, feed: Feed, model: str) -> Entry | None:
        entries = feed.waiting.get(model)
        if entries and (
            entry := next((each for each in islice(entries, _LOOK_AHEAD) if not each.attempts), None)
        ):
            entries.remove(entry)
            return entry
        for _ in range(_LOOK_AHEAD):
            if feed.exhausted or (entry := feed.fresh()) is None:
                return None
            if entry.model == model:
                return entry
            feed.put(entry)
        return None

    async def _probe_with(self, entry: Entry, server: Upstream) -> _Probed:
        first = entry.attempts == 0
        verdict = await self._lanes.send(entry, server, probe=True)
        if verdict is None:
            return _UNTOLD
        return _Probed(verdict.retry_after or 0.0, tells=first)

    @staticmethod
    def _beside_lines(
        server: Upstream, probe: Callable[[], Coroutine[Any, Any, _Probed]]
    ) -> Coroutine[Any, Any, _Probed]:
        """It is no line, and takes the room of one, from now on."""
        server.in_flight += 1

        async def counted() -> _Probed:
            try:
                return await probe()
            finally:
                server.in_flight -= 1

        return counted()

    async def _probe_with_witness(self, entry: Entry, server: Upstream, circuit: Circuit) -> _Probed:
        head = entry.feed.open_up(entry)
        if head is None:
            entry.feed.waiting[entry.model].remove(entry)
            entry.feed.check_done()
            return _UNTOLD
        witness = server.witnesses(entry.model).of(head.url, entry.model)
        entry.head = None
        key = entry.feed.caller.token or self._lanes.key.value
        within = None if witness.strong else _LONGEST_LIST
        verdict = await server.ask(witness.method, witness.path, witness.body, key, within=within, line=False)
        if verdict.settled and circuit.vouched(strong=witness.strong):
            self.closed(server, entry.model)
        return _Probed(verdict.retry_after or 0.0, tells=True)

    async def _probe_without_lines(self, server: Upstream, model: str, circuit: Circuit) -> _Probed:
        """Whether it is there at all: lines that come later find out the rest."""
        verdict = await server.ask(
            "GET", "/v1/models", None, self._lanes.key.value, within=_LONGEST_LIST, line=False
        )
        if (verdict.settled or verdict.meaning is Meaning.KEY) and circuit.vouched(strong=False):
            self.closed(server, model)
        return _Probed(verdict.retry_after or 0.0, tells=True)
