"""Batches that wait for a key."""

import asyncio
import logging

from overlay.server.answers.source import WAITS_FOR_KEY
from overlay.server.upstreams.feed import Feed
from overlay.server.upstreams.lanes import Lanes
from overlay.server.upstreams.server import Upstream
from overlay.server.upstreams.verdicts import Meaning

logger = logging.getLogger("overlay.server")

_KEY_PROBES = 30.0


class Holding:
    """Holds batches up, and lets them go on."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes

    def hold(self, feed: Feed, why: str) -> None:
        """Send nothing of a batch until a key is known."""
        if feed.held is None:
            feed.held = why
            feed.caller.say(why, WAITS_FOR_KEY)
            logger.warning("batch %s waits for a key: %s", feed.caller.batch_id, why)
            self._lanes.start(self._try_key(feed))

    def release(self, feed: Feed) -> None:
        """There is a key, or none is needed."""
        if feed.held is not None:
            feed.held = None
            feed.caller.say(None, WAITS_FOR_KEY)
            logger.info("batch %s goes on", feed.caller.batch_id)
            self._lanes.pump_soon()

    def refused(self, feed: Feed) -> None:
        """A server refuses the service's own key: its circuit holds the lines up, and the batch says why."""
        if not feed.key_refused and feed.held is None:
            feed.key_refused = True
            feed.caller.say("the upstream refuses the key that the service has", WAITS_FOR_KEY)
            logger.warning(
                "batch %s: the upstream refuses the key that the service has", feed.caller.batch_id
            )

    def accepted(self, feed: Feed) -> None:
        """A line has its answer."""
        if feed.key_refused:
            feed.key_refused = False
            feed.caller.say(None, WAITS_FOR_KEY)

    async def _try_key(self, feed: Feed) -> None:
        """Send one line now and then: the key may be accepted again, or the server may want none."""
        wait = 0.0 if feed.caller.token_lost else _KEY_PROBES
        while True:
            await asyncio.sleep(self._lanes.hurry * wait)
            if feed.held is None or feed.done.done():
                return
            entry = next((each.popleft() for each in feed.waiting.values() if each), None) or feed.fresh()
            server = self._lanes.servers[0] if entry is None else self._any_server(entry.model)
            if entry is None or server is None:
                self.release(feed)
                return
            keyless = feed.caller.token_lost
            self._lanes.takes(entry, server)
            verdict = await self._lanes.send(entry, server, probe=True, keyless=keyless)
            if verdict is None:
                continue
            if verdict.settled and (verdict.meaning is Meaning.ANSWERED or not keyless):
                feed.caller.token_lost = False
                self.release(feed)
                return
            if keyless and verdict.meaning is not Meaning.TROUBLE:
                # It wants a key: nothing but a key helps.
                return
            wait = _KEY_PROBES

    def _any_server(self, model: str) -> Upstream | None:
        named = [each for each in self._lanes.servers if each.address.model == model]
        return next(iter(named or [each for each in self._lanes.servers if each.serves(model)]), None)
