"""The lines of one batch on their way to servers: fresh ones, and those that wait for their turn."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from overlay.server.answers.source import WAITS_FOR_ROOM, Head, Outcome, Work, outcome
from overlay.server.disk import NoRoomError
from overlay.server.refusals import error_body
from overlay.server.upstreams.circuit import Circuit
from overlay.server.upstreams.server import Upstream
from overlay.server.upstreams.verdicts import Verdict

logger = logging.getLogger("overlay.server")

# Answers are written together, in seconds and in bytes.
_WRITE_EVERY = 0.02
_WRITE_BYTES = 1 << 20
# How often a disk without room is tried again, in seconds.
_ROOM_EVERY = 1.0


class _Wishes(msgspec.Struct):
    model: Any = None
    stream: Any = None


_head = msgspec.json.Decoder(Head)
_wishes = msgspec.json.Decoder(_Wishes)


class Entry:
    """A line that was not answered yet, and how it fared."""

    __slots__ = (
        "attempts",
        "began",
        "circuit",
        "feed",
        "head",
        "mark",
        "model",
        "number",
        "outage",
        "server",
        "slow",
        "strikes",
        "verdict",
    )

    def __init__(self, feed: "Feed", number: int, model: str, head: Head | None) -> None:
        self.feed = feed
        self.number = number
        self.model = model
        self.head = head
        """Only while it is under way: those that wait are many."""
        self.attempts = self.strikes = self.slow = 0
        self.verdict: Verdict | None = None
        self.server: Upstream | None = None
        self.circuit: Circuit | None = None
        """Where it failed last, with that circuit's successes before and outages then; a `mark` of -1 counts for
        nothing.
        """
        self.mark = -1
        self.outage = 0
        self.began = 0.0


class Feed:
    """Belongs to the dispatcher's loop."""

    def __init__(self, work: Work, on_room: Callable[[], None] = lambda: None) -> None:
        self.work = work
        self._on_room = on_room
        self.caller = work.caller
        self.in_flight = 0
        self.waiting: dict[str, deque[Entry]] = {}
        """Entries by model: those whose servers were full or unwell, and those that failed and are due again."""
        self.delayed = 0
        """Entries that failed and are not due yet."""
        self.held: str | None = None
        """Why nothing is sent: its key is not known, or refused."""
        self.key_refused = False
        """The service's own key was refused last: that says so, and holds nothing up by itself."""
        self.no_room = False
        """The disk is full: nothing is sent until what is answered is written."""
        self.exhausted = False
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.tasks: set[asyncio.Task[Any]] = set()
        self._written: tuple[list[int], list[Outcome]] = ([], [])
        self._bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def fresh(self) -> Entry | None:
        """The next line that was not tried. One that no server could answer is settled here."""
        while (number := self.work.take()) is not None:
            try:
                head = _head.decode(self.work.line(number))
                wishes = _wishes.decode(head.body)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                self._keep(number, self.work.damaged(number))
                continue
            model = wishes.model if isinstance(wishes.model, str) else ""
            entry = Entry(self, number, model, head)
            if not wishes.stream:
                return entry
            body = error_body("A line of a batch cannot ask for a stream.", param="stream")
            self.settle(entry, 400, body, None)
        self.exhausted = True
        return None

    def open_up(self, entry: Entry) -> Head | None:
        """The line itself, read again where it was put away; None for one that the disk has damaged meanwhile: that
        is its answer then.
        """
        if entry.head is None:
            try:
                entry.head = _head.decode(self.work.line(entry.number))
            except (msgspec.MsgspecError, UnicodeDecodeError):
                self._keep(entry.number, self.work.damaged(entry.number))
        return entry.head

    def put(self, entry: Entry) -> None:
        entry.head = None
        self.waiting.setdefault(entry.model, deque()).append(entry)

    def settle(self, entry: Entry, status: int, body: bytes, request_id: str | None) -> None:
        """The line has its answer."""
        if head := self.open_up(entry):
            self._keep(entry.number, outcome(head.custom_id, status, body, request_id))

    def _keep(self, number: int, settled: Outcome) -> None:
        numbers, outcomes = self._written
        numbers.append(number)
        outcomes.append(settled)
        self._bytes += len(settled.line)
        if self._bytes > _WRITE_BYTES:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_WRITE_EVERY, self.flush)

    def flush(self) -> None:
        """Write what was settled."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        (numbers, outcomes), self._written, self._bytes = self._written, ([], []), 0
        if not numbers and not self.no_room:
            return
        try:
            self.work.write(numbers, outcomes)
        except NoRoomError as error:
            self._wait_for_room(error)
        except Exception as error:  # noqa: BLE001  whatever stops the writing ends this batch's work
            self.fail(error)
        else:
            self._has_room()

    def _wait_for_room(self, error: NoRoomError) -> None:
        """What could not be written is kept by the work."""
        if not self.no_room:
            self.no_room = True
            self.caller.say(f"the batch waits: {error.strerror}", WAITS_FOR_ROOM)
            logger.warning("batch %s waits: %s", self.caller.batch_id, error.strerror)
        if not self.done.done():
            self._timer = asyncio.get_running_loop().call_later(_ROOM_EVERY, self.flush)

    def _has_room(self) -> None:
        if self.no_room:
            self.no_room = False
            self.caller.say(None, WAITS_FOR_ROOM)
            logger.info("batch %s goes on: the disk has room", self.caller.batch_id)
            asyncio.get_running_loop().call_soon(self._on_room)
            self.check_done()

    def fail(self, error: Exception) -> None:
        """End with an error of the service's own."""
        if not self.done.done():
            self.done.set_exception(error)

    def check_alive(self) -> None:
        """Raises `CancelledError` where nobody waits for its lines any more."""
        if self.done.done():
            raise asyncio.CancelledError

    def check_done(self) -> None:
        """End once every line has its answer."""
        if self.exhausted and not self.in_flight and not self.delayed and not any(self.waiting.values()):
            self.flush()
            if not self.done.done() and not self.no_room:
                self.done.set_result(None)

    @property
    def waiting_entries(self) -> int:
        return sum(map(len, self.waiting.values()))
