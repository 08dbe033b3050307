"""Lines of all batches to all servers: whose turn it is, where it goes, and what follows from the reply.

Batches of the highest priority go first, and of those the one with the fewest lines under way. A line goes to the
least loaded server that is well and has room, for its weight. The rules of failures are in the package's docstring.
"""

import asyncio
import logging
import random
import time
from collections.abc import Coroutine, Sequence
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from overlay.server.answers.source import WAITS_FOR_KEY, Work
from overlay.server.refusals import error_body
from overlay.server.upstreams.circuit import LONGEST_PROBE, Circuit
from overlay.server.upstreams.feed import Entry, Feed
from overlay.server.upstreams.keys import OwnKey
from overlay.server.upstreams.server import Upstream
from overlay.server.upstreams.verdicts import Meaning, Verdict

logger = logging.getLogger("overlay.server")

_LONGEST_PAUSE = 20.0
_FIRST_PAUSE = 0.5
_MOST_SLOW = 2
# How long a line must have failed, where nothing better than the list of models speaks for the server.
_PATIENCE = 600.0
_MOST_PROBES = 4
# Lines that are looked through in one go for one that a server has room for.
_LOOK_AHEAD = 256
# Beyond so many that wait, memory counts for more than lines of other models behind them.
_MOST_WAITING = 100_000
_LONGEST_LIST = 30.0
_KEY_PROBES = 30.0
_EVERY = 4
_DRAIN_LOOK = 0.02

_T = TypeVar("_T")


class _Probed(NamedTuple):
    retry_after: float
    tells: bool
    """Whether its failure would be the server's for certain."""


