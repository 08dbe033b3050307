"""Many small calls, so that the overhead of each shows."""

from __future__ import annotations

from typing import Any

from benchmarks.measuring import Figure, Side, compare
from benchmarks.memory import BATCH
from benchmarks.server import BATCHES, PAGE
from benchmarks.setting import Setting


def retrieve(setting: Setting, calls: int = 2_000) -> list[Figure]:
    """`batches.retrieve` against `httpx.Client.get` and `.json()`."""

    def ours() -> str | None:
        for _ in range(calls - 1):
            setting.client.batches.retrieve(BATCH)
        return setting.client.batches.retrieve(BATCH).status

    def bare() -> str:
        for _ in range(calls - 1):
            setting.http.get(f"/batches/{BATCH}").json()
        status: str = setting.http.get(f"/batches/{BATCH}").json()["status"]
        return status

    what = f"{calls:,} batches retrieved"
    peer = Side("httpx `get` + `json`", bare)
    return [compare(what, Side("ours", ours), peer, rounds=setting.rounds, target=1.15)]


def listing(setting: Setting) -> list[Figure]:
    """`batches.list(limit=100)` to its end against `httpx.Client.get` and `.json()` for each page."""

    def ours() -> int:
        total = 0
        for batch in setting.client.batches.list(limit=PAGE):
            total += batch.created_at or 0
        return total

    def bare() -> int:
        total: int = 0
        more: dict[str, Any] = {}
        while True:
            page = setting.http.get("/batches", params={"limit": PAGE, **more}).json()
            total += sum(batch["created_at"] for batch in page["data"])
            if not page["has_more"]:
                return total
            more = {"after": page["last_id"]}

    what = f"{BATCHES:,} batches listed, {PAGE} a page"
    peer = Side("httpx `get` + `json`", bare)
    return [compare(what, Side("ours", ours), peer, rounds=setting.rounds, target=1.2)]
