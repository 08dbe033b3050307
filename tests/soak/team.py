"""Three home folders in one project, and a colleague: killed at random, cleaning and recovering in between.

All three run a script that names its job, two of them with the same requests; and all three send one file, under
the id that derives from it. The colleague creates batches of whatever input files there are. Each home is to
get its own answers, from batches of its own, once; and nobody is to touch what is another's.
"""

import json
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import httpx

from overlay import Client
from overlay.jobs.home import id_in
from overlay.operations.marks import mark_of
from overlay.server import Delay, LagList, LateAccept, Linger, Pace, Reset, Service
from soak.forker import Forker
from soak.scenarios import Order, custom_ids, text_of

HOMES = ("ada", "bob", "cyd")
ENDPOINT = "/v1/chat/completions"
_TOPICS = {"ada": "script", "bob": "script", "cyd": "another-script"}
_LATE, _LAG, _LINGER, _GRACE = 3.0, 2.0, 3.0, 12.0
"""Seconds, times the scale; no create is accepted later, nor shown later, than the grace."""


@attrs.define
class Outcome:
    """What came of it: each list holds accounts of what is wrong."""

    seed: int
    kills: int = 0
    workers: int = 0
    cleaned: int = 0
    """Files that were deleted."""
    foreign: int = 0
    """Batches that the colleague created of the homes' files."""
    recovered: int = 0
    """Ledgers that were lost, and recovered."""
    deleted: list[str] = attrs.field(factory=list)
    """Files of others that were deleted."""
    touched: list[str] = attrs.field(factory=list)
    """Batches of others that were cancelled or adopted."""
    lost: list[str] = attrs.field(factory=list)
    paid_twice: list[str] = attrs.field(factory=list)
    errors: list[str] = attrs.field(factory=list)

    @property
    def findings(self) -> list[str]:
        return [*self.deleted, *self.touched, *self.lost, *self.paid_twice, *self.errors]


@attrs.frozen
class _Task:
    """A job that a home runs: the stage of `soak.scenarios`, by name or by its requests."""

    job_id: str
    topic: str
    derived: bool = False


def run(rounds: int, *, scale: float, seed: int) -> Outcome:
    """Let each home run `rounds` scripts and files, with all seconds multiplied by `scale`."""
    outcome = Outcome(seed)
    uploads: dict[str, str] = {}
    pace = Pace(validating=0.1 * scale, in_progress=scale, finalizing=0.1 * scale, cancelling=0.3 * scale)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="team-")))
        noting = partial(_Noting, uploads=uploads)
        service = stack.enter_context(Service(_answer, pace=pace, wrap=noting))
        service.faults.add("GET /batches", LagList(_LAG * scale), times=None)
        service.faults.add("POST /batches", LateAccept(_LATE * scale, Reset()), times=None, rate=0.3)
        service.faults.add("POST /batches", Delay(after=_LATE * scale / 2), times=None, rate=0.25)
        service.faults.add("DELETE /files/*", Linger(_LINGER * scale), times=None)
        homes = [
            _Home(name, folder / name, service, scale, random.Random(f"{seed} {name}"), outcome)
            for name in HOMES
        ]
        ended = threading.Event()
        colleague = threading.Thread(target=_meddle, args=(service, scale, seed, ended, outcome))
        problems: list[BaseException] = []
        threads = [threading.Thread(target=_noted, args=(home, rounds, problems)) for home in homes]
        for thread in (*threads, colleague):
            thread.start()
        for thread in threads:
            thread.join()
        ended.set()
        colleague.join()
        if problems:
            raise problems[0]
        time.sleep((_LATE + _LAG + _LINGER) * scale)
        service.settle()
        for home in homes:
            home.judge()
        _judge_batches(service, {home.id: home.name for home in homes}, rounds, outcome)
        _judge_calls(service, {home.id: home.name for home in homes}, uploads, outcome)
    return outcome


def _noted(home: "_Home", rounds: int, problems: list[BaseException]) -> None:
    try:
        home.live(rounds)
    except BaseException as problem:  # noqa: BLE001 - raised by who waits
        problems.append(problem)


def _tasks(name: str, rounds: int) -> Iterator[_Task]:
    for number in range(rounds):
        yield _Task(f"nightly-{number}", f"{_TOPICS[name]}-{number}")
        yield _Task("", f"file-{number}", derived=True)


