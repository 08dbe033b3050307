"""Files of 200 MB to the service, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from benchmarks import memory, peers
from benchmarks.measuring import Figure, Growth, Side, compare
from benchmarks.memory import BATCH
from benchmarks.setting import Setting

_MIB = 1024 * 1024
FLAT = 16 * _MIB
"""How much memory may grow while 200 MB pass through."""
JOINED = 64 * _MIB


def upload(setting: Setting) -> list[Figure]:
    """`files.upload` against `httpx.Client.post` of a multipart form, streamed from an open file."""
    path = setting.upload
    size = path.stat().st_size

    def ours() -> bool:
        return bool(setting.client.files.upload(path).additional_properties["received"] > size)

    def bare() -> bool:
        with path.open("rb") as file:
            form = {"file": (path.name, file, "application/jsonl")}
            sent = setting.http.post("/files", data={"purpose": "batch"}, files=form).json()
        return bool(sent["received"] > size)

    what = f"upload of {setting.megabytes(path)}"
    peer = Side("httpx `post`", bare)
    return [
        compare(what, Side("ours", ours), peer, rounds=setting.rounds, target=1.1),
        Growth(what, memory.growth(setting.base_url, "upload", path), FLAT),
    ]


def results(setting: Setting) -> list[Figure]:
    """`batches.results(…, ordered=False)`, every text read, against loops over the stream."""

    def ours() -> int:
        found = setting.client.batches.results(BATCH, ordered=False)
        return sum(len(result.text or "") for result in found)

    what = f"{setting.megabytes(setting.answers)} of results, unordered, every text read"
    return [
        *_against_loops(setting, what, ours, peers.text_of, target=1.0),
        Growth(what, memory.growth(setting.base_url, "results"), FLAT),
    ]


def joined(setting: Setting) -> list[Figure]:
    """`batches.results(…, requests=…)`, in the requests' order, against loops over the stream as it is."""
    requests = setting.requests

    def ids() -> int:
        with setting.client.batches.results(BATCH, requests=requests) as found:
            return sum(len(result.custom_id or "") for result in found)

    def texts() -> int:
        with setting.client.batches.results(BATCH, requests=requests) as found:
            return sum(len(result.text or "") for result in found)

    what = f"{setting.megabytes(setting.answers)} of results, joined and in order"
    read = f"{what}, every text read"
    return [
        *_against_loops(setting, f"{what}, bodies undecoded", ids, peers.custom_id_of, target=1.6),
        *_against_loops(setting, read, texts, peers.text_of, target=1.4),
        Growth(read, memory.growth(setting.base_url, "joined", requests), JOINED),
    ]


def _against_loops(
    setting: Setting, what: str, ours: Callable[[], int], read: peers.Read, *, target: float
) -> Iterator[Figure]:
    for name, loop in peers.LOOPS.items():
        theirs = partial(_letters, setting, loop, read)
        yield compare(what, Side("ours", ours), Side(name, theirs), rounds=setting.rounds, target=target)


def _letters(setting: Setting, loop: peers.Loop, read: peers.Read) -> int:
    return sum(map(len, loop(setting.http, read)))
