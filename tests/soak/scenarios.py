"""What a worker does. Each stage is a script that a user would type again after a crash, until it ends."""

import asyncio
import inspect
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import msgspec

from overlay import AsyncClient, Client, Job, JobNotFoundError, Limits, Request
from overlay.jobs import scheduler
from overlay.operations.adopting import search

SHARDS = 3
LINES = 10
"""Requests in a shard."""
MODEL = "gpt-4o-mini"
_TIMEOUT = 20.0
"""Seconds in which every answer has come, on a busy machine too; none of the faults waits for it to pass."""


class Order(msgspec.Struct, kw_only=True):
    """What one worker is to do, and where it is to die."""

    base_url: str
    home: str
    job_id: str
    stage: str
    grace: float
    poll: float
    is_async: bool = False
    delete_files: bool = False
    fatal: tuple[str, int] | None = None
    """The point to die at: its name, and the how many-th of that name."""
    after: float | None = None
    """Seconds after which it is killed from outside."""
    limit: float = 240.0
    """Seconds after which it is taken to hang."""
    trace: bool = False
    token: str = "sk-soak"
    topic: str = ""
    """What the requests are about, if not the job."""
    derived: bool = False
    """Whether the job's id derives from its requests."""


class Report(msgspec.Struct, kw_only=True):
    """What became of it."""

    killed: bool = False
    error: str = ""
    reached: list[tuple[str, int]] = []
    """The points it came by, where they were asked for."""


EARLIER = "-earlier"
"""What the name of the job ends with whose answers a sparing one reuses."""
KNOWN = LINES + LINES // 2
"""How many of the requests that job has asked: a shard and a half."""
_AGAIN = "/again"


def custom_ids(job_id: str) -> list[str]:
    return [f"{job_id}/{number}" for number in range(SHARDS * LINES)]


def repeats(job_id: str) -> list[str]:
    """The ids under which a sparing job asks once more: some of what is known, some of what is not."""
    return [name + _AGAIN for name in custom_ids(job_id)[KNOWN - LINES // 2 : KNOWN + LINES // 2]]


def text_of(custom_id: str) -> str:
    """What a request asks, and what its answer repeats."""
    return f"What is {custom_id.removesuffix(_AGAIN)}?"


def _requests(names: Iterable[str]) -> list[Request]:
    return [
        Request(name, {"model": MODEL, "messages": [{"role": "user", "content": text_of(name)}]})
        for name in names
    ]


async def _submit(jobs: "Jobs", order: Order) -> str:
    job: Job = await jobs.call(
        "submit",
        _requests(custom_ids(order.topic or order.job_id)),
        id=None if order.derived else order.job_id,
        limits=Limits(requests=LINES),
        grace=order.grace,
        poll=order.poll,
        delete_files=order.delete_files,
    )
    return job.id


async def _answer(jobs: "Jobs", order: Order) -> None:
    await jobs.call("wait", await _submit(jobs, order), poll=order.poll)


async def _earlier(jobs: "Jobs", order: Order) -> None:
    await _ask(jobs, order, custom_ids(order.job_id)[:KNOWN], order.job_id + EARLIER)


async def _spare(jobs: "Jobs", order: Order) -> None:
    names = [*custom_ids(order.job_id), *repeats(order.job_id)]
    await _ask(jobs, order, names, order.job_id, reuse=True, dedupe=True)


async def _ask(jobs: "Jobs", order: Order, names: Iterable[str], job_id: str, **options: Any) -> None:
    limits = Limits(requests=LINES)
    await jobs.call(
        "submit", _requests(names), id=job_id, limits=limits, grace=order.grace, poll=order.poll, **options
    )
    await jobs.call("wait", job_id, poll=order.poll)


async def _cancel(jobs: "Jobs", order: Order) -> None:
    await _submit(jobs, order)
    await jobs.call("cancel", order.job_id)
    await jobs.call("wait", order.job_id)


async def _delete(jobs: "Jobs", order: Order) -> None:
    with suppress(JobNotFoundError):  # deleted by the one that died
        await jobs.call("delete", order.job_id, files=True)


async def _recover(jobs: "Jobs", _: Order) -> None:
    await jobs.call("recover")


async def _clean(jobs: "Jobs", _: Order) -> None:
    await jobs.call("clean", delete=True)


STAGES: dict[str, Callable[["Jobs", Order], Any]] = {
    "submit": _submit,
    "answer": _answer,
    "earlier": _earlier,
    "spare": _spare,
    "cancel": _cancel,
    "delete": _delete,
    "recover": _recover,
    "clean": _clean,
}
LOSE_LEDGER = "lose ledger"
"""Not a worker's: the harness overwrites the ledger."""
SCENARIOS: dict[str, tuple[tuple[str, ...], str, tuple[str, ...]]] = {
    "answer": ((), "answer", ()),
    "spare": (("earlier",), "spare", ()),
    "cancel": ((), "cancel", ()),
    "delete": (("answer",), "delete", ()),
    "recover": (("submit", LOSE_LEDGER), "recover", ("answer",)),
}
"""The stages of a job's life: what comes before, that whose workers are killed, and what comes after."""


class Jobs:
    """The jobs of a client of either kind, called alike."""

    def __init__(self, jobs: Any) -> None:
        self._jobs = jobs

    async def call(self, verb: str, *args: Any, **options: Any) -> Any:
        value = getattr(self._jobs, verb)(*args, **options)
        return await value if inspect.isawaitable(value) else value


def be_careless() -> None:
    """Recover as one would without thinking: look once for a lost create, and send it again."""
    right = scheduler.recover

    def careless(context: Any, unit: Any) -> Any:
        found = yield from search(context.settings, context.sought(unit, {}), grace=0.0, needed=1)
        if found.ours:
            yield from right(context, unit)
        else:
            unit.state = "uploaded"
            yield from context.save(unit)

    scheduler.recover = careless


def run(order: Order) -> None:
    """Do what is ordered, in this process."""
    options = {"token": order.token, "base_url": order.base_url, "home": order.home, "timeout": _TIMEOUT}
    if order.is_async:
        asyncio.run(_run_async(order, options))
        return
    # No step of a blocking client awaits: the coroutine runs to its end at once.
    with Client(**options) as client, suppress(StopIteration):
        STAGES[order.stage](Jobs(client.jobs), order).send(None)


async def _run_async(order: Order, options: dict[str, Any]) -> None:
    async with AsyncClient(**options) as client:
        await STAGES[order.stage](Jobs(client.jobs), order)
