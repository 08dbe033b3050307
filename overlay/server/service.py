"""The service in a background thread, for tests, demos and notebooks."""

import asyncio
import socket
import threading
from collections.abc import Coroutine, Iterable
from functools import partial
from os import PathLike
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

import msgspec

from overlay.server.answers.source import AnswerFunction, Source
from overlay.server.app import Application, Wrap
from overlay.server.clock import Clock
from overlay.server.dialects.dialect import Dialect
from overlay.server.dialects.table import dialect_of
from overlay.server.engine.events import Webhook
from overlay.server.engine.neighbour import Foreign
from overlay.server.faults.matching import Fault, Faults
from overlay.server.http.authentication import Tokens
from overlay.server.http.recorder import RecordedRequest, RequestLog
from overlay.server.refusals import Refusal
from overlay.server.running import Server, base_url, listen
from overlay.server.settings import Limits, Pace, Traits

_T = TypeVar("_T")
# Given up after so many seconds: whatever is asked of the loop is short, or a test that hangs.
_LONGEST_CALL = 300.0


class Service:
    """The Batch API on loopback, in a background thread, for as long as the `with` block lasts.

        with Service() as service:
            client = Client(base_url=service.base_url, token="any")

    - `answer`: a callable that is given a line of the input as a dict and returns a body, or a status and a body;
      it may be async. `upstream(url)` forwards lines to a real server. None echoes.
    - `pace`: how long a batch stays in each status; `limits`: what is refused; `traits`: how the service differs
      from OpenAI's.
    - `dialect`: another service whose ways it has, by name, `together` for one; `known_dialects()` are all.
    - `tokens`: a token, several, or a callable that says whether one is good. None accepts any that is not empty.
    - `state`: a folder in which everything outlives the service. None keeps it until the service stops.
    - `synced`: whether what is acknowledged in that folder outlives a power cut, as under `overlay serve`; without,
      it outlives the process.
    - `clock`: a `ManualClock` for tests that move time, or any object with `time()`.
    - `webhook`: where the end of each batch is posted to; tried for 72 hours of the service's time.
    - `wrap`: is given the ASGI application, and returns another one around it.
    - `faults`: what goes wrong from the start; more can be added to the attribute of that name.
    - `port`: 0 is a free one, and the same for as long as the object lives.
    """

    def __init__(
        self,
        answer: AnswerFunction | Source | None = None,
        *,
        pace: Pace | None = None,
        limits: Limits | None = None,
        traits: Traits | None = None,
        dialect: str | Dialect | None = None,
        tokens: Tokens = None,
        state: str | PathLike[str] | None = None,
        synced: bool = False,
        clock: Clock | None = None,
        webhook: Webhook | None = None,
        wrap: Wrap | None = None,
        faults: Iterable[Fault] = (),
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.faults = Faults()
        """Trouble on demand: see `overlay.server.faults.kinds`."""
        for fault in faults:
            self.faults.put(fault)
        self._requests = RequestLog()
        self._answer = answer
        self._make = partial(
            Application,
            answer,
            pace=pace,
            limits=limits,
            traits=traits,
            dialect=(spoken := dialect_of(dialect)),
            tokens=tokens,
            state=state,
            synced=synced,
            clock=clock,
            webhook=webhook,
            wrap=wrap,
            faults=self.faults,
            requests=self._requests,
        )
        self._host, self._port = host, port
        self._base = spoken.bases[0] if spoken else "/v1"
        self._running: _Running | None = None

    def start(self) -> None:
        """Raises `OSError` where the port is taken, `StateInUseError` where the state folder is, and `ValueError`
        where that folder holds something else, or is a newer version's.
        """
        if self._running is None:
            listener = listen(self._host, self._port)
            try:
                app = self._make()
            except BaseException:
                listener.close()
                raise
            self._port = listener.getsockname()[1]
            self._running = _Running(app, listener)

    def stop(self) -> None:
        """Break every connection and end, as a crash would; `start` goes on with the state there is."""
        running, self._running = self._running, None
        if running:
            running.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def source(self) -> AnswerFunction | Source | None:
        """What answers, as it was given: of an `upstream`, `health()` says how it is."""
        return self._answer

    @property
    def base_url(self) -> str:
        """Where clients are pointed to, `/v1` included."""
        return base_url(self._host, self._port, self._base)

    @property
    def azure_endpoint(self) -> str:
        """Where Azure's clients are pointed to; they add `/openai`, or `/openai/v1`, themselves."""
        return base_url(self._host, self._port, "")

    @property
    def requests(self) -> list[RecordedRequest]:
        """Every request so far, in order of arrival."""
        return self._requests.all()

    def count(self, method: str, path: str) -> int:
        """How many requests of a method were made to a path, given without `/v1`."""
        return sum(each.method == method and each.path == f"/v1{path}" for each in self.requests)

    def batches(self) -> list[dict[str, Any]]:
        """Every batch as the API shows it, newest first."""
        app = self._now_running().app

        async def read() -> list[dict[str, Any]]:
            rows = app.store.batches(after=None, limit=-1, born_by=float("inf"))
            return [msgspec.to_builtins(app.engine.batch(batch_id)) for batch_id, _ in rows]

        return self._call(read())

    def neighbour_creates(
        self,
        *,
        like: str | None = None,
        requests: int = 1,
        filename: str = "theirs.jsonl",
        metadata: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        """Let somebody else on the same key create a batch, as another program or project would; returns it.

        Its input file, `filename`, holds this many `requests`. `like` is the id of a batch to copy in all but its
        ids: requests, name of the input file, endpoint, window and metadata. No HTTP is involved: the recorded
        `requests` do not show it, and it meets no faults.

        Raises `ValueError` where there is no such batch, its input file is gone, or the service refuses.
        """
        return self._neighbour("create", Foreign(like, requests, filename, metadata))

    def neighbour_uploads(
        self, *, like: str | None = None, requests: int = 1, filename: str = "theirs.jsonl"
    ) -> dict[str, Any]:
        """Let somebody else upload an input file likewise, without creating a batch of it; returns the file."""
        return self._neighbour("upload", Foreign(like, requests, filename))

    def _neighbour(self, verb: Literal["create", "upload"], foreign: Foreign) -> dict[str, Any]:
        act = getattr(self._now_running().app.neighbour, verb)

        async def acted() -> dict[str, Any]:
            made: dict[str, Any] = msgspec.to_builtins(act(foreign))
            return made

        try:
            return self._call(acted())
        except Refusal as refusal:
            raise ValueError(str(refusal)) from None

    def advance(self, seconds: float) -> None:
        """Move the service's time forward; return when all that was due on the way has happened."""
        self._call(self._now_running().app.timeline.advance(seconds))

    def settle(self) -> None:
        """Return when no batch has anything left to do at the present time."""
        self._call(self._now_running().app.timeline.settle())

    def _call(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._now_running().loop).result(_LONGEST_CALL)

    def _now_running(self) -> "_Running":
        if self._running is None:
            raise RuntimeError("the service is not running: use it inside its `with` block")
        return self._running


class _Running:
    """A thread with a loop with a server."""

    def __init__(self, app: Application, listener: socket.socket) -> None:
        self.app = app
        self.loop = asyncio.new_event_loop()
        self._listener = listener
        self._ready = threading.Event()
        self._server = Server(app, self._ready.set)
        self._thread = threading.Thread(target=self._run, name="overlay-server", daemon=True)
        self._thread.start()
        self._ready.wait()
        if not self._server.started:
            self._thread.join()
            raise RuntimeError("the service did not start; the log of uvicorn.error says why")

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self._server.stop_now)
        self._thread.join()

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self.loop) as runner, self._listener:
                runner.run(self._server.serve(sockets=[self._listener]))
        finally:
            self._ready.set()
