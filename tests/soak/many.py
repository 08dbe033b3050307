"""Many jobs at once, in threads, in tasks, in processes: each must end with its own answers.

`python -m soak.many` runs 8 of each with 50 jobs; status 1 unless all of them came out right.
"""

import argparse
import asyncio
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial

from overlay import AsyncClient, Client, Request, Result
from overlay.server import Service

_POLL = 0.1


def requests_of(number: int) -> list[Request]:
    """The requests of one job; as many as there are jobs, and no two jobs have the same."""
    return [
        Request(f"r{each}", {"model": "m", "messages": [{"role": "user", "content": f"{number} {each}"}]})
        for each in range(1 + number % 3)
    ]


def fault(number: int, results: list[Result]) -> str | None:
    """What is wrong with a job's results, if anything is."""
    expected = [(f"r{each}", f"echo: {number} {each}") for each in range(1 + number % 3)]
    found = [(result.custom_id, result.text) for result in results]
    return None if found == expected else f"job {number}: {found}"


def one(client: Client, number: int) -> str | None:
    """One job, in one of the ways in which there are jobs."""
    try:
        if number % 2:
            return fault(number, list(client.jobs.run(requests_of(number), poll=_POLL)))
        name = client.jobs.identify(requests_of(number))
        job = client.jobs.submit(requests_of(number), poll=_POLL)
        if job.id != name:
            return f"job {number}: {job.id} was to be {name}"
        client.jobs.wait(job.id)
        return fault(number, list(client.jobs.results(job.id)))
    except Exception as error:  # noqa: BLE001 - it is what is looked for
        return f"job {number}: {error!r:.300}"


async def aone(client: AsyncClient, number: int) -> str | None:
    try:
        if number % 2:
            async with client.jobs.run(requests_of(number), poll=_POLL) as results:
                return fault(number, [result async for result in results])
        name = await client.jobs.identify(requests_of(number))
        job = await client.jobs.submit(requests_of(number), poll=_POLL)
        if job.id != name:
            return f"job {number}: {job.id} was to be {name}"
        await client.jobs.wait(job.id)
        async with client.jobs.results(job.id) as results:
            return fault(number, [result async for result in results])
    except Exception as error:  # noqa: BLE001 - it is what is looked for
        return f"job {number}: {error!r:.300}"


def in_threads(base_url: str, home: str, workers: int, jobs: int) -> list[str]:
    """What went wrong with so many jobs for each of so many threads, which share a client."""
    with (
        Client(token="any", base_url=base_url, home=home) as client,
        ThreadPoolExecutor(workers) as pool,
    ):
        return list(filter(None, pool.map(partial(one, client), range(workers * jobs))))


def in_tasks(base_url: str, home: str, workers: int, jobs: int) -> list[str]:
    async def work(client: AsyncClient, worker: int) -> list[str | None]:
        return [await aone(client, worker * jobs + each) for each in range(jobs)]

    async def all_of_them() -> list[str]:
        async with AsyncClient(token="any", base_url=base_url, home=home) as client:
            found = await asyncio.gather(*(work(client, worker) for worker in range(workers)))
        return [said for each in found for said in each if said]

    return asyncio.run(all_of_them())


def _in_process(base_url: str, home: str, numbers: range) -> list[str]:
    with Client(token="any", base_url=base_url, home=home) as client:
        return list(filter(None, (one(client, number) for number in numbers)))


def in_processes(base_url: str, home: str, workers: int, jobs: int) -> list[str]:
    ranges = [range(worker * jobs, (worker + 1) * jobs) for worker in range(workers)]
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        return [said for each in pool.map(partial(_in_process, base_url, home), ranges) for said in each]


WAYS: dict[str, Callable[[str, str, int, int], list[str]]] = {
    "threads": in_threads,
    "tasks": in_tasks,
    "processes": in_processes,
}


def run(way: str, workers: int, jobs: int) -> list[str]:
    """What went wrong, with one home folder and one service for all."""
    with Service() as service, tempfile.TemporaryDirectory(prefix="soak-") as home:
        faults = WAYS[way](service.base_url, home, workers, jobs)
        count = len(service.batches())
        if count != workers * jobs:
            faults.append(f"{count:,} batches for {workers * jobs:,} jobs")
        return faults


def main() -> int:
    parser = argparse.ArgumentParser(prog="soak.many", description=__doc__)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--jobs", type=int, default=50, help="for each worker")
    given = parser.parse_args()
    wrong = 0
    for way in WAYS:
        began = time.monotonic()
        faults = run(way, given.workers, given.jobs)
        wrong += len(faults)
        total = given.workers * given.jobs
        right = total - sum(said.startswith("job ") for said in faults)
        sys.stdout.write(
            f"{given.workers} {way}: {right:,} of {total:,} jobs right, {time.monotonic() - began:,.0f} s\n"
        )
        sys.stdout.writelines(f"  {said}\n" for said in faults[:20])
        sys.stdout.flush()
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
