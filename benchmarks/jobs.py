"""A job's work on the local disk: requests on their way in, results on their way out."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson

from benchmarks import embedded, material, peers
from benchmarks.measuring import Figure, Side, compare
from benchmarks.setting import Setting
from overlay import Client, Limits, Request
from overlay.jobs.spool import Spool
from overlay.services import service_named

_AT_ONCE = 1_000
_SHARD = 50_000


def spool(setting: Setting) -> list[Figure]:
    """Requests to disk: `overlay.jobs.spool` against plain loops.

    Ours writes each as JSON, checks it by all the rules for input, looks up its custom_id on disk among all before
    it, digests it (as written, and in canonical form), and splits by model, endpoint and the API's limits. "By
    hand" does the same with the standard library and orjson, except for the rules, with a set of custom_ids in
    memory. "Plain" writes lines into one file. All three call `fsync`.
    """
    figures: list[Figure] = []
    for size, prompt in (
        ("small", "hi"),
        ("4 KB", material.text(setting.line_bytes - 150, material.seeded())),
    ):
        requests = [_request(number, prompt) for number in range(setting.lines)]
        for name, loop in (("plain loop, `json`", _plain), ("by hand, `json` + `orjson`", _by_hand)):
            ours, theirs = _in_folder(_ours, requests), _in_folder(loop, requests)
            what = f"spooling {setting.lines:,} requests, {size}"
            figures.append(compare(what, Side("ours", ours), Side(name, theirs), rounds=setting.rounds))
    return figures


def _request(number: int, prompt: str) -> Request:
    content = f"{prompt} {number}"
    return Request(f"r{number}", {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": content}]})


def _in_folder(work: Callable[[Path, list[Request]], int], requests: list[Request]) -> Callable[[], int]:
    def run() -> int:
        with TemporaryDirectory() as folder:
            return work(Path(folder), requests)

    return run


def _ours(folder: Path, requests: list[Request]) -> int:
    spooling = Spool(folder, Limits(), service_named("openai"), max_tokens=None, source=None, keep=True)
    for begin in range(0, len(requests), _AT_ONCE):
        spooling.add(requests[begin : begin + _AT_ONCE])
    return spooling.finish().requests


def _line(request: Request) -> bytes:
    line = {"custom_id": request.custom_id, "method": "POST", "url": request.url, "body": request.body}
    return json.dumps(line).encode() + b"\n"


def _plain(folder: Path, requests: list[Request]) -> int:
    with (folder / "requests.jsonl").open("wb") as file:
        for request in requests:
            file.write(_line(request))
        file.flush()
        os.fsync(file.fileno())
    return len(requests)


def _by_hand(folder: Path, requests: list[Request]) -> int:
    seen: set[str] = set()
    whole = hashlib.sha256()
    for begin in range(0, len(requests), _SHARD):
        digest = hashlib.sha256()
        with (folder / f"{begin}.jsonl").open("wb") as file:
            for request in requests[begin : begin + _SHARD]:
                line = _line(request)
                read = orjson.loads(line)
                seen.add(read["custom_id"])
                whole.update(orjson.dumps(read, option=orjson.OPT_SORT_KEYS))
                digest.update(line)
                file.write(line)
            file.flush()
            os.fsync(file.fileno())
    return len(seen)


def job_results(setting: Setting) -> list[Figure]:
    """`jobs.results` of a job that has ended, every text read, against a loop over the same lines on disk."""
    with ExitStack() as stack:
        base_url = stack.enter_context(embedded.serving())
        client = stack.enter_context(Client(token="t", base_url=base_url, home=setting.folder / "jobs-home"))
        job = client.jobs.submit(setting.upload, id="measured", poll=0.2)
        client.jobs.wait(job.id)
        files = sorted((setting.folder / "jobs-home" / "jobs" / job.id / "results").iterdir())

        def ours() -> int:
            return sum(len(result.text or "") for result in client.jobs.results(job.id))

        def plain() -> int:
            total = 0
            for path in files:
                with path.open("rb") as file:
                    for line in file:
                        total += len(peers.text_of(orjson.loads(line)))
            return total

        size = sum(path.stat().st_size for path in files) / 1e6
        what = f"{size:,.0f} MB of a job's results, in order, every text read"
        peer = Side("file lines + `orjson`", plain)
        return [compare(what, Side("ours", ours), peer, rounds=setting.rounds)]
