"""Whose turn it is, and which server gets the line.

Batches of the highest priority go first, and of those the one with the fewest lines under way. A line goes to the
least loaded server that is well and has room, for its weight.
"""

from overlay.server.refusals import error_body
from overlay.server.upstreams.feed import Entry, Feed
from overlay.server.upstreams.lanes import Lanes
from overlay.server.upstreams.server import Upstream
from overlay.server.upstreams.strikes import has_its_answer

# How long a line must have failed, where nothing better than the list of models speaks for the server.
_PATIENCE = 600.0
# Lines that are looked through in one go for one that a server has room for.
_LOOK_AHEAD = 256
# Beyond so many that wait, memory counts for more than lines of other models behind them.
_MOST_WAITING = 100_000


class Turns:
    """Finds the next line to send, and where to."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes

    def next(self) -> tuple[Entry, Upstream] | None:
        if self._lanes.draining:
            return None
        feeds = self._lanes.feeds
        if len(feeds) > 1:
            feeds = sorted(feeds, key=_turn)
        for feed in feeds:
            if feed.held is not None or feed.no_room or feed.done.done():
                continue
            try:
                if found := self._next_of(feed):
                    self._lanes.takes(*found)
                    return found
            except Exception as error:  # noqa: BLE001  what cannot be read ends its own batch, and no other
                feed.fail(error)
        return None

    def _next_of(self, feed: Feed) -> tuple[Entry, Upstream] | None:
        for model, entries in feed.waiting.items():
            while entries and (server := self._choose(model, entries[0].server)):
                entry = entries.popleft()
                if not has_its_answer(entry, patience=_PATIENCE * self._lanes.hurry):
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
            if not any(server.serves(fresh.model) for server in self._lanes.servers):
                _unknown_model(fresh)
            elif server := self._choose(fresh.model):
                return fresh, server
            else:
                feed.put(fresh)
        self._lanes.pump_soon()
        return None

    def has_room(self) -> bool:
        for server in self._lanes.servers:  # noqa: SIM110  a generator costs more, and this is asked for each line
            if server.has_room:
                return True
        return False

    def _may_look_ahead(self, feed: Feed) -> bool:
        """Not where all that is to come would only wait as well."""
        if not self.has_room():
            return False
        if feed.caller.one_model:
            return not any(feed.waiting.values())
        return feed.waiting_entries < _MOST_WAITING

    def _choose(self, model: str, avoided: Upstream | None = None) -> Upstream | None:
        """The least loaded of those that are well and have room; the avoided one where there is no other."""
        servers = self._lanes.servers
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
                and (best is None or best is avoided or (server.load < best.load and server is not avoided))
            ):
                best = server
        return best


def _unknown_model(entry: Entry) -> None:
    message = f"The model {entry.model!r} does not exist"
    entry.feed.settle(entry, 404, error_body(message, param="model", code="model_not_found"), None)


def _turn(feed: Feed) -> tuple[int, int]:
    return -feed.caller.priority, feed.in_flight