class Dispatcher:
    """Belongs to one loop. `hurry` is what all its waits are multiplied with."""

    def __init__(self, servers: Sequence[Upstream], key: OwnKey, *, hurry: float = 1.0) -> None:
        self._servers = servers
        self._key = key
        self._hurry = hurry
        self._feeds: list[Feed] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._again: asyncio.Handle | None = None
        self._draining = False

    async def run(self, work: Work) -> None:
        """Return when every line of the work is answered and written. Cancelled, it leaves no line half written."""
        feed = Feed(work, self.pump)
        self._feeds.append(feed)
        try:
            if work.caller.token_lost:
                self._hold(
                    feed, "the key that it was created with is not known since the service was restarted"
                )
            self.pump()
            await feed.done
        finally:
            self._feeds.remove(feed)
            if feed.held:
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
        self._draining = True
        until = time.monotonic() + within
        while any(each.in_flight for each in self._servers) and time.monotonic() < until:  # noqa: ASYNC110  rare
            await asyncio.sleep(_DRAIN_LOOK)
        for feed in self._feeds:
            feed.flush()

    async def close(self) -> None:
        for each in list(self._tasks):
            each.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self._again:
            self._again.cancel()
        for server in self._servers:
            await server.link.close()
            server.reset()

    def wake(self) -> None:
        """Something outside has changed: a live request has ended, a key is known."""
        self.pump()

    def keys_changed(self) -> None:
        """There is another key: what waited for one goes on."""
        for feed in self._feeds:
            if feed.held and not feed.caller.token_lost:
                self._release(feed)
        self.pump()

    def pump(self) -> None:
        """Send what there is room for."""
        while self._has_room():
            found = self._next()
            if found is None:
                return
            self._start(self._work(*found))

    def _start(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # Whose turn it is

    def _next(self) -> tuple[Entry, Upstream] | None:
        if self._draining:
            return None
        feeds = self._feeds
        if len(feeds) > 1:
            feeds = sorted(feeds, key=_turn)
        for feed in feeds:
            if feed.held is not None or feed.no_room or feed.done.done():
                continue
            try:
                if found := self._next_of(feed):
                    self._takes(*found)
                    return found
            except Exception as error:  # noqa: BLE001  what cannot be read ends its own batch, and no other
                feed.fail(error)
        return None

    def _next_of(self, feed: Feed) -> tuple[Entry, Upstream] | None:
        for model, entries in feed.waiting.items():
            while entries and (server := self._choose(model)):
                entry = entries.popleft()
                if not self._has_its_answer(entry):
                    return entry, server
                feed.check_done()
        if feed.exhausted:
            return None
        for _ in range(_LOOK_AHEAD):
            if not self._may_look_ahead(feed):
                return None
            fresh = feed.fresh()
            if fresh is None:
                feed.check_done()
                return None
            if not any(server.serves(fresh.model) for server in self._servers):
                self._unknown_model(fresh)
            elif server := self._choose(fresh.model):
                return fresh, server
            else:
                feed.put(fresh)
        self._pump_soon()
        return None

    def _has_room(self) -> bool:
        for server in self._servers:  # noqa: SIM110  any() with a generator costs more, and this is asked for each line
            if server.has_room:
                return True
        return False

    def _may_look_ahead(self, feed: Feed) -> bool:
        """Not where all that is to come would only wait as well."""
        if not self._has_room():
            return False
        if feed.caller.one_model:
            return not any(feed.waiting.values())
        return feed.waiting_entries < _MOST_WAITING

    def _pump_soon(self) -> None:
        if self._again is None or self._again.cancelled():
            self._again = asyncio.get_running_loop().call_soon(self._pump_again)

    def _pump_again(self) -> None:
        self._again = None
        self.pump()

    def _choose(self, model: str) -> Upstream | None:
        servers = self._servers
        if len(servers) == 1:
            server = servers[0]
            well = server.has_room and server.serves(model) and not server.circuit(model).is_open
            return server if well else None
        named = any(each.address.model == model for each in servers)
        best: Upstream | None = None
        for server in servers:
            if (
                server.has_room
                and server.address.model == (model if named else None)
                and not server.circuit(model).is_open
                and (best is None or server.load < best.load)
            ):
                best = server
        return best

    def _unknown_model(self, entry: Entry) -> None:
        message = f"The model {entry.model!r} does not exist"
        entry.feed.settle(entry, 404, error_body(message, param="model", code="model_not_found"), None)

    # One line

    def _takes(self, entry: Entry, server: Upstream) -> None:
        """It counts as under way before its task begins."""
        entry.feed.in_flight += 1
        server.in_flight += 1
        server.circuit(entry.model).in_flight += 1

    async def _work(self, entry: Entry, server: Upstream) -> None:
        """Send a line, and then others for as long as there is room."""
        found: tuple[Entry, Upstream] | None = (entry, server)
        while found:
            await self._send(*found)
            found = self._next() if self._has_room() else None
            if found and self._has_room():
                # A server has come to do with more at once.
                self._pump_soon()

    async def _send(
        self, entry: Entry, server: Upstream, *, probe: bool = False, keyless: bool = False
    ) -> Verdict:
        """For a line that was taken."""
        feed, circuit = entry.feed, server.circuit(entry.model)
        task = asyncio.current_task()
        assert task
        feed.tasks.add(task)
        try:
            if feed.done.done():
                raise asyncio.CancelledError
            head = feed.open_up(entry)
            key = None if keyless else feed.caller.token or self._key.value
            verdict = await server.ask("POST", head.url, bytes(head.body), key)
        finally:
            feed.tasks.discard(task)
            feed.in_flight -= 1
            server.in_flight -= 1
            circuit.in_flight -= 1
        first = entry.attempts == 0
        entry.attempts += 1
        if keyless and verdict.meaning is not Meaning.ANSWERED:
            # What a server says to nobody is no answer to the line.
            feed.put(entry)
        elif verdict.settled:
            if verdict.meaning is Meaning.ANSWERED:
                server.witnesses(entry.model).answered(head.url, head.body)
            if probe and not first:
                # What it met before was the server's fault, and so was what others met.
                circuit.outages += 1
            if circuit.succeeded(first=first):
                self._closed(server, entry.model)
            feed.settle(entry, verdict.status, verdict.body, verdict.request_id)
        else:
            self._failed(entry, server, circuit, verdict, first=first, probe=probe)
        feed.check_done()
        return verdict

    def _failed(
        self, entry: Entry, server: Upstream, circuit: Circuit, verdict: Verdict, *, first: bool, probe: bool
    ) -> None:
        feed = entry.feed
        if verdict.meaning is Meaning.KEY and feed.caller.token is not None:
            # Another batch has another token: the server is well.
            feed.put(entry)
            self._hold(feed, "the upstream refuses the key that it was created with")
            return
        if verdict.meaning is Meaning.KEY and self._key.reload():
            self.keys_changed()
        entry.verdict, entry.circuit = verdict, circuit
        entry.began = entry.began or time.monotonic()
        counts = not probe and not circuit.is_open and verdict.meaning is not Meaning.KEY
        entry.mark = circuit.successes if counts else -1
        entry.outage = circuit.outages
        if probe:
            feed.put(entry)
            self._pump_soon()
            return
        if circuit.failed((id(feed), entry.number), first=first):
            # One that has failed while others succeeded says little: a witness says more.
            self._open(server, entry.model, circuit, verdict, alone=entry.strikes > 0)
        if circuit.is_open:
            feed.put(entry)
            return
        feed.delayed += 1
        pause = 0.0 if verdict.meaning is Meaning.SLOW else self._pause(entry, verdict)
        asyncio.get_running_loop().call_later(pause, self._due, entry, server)

    def _pause(self, entry: Entry, verdict: Verdict) -> float:
        longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(entry.attempts - 1, 10))
        asked = min(LONGEST_PROBE, verdict.retry_after or 0.0)
        return self._hurry * (asked + random.uniform(longest / 2, longest))  # noqa: S311  no secret

    def _due(self, entry: Entry, server: Upstream) -> None:
        feed = entry.feed
        feed.delayed -= 1
        if feed.done.done():
            return
        feed.put(entry)
        circuit = server.circuit(entry.model)
        alone = circuit.successes == entry.mark and not circuit.in_flight
        if alone and not circuit.is_open and entry.verdict:
            self._open(server, entry.model, circuit, entry.verdict, alone=True)
        self.pump()

    def _has_its_answer(self, entry: Entry) -> bool:
        """Judge a line that failed: whether it is to be asked again, or its failure is its answer."""
        verdict, circuit = entry.verdict, entry.circuit
        if verdict is None or circuit is None:
            return False
        attempt = entry.mark >= 0 and circuit.successes > entry.mark and circuit.outages == entry.outage
        if attempt and not circuit.proven:
            attempt = time.monotonic() - entry.began > _PATIENCE * self._hurry
        entry.mark = -1
        if not attempt:
            return False
        if verdict.meaning is Meaning.SLOW:
            entry.slow += 1
        else:
            entry.strikes += 1
        if entry.slow < _MOST_SLOW and entry.strikes < circuit.tries():
            return False
        entry.feed.settle(entry, verdict.status, verdict.body, verdict.request_id)
        return True

    # A server in trouble

    def _open(self, server: Upstream, model: str, circuit: Circuit, verdict: Verdict, *, alone: bool) -> None:
        circuit.opens(time.time(), alone=alone)
        level = logging.INFO if alone else logging.WARNING
        logger.log(
            level, "upstream %s: %s; its lines wait, and it is asked again", server.address, verdict.reason
        )
        self._probe_after(server, model, circuit, verdict.retry_after)

    def _closed(self, server: Upstream, model: str) -> None:
        named = f" for {model}" if model else ""
        logger.info("upstream %s answers%s", server.address, named)
        self._pump_soon()

    def _probe_after(self, server: Upstream, model: str, circuit: Circuit, retry_after: float | None) -> None:
        self._start(self._probe(server, model, circuit, self._hurry * circuit.wait(retry_after)))

    async def _probe(self, server: Upstream, model: str, circuit: Circuit, wait: float) -> None:
        """Send one request after another until one is answered, each at its time."""
        probes: set[asyncio.Task[_Probed]] = set()
        while True:
            await asyncio.sleep(wait)
            if not circuit.is_open or self._draining:
                return
            if len(probes) < _MOST_PROBES:
                probes.add(self._start(self._next_probe(server, model, circuit)))
            # A probe that hangs does not keep the next from being sent.
            done, probes = await asyncio.wait(
                probes, timeout=self._hurry * LONGEST_PROBE, return_when=asyncio.FIRST_COMPLETED
            )
            failed = [each.result() for each in done if not each.cancelled()]
            if failed:
                circuit.probe_failed(tells=any(each.tells for each in failed))
            wait = self._hurry * circuit.wait(max((each.retry_after for each in failed), default=None))

    def _next_probe(self, server: Upstream, model: str, circuit: Circuit) -> Coroutine[Any, Any, _Probed]:
        """The lines that wait, each in turn, and every fourth time one that was never tried, or the witness. Where
        no line waits, the list of models.
        """
        number = circuit.probes_again()
        feeds = [each for each in self._feeds if each.held is None and not (each.no_room or each.done.done())]
        if number % _EVERY == 1:
            for feed in feeds:
                if entry := self._untried(feed, model):
                    self._takes(entry, server)
                    return self._probe_with(entry, server)
        feeds = [each for each in feeds if each.waiting.get(model)]
        if not feeds:
            return self._probe_without_lines(server, model, circuit)
        entries = feeds[number % len(feeds)].waiting[model]
        if number % _EVERY == 1:
            return self._probe_with_witness(entries[0], server, circuit)
        entry = entries.popleft()
        self._takes(entry, server)
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

    async def _probe_with(self, entry: Entry, server: Upstream) -> "_Probed":
        first = entry.attempts == 0
        verdict = await self._send(entry, server, probe=True)
        return _Probed(verdict.retry_after or 0.0, tells=first)

    async def _probe_with_witness(self, entry: Entry, server: Upstream, circuit: Circuit) -> "_Probed":
        witness = server.witnesses(entry.model).of(entry.feed.open_up(entry).url, entry.model)
        entry.head = None
        key = entry.feed.caller.token or self._key.value
        within = None if witness.strong else _LONGEST_LIST
        verdict = await server.ask(witness.method, witness.path, witness.body, key, within=within, line=False)
        if verdict.settled and circuit.vouched(strong=witness.strong):
            self._closed(server, entry.model)
        return _Probed(verdict.retry_after or 0.0, tells=True)

    async def _probe_without_lines(self, server: Upstream, model: str, circuit: Circuit) -> "_Probed":
        """Whether it is there at all: lines that come later find out the rest."""
        verdict = await server.ask(
            "GET", "/v1/models", None, self._key.value, within=_LONGEST_LIST, line=False
        )
        if (verdict.settled or verdict.meaning is Meaning.KEY) and circuit.vouched(strong=False):
            self._closed(server, model)
        return _Probed(verdict.retry_after or 0.0, tells=True)

    # Keys

    def _hold(self, feed: Feed, why: str) -> None:
        """Send nothing of a batch until a key is known."""
        if feed.held is None:
            feed.held = why
            feed.caller.say(why, WAITS_FOR_KEY)
            logger.warning("batch %s waits for a key: %s", feed.caller.batch_id, why)
            self._start(self._try_key(feed))

    def _release(self, feed: Feed) -> None:
        if feed.held is not None:
            feed.held = None
            feed.caller.say(None, WAITS_FOR_KEY)
            logger.info("batch %s goes on", feed.caller.batch_id)
            self._pump_soon()

    async def _try_key(self, feed: Feed) -> None:
        """Send one line now and then: the key may be accepted again, or the server may want none."""
        wait = 0.0 if feed.caller.token_lost else _KEY_PROBES
        while True:
            await asyncio.sleep(self._hurry * wait)
            if feed.held is None or feed.done.done():
                return
            entry = next((each.popleft() for each in feed.waiting.values() if each), None) or feed.fresh()
            server = self._servers[0] if entry is None else self._any_server(entry.model)
            if entry is None or server is None:
                self._release(feed)
                return
            keyless = feed.caller.token_lost
            self._takes(entry, server)
            verdict = await self._send(entry, server, probe=True, keyless=keyless)
            if verdict.settled and (verdict.meaning is Meaning.ANSWERED or not keyless):
                feed.caller.token_lost = False
                self._release(feed)
                return
            if keyless and verdict.meaning is not Meaning.TROUBLE:
                # It wants a key: nothing but a key helps.
                return
            wait = _KEY_PROBES

    def _any_server(self, model: str) -> Upstream | None:
        named = [each for each in self._servers if each.address.model == model]
        return next(iter(named or [each for each in self._servers if each.serves(model)]), None)


def _turn(feed: Feed) -> tuple[int, int]:
    return -feed.caller.priority, feed.in_flight