class _Home:
    def __init__(
        self, name: str, folder: Path, service: Service, scale: float, dice: random.Random, outcome: Outcome
    ) -> None:
        folder.mkdir()
        self.name = name
        self.id = id_in(folder / "home")
        self._folder, self._service, self._scale, self._dice, self._outcome = (
            folder,
            service,
            scale,
            dice,
            outcome,
        )
        self._tasks: list[tuple[_Task, str]] = []

    def live(self, rounds: int) -> None:
        with Forker(self._folder / "notes") as forker:
            for task in _tasks(self.name, rounds):
                for _ in range(self._dice.randint(1, 3)):
                    self._do(forker, "answer", task, dies=True)
                    self._do(
                        forker, self._dice.choice(["clean", "recover"]), task, dies=self._dice.random() < 0.5
                    )
                if self._dice.random() < 0.3:
                    self._lose_a_ledger(forker, task)
                self._do(forker, "answer", task, dies=False)
                self._do(forker, "clean", task, dies=False)
                self._tasks.append((task, self._newest_job()))

    def _do(self, forker: Forker, stage: str, task: _Task, *, dies: bool) -> None:
        order = Order(
            base_url=self._service.base_url,
            home=str(self._folder / "home"),
            job_id=task.job_id,
            stage=stage,
            grace=_GRACE * self._scale,
            poll=0.5 * self._scale,
            token=self.name,
            topic=task.topic,
            derived=task.derived,
            after=self._dice.uniform(0.0, 20 * self._scale) if dies else None,
        )
        report = forker.order(order)
        self._outcome.workers += 1
        self._outcome.kills += report.killed
        if report.error:
            self._outcome.errors.append(f"{self.name}, {stage}: {report.error}")

    def _lose_a_ledger(self, forker: Forker, task: _Task) -> None:
        time.sleep((_LATE + _LAG + _LINGER) * self._scale)  # what no list shows yet cannot be recovered
        jobs = self._folder / "home" / "jobs"
        folders = [each for each in jobs.iterdir() if each.name == task.job_id] if jobs.is_dir() else []
        for folder in folders:
            # A job of which nothing was sent is known to nobody else.
            if any(
                (mark := mark_of(each["metadata"])) and (mark.home, mark.job) == (self.id, folder.name)
                for each in self._service.batches()
            ):
                (folder / "ledger.db").write_bytes(b"This was a ledger." * 500)
                self._do(forker, "recover", task, dies=True)
                self._do(forker, "recover", task, dies=False)
                self._outcome.recovered += 1

    def _newest_job(self) -> str:
        with self._client() as client:
            return client.jobs.list()[0].id

    def _client(self) -> Client:
        return Client(token=self.name, base_url=self._service.base_url, home=self._folder / "home")

    def judge(self) -> None:
        """By what its user gets."""
        with self._client() as client:
            for task, job_id in self._tasks:
                results = list(client.jobs.results(job_id))
                right = [text_of(name) for name in custom_ids(task.topic)]
                if [result.text if result.ok else None for result in results] != right:
                    self._outcome.lost.append(f"{self.name}: {job_id} has not its answers")
                job = client.jobs.retrieve(job_id)
                for shard in job.shards:
                    batch = client.batches.retrieve(shard.batch_id or "")
                    mark = mark_of(batch.metadata)
                    if mark is None or mark.home != self.id:
                        self._outcome.touched.append(f"{self.name}: {job_id} has adopted {batch.id}")
                if job.duplicates_cancelled:
                    self._outcome.paid_twice.append(
                        f"{self.name}: {job_id} cancelled {job.duplicates_cancelled}"
                    )


def _judge_batches(service: Service, names: dict[str, str], rounds: int, outcome: Outcome) -> None:
    """By the service's own records: each unit of each home has one batch, and it has been answered."""
    units: Counter[Any] = Counter()
    for batch in service.batches():
        mark = mark_of(batch["metadata"])
        if mark is None:
            if batch["status"] in {"cancelling", "cancelled"}:
                outcome.touched.append(f"the colleague's {batch['id']} is {batch['status']}")
            continue
        units[names.get(mark.home or ""), mark.job, mark.key] += 1
        if batch["status"] != "completed":
            outcome.lost.append(f"{names.get(mark.home or '')}: {batch['id']} is {batch['status']}")
    outcome.paid_twice += [f"{unit} has {count} batches" for unit, count in units.items() if count > 1]
    per_home = Counter(unit[0] for unit in units)
    expected = dict.fromkeys(HOMES, 3 * 2 * rounds)
    if per_home != expected:
        outcome.lost.append(f"batches by home: {dict(per_home)}, not {expected}")


def _judge_calls(service: Service, names: dict[str, str], uploads: dict[str, str], outcome: Outcome) -> None:
    """By who asked for what."""
    owners = {
        batch["id"]: names.get(mark.home or "") if (mark := mark_of(batch["metadata"])) else "colleague"
        for batch in service.batches()
    }
    for request in service.requests:
        thing = request.path.removeprefix("/v1/").split("/")
        if request.method == "DELETE" and request.status == httpx.codes.OK:
            outcome.cleaned += 1
            if uploads[thing[1]] != request.token:
                outcome.deleted.append(f"{request.token} deleted {thing[1]} of {uploads[thing[1]]}")
        if thing[-1] == "cancel" and owners[thing[1]] != request.token:
            outcome.touched.append(f"{request.token} cancelled {thing[1]} of {owners[thing[1]]}")


def _meddle(service: Service, scale: float, seed: int, ended: threading.Event, outcome: Outcome) -> None:
    """The colleague: batches of the files that the homes' batches name, as one who wants samples."""
    dice = random.Random(seed)
    with httpx.Client(base_url=service.base_url, headers={"Authorization": "Bearer colleague"}) as http:
        while not ended.wait(2 * scale):
            batches = service.batches()
            if batches:
                body = {
                    "input_file_id": dice.choice(batches)["input_file_id"],
                    "endpoint": ENDPOINT,
                    "completion_window": "24h",
                    "metadata": dice.choice([None, {"sample": "1"}]),
                }
                try:
                    outcome.foreign += http.post("/batches", json=body).is_success
                except httpx.TransportError:
                    continue  # the weather is the same for all


def _answer(line: dict[str, Any]) -> Any:
    question = line["body"]["messages"][0]["content"]
    return {
        "choices": [{"message": {"role": "assistant", "content": question}}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }


class _Noting:
    """Notes whose upload each file is."""

    def __init__(self, app: Callable[..., Any], uploads: dict[str, str]) -> None:
        self._app, self._uploads = app, uploads

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if (scope.get("method"), scope.get("path")) != ("POST", "/v1/files"):
            await self._app(scope, receive, send)
            return
        token = dict(scope["headers"])[b"authorization"].decode().removeprefix("Bearer ")

        async def noting(message: Any) -> None:
            body = message.get("body", b"")
            if body.startswith(b"{"):
                self._uploads[json.loads(body).get("id", "")] = token
            await send(message)

        await self._app(scope, receive, noting)
