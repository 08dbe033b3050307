"""A billion requests, simulated: the real ledger and scheduler, a service and workers that take no time.

`python -m benchmarks.scale [--shards 20000]` prints what the driver takes: CPU, memory, the ledger's size, calls.
The clock is one that sleeping moves. A shard is 50,000 requests; batches take 1 to 20 hours, 3 % of the requests
are sent again, the service is out for six hours from the third on, and 2,000 batches may be created in an hour.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import httpx

from overlay import Client, ShardOutcome, ShardTask, UploadedShard

REQUESTS, BYTES = 50_000, 100_000_000
HOUR = 3600.0
BEGAN = 1_750_000_000.0
OUTAGE = (BEGAN + 3 * HOUR, BEGAN + 9 * HOUR)
SENT_AGAIN = 0.03
PAGE = 100


class Clock:
    """Time that passes when somebody sleeps."""

    now = BEGAN

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Batches:
    """The service: batches, the newest first, and their status by the clock."""

    def __init__(self, clock: Clock, seed: int) -> None:
        self._clock = clock
        self._random = random.Random(seed)
        self._made: list[dict[str, object]] = []
        self._ends: list[float] = []
        self._live: list[float] = []
        self._place: dict[str, int] = {}
        self.calls: Counter[str] = Counter()
        self.most_live = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if OUTAGE[0] <= self._clock.now < OUTAGE[1]:
            self.calls["during the outage"] += 1
            return httpx.Response(503, json={"error": {"message": "out"}})
        path = request.url.path
        if request.method == "POST" and path.endswith("/batches"):
            self.calls["creates"] += 1
            return httpx.Response(200, json=self._shown(self._create(json.loads(request.content))))
        if path.endswith("/batches"):
            self.calls["pages of the list"] += 1
            return httpx.Response(200, json=self._page(request.url.params))
        self.calls["other"] += 1
        name = path.rpartition("/")[2]
        if request.method == "DELETE":
            return httpx.Response(200, json={"id": name, "object": "file", "deleted": True})
        if "/files/" in path:
            file = {
                "id": name,
                "object": "file",
                "created_at": int(BEGAN),
                "purpose": "batch",
                "status": "processed",
            }
            return httpx.Response(200, json=file)
        return httpx.Response(200, json=self._shown(self._place[name]))

    def _create(self, body: dict[str, object]) -> int:
        number = len(self._made)
        batch = {
            "id": f"batch_{number:08}",
            "object": "batch",
            "endpoint": body["endpoint"],
            "input_file_id": body["input_file_id"],
            "completion_window": "24h",
            "created_at": int(self._clock.now),
            "metadata": body.get("metadata"),
        }
        self._made.append(batch)
        self._ends.append(self._clock.now + self._random.uniform(1, 20) * HOUR)
        self._place[f"batch_{number:08}"] = number
        heapq.heappush(self._live, self._ends[-1])
        while self._live[0] <= self._clock.now:
            heapq.heappop(self._live)
        self.most_live = max(self.most_live, len(self._live))
        return number

    def _shown(self, number: int) -> dict[str, object]:
        ended = self._ends[number] <= self._clock.now
        counts = {"total": REQUESTS, "completed": REQUESTS if ended else 0, "failed": 0}
        more = (
            {"status": "completed", "completed_at": int(self._ends[number])}
            if ended
            else {"status": "in_progress"}
        )
        files = {"output_file_id": f"file-out-{number}"} if ended else {}
        return {**self._made[number], **more, **files, "request_counts": counts}

    def _page(self, params: httpx.QueryParams) -> dict[str, object]:
        start = self._place[params["after"]] if params.get("after") else len(self._made)
        numbers = range(start - 1, max(-1, start - 1 - int(params.get("limit", PAGE))), -1)
        data = [self._shown(number) for number in numbers]
        last = data[-1]["id"] if data else None
        return {"object": "list", "data": data, "last_id": last, "has_more": bool(data) and numbers[-1] > 0}


def uploaded(number: int, requests: int) -> UploadedShard:
    return UploadedShard(
        file_id=f"file-{number}",
        file_created_at=int(BEGAN),
        sha256=f"{number:064x}",
        endpoint="/v1/chat/completions",
        model="m",
        requests=requests,
        size=BYTES * requests // REQUESTS,
        tokens=requests * 500,
    )


class Workers:
    """Do tasks in no time; what they upload again has files of its own."""

    def __init__(self, first: int) -> None:
        self._next = first
        self.tasks: Counter[str] = Counter()
        self.answered = 0

    def run(self, tasks: Sequence[ShardTask]) -> Iterable[ShardOutcome]:
        for task in tasks:
            self.tasks[task.kind] += 1
            if task.kind == "upload":
                yield ShardOutcome(
                    shard=task.shard,
                    generation=task.generation,
                    part=task.part,
                    uploaded=[uploaded(self._next, task.requests)],
                )
                self._next += 1
                continue
            again = int(task.requests * SENT_AGAIN) if task.again and not task.generation else 0
            rows = [uploaded(self._next, again)] if again else []
            self._next += bool(rows)
            self.answered += task.requests - again
            yield ShardOutcome(
                shard=task.shard,
                generation=task.generation,
                part=task.part,
                ok=task.requests - again,
                input_tokens=task.requests * 500,
                output_tokens=task.requests * 50,
                staged=f"answers/{task.sha256[-32:]}.parquet",
                uploaded=rows,
            )


def simulate(shards: int, seed: int = 1) -> dict[str, object]:
    """What it takes to drive so many shards to their end."""
    clock = Clock()
    service, workers = Batches(clock, seed), Workers(shards)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        with Client(
            token="any",
            base_url="http://127.0.0.1:1/v1",
            home=home,
            transport=httpx.MockTransport(service),
        ) as client:
            client._driver.settings.clock = clock  # noqa: SLF001 - no caller needs another clock
            began, cpu = time.perf_counter(), time.process_time()
            rows: Iterator[UploadedShard] = (uploaded(number, REQUESTS) for number in range(shards))
            client.jobs.submit_uploaded(rows, id="scale")
            names = client.jobs.drive("scale", workers.run, progress=False)
            wall, cpu = time.perf_counter() - began, time.process_time() - cpu
            job = client.jobs.retrieve("scale")
        ledger = (home / "jobs" / "scale" / "ledger.db").stat().st_size
    assert job.ended
    assert job.ok == workers.answered == shards * REQUESTS
    assert len(names) == workers.tasks["join"]
    assert service.calls["creates"] == len(names)
    return {
        "shards": shards,
        "requests": job.requests,
        "batches": service.calls["creates"],
        "hours simulated": round((clock.now - BEGAN) / HOUR, 1),
        "live batches at most": service.most_live,
        "CPU of driver, fake service and workers, s": round(cpu, 1),
        "wall, s": round(wall, 1),
        "peak memory, MB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "ledger, MB": round(ledger / 1e6, 1),
        "pages of the list": service.calls["pages of the list"],
        "other calls": service.calls["other"] + service.calls["creates"],
        "calls during the outage": service.calls["during the outage"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, default=20_000)
    for name, value in simulate(parser.parse_args().shards).items():
        print(f"{name:<45} {value:>15,}" if not isinstance(value, str) else f"{name:<45} {value}")


if __name__ == "__main__":
    main()
