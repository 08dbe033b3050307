"""What is compared: each task done by the SDK and by a bare loop, over the same server, in the same run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import orjson

from benchmarks.server import INPUT, OUTPUT, batch
from overlay import Client, Request

RETRIEVES = 2000
SPOOLED = 100_000
_BATCH = str(batch(5)["id"])
_TOKEN = "a-token-for-the-benchmark"

Task = Callable[[], object]


class Setting:
    """Two clients of one server, and the files it serves."""

    def __init__(self, folder: Path, url: str, stack: Any) -> None:
        self.folder = folder
        self.home = stack.enter_context(tempfile.TemporaryDirectory())
        self.ours: Client = stack.enter_context(Client(token=_TOKEN, base_url=url, home=self.home))
        headers = {"Authorization": f"Bearer {_TOKEN}"}
        self.bare: httpx.Client = stack.enter_context(httpx.Client(base_url=url, headers=headers, timeout=60))

    @contextmanager
    def stream(self) -> Iterator[httpx.Response]:
        with self.bare.stream("GET", f"/files/{OUTPUT}/content") as response:
            yield response


def upload(setting: Setting) -> tuple[Task, Task]:
    """A file of requests: `files.upload` against httpx's own multipart."""
    path = setting.folder / "upload.jsonl"

    def bare() -> None:
        with path.open("rb") as file:
            setting.bare.post("/files", files={"file": file}, data={"purpose": "batch"}).json()

    return partial(setting.ours.files.upload, path), bare


def _texts(setting: Setting) -> int:
    return sum(len(each.text or "") for each in setting.ours.batches.results(_BATCH, ordered=False))


def _text(line: bytes | str) -> int:
    return len(orjson.loads(line)["response"]["body"]["choices"][0]["message"]["content"])


def _raw_lines(response: httpx.Response) -> Iterator[bytes]:
    rest = b""
    for chunk in response.iter_raw():
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
    if rest:
        yield rest


def _bare_texts_of_lines(setting: Setting) -> int:
    with setting.stream() as response:
        return sum(map(_text, response.iter_lines()))


def _bare_texts_of_bytes(setting: Setting) -> int:
    with setting.stream() as response:
        return sum(map(_text, _raw_lines(response)))


def _bare_objects(setting: Setting) -> int:
    with setting.stream() as response:
        return sum(len(orjson.loads(line)["custom_id"]) for line in _raw_lines(response))


def unordered_to_lines(setting: Setting) -> tuple[Task, Task]:
    """Results without an order, every text read, against `iter_lines` and orjson."""
    return partial(_texts, setting), partial(_bare_texts_of_lines, setting)


def unordered_to_bytes(setting: Setting) -> tuple[Task, Task]:
    """The same against bytes split by hand and orjson: the hardest peer."""
    return partial(_texts, setting), partial(_bare_texts_of_bytes, setting)


def _joined(setting: Setting, read: Callable[[Any], int]) -> int:
    results = setting.ours.batches.results(_BATCH, requests=setting.folder / INPUT)
    return sum(map(read, results))


def joined(setting: Setting) -> tuple[Task, Task]:
    """Results joined with the requests, in order, bodies undecoded, against bytes split by hand and orjson."""
    return partial(_joined, setting, lambda each: len(each.custom_id or "")), partial(_bare_objects, setting)


def joined_texts(setting: Setting) -> tuple[Task, Task]:
    """The same with every text read, against the same loop with every text read."""
    return partial(_joined, setting, lambda each: len(each.text or "")), partial(
        _bare_texts_of_bytes, setting
    )


def retrieve(setting: Setting) -> tuple[Task, Task]:
    """2,000 retrieves, against httpx and its JSON."""

    def ours() -> None:
        for _ in range(RETRIEVES):
            setting.ours.batches.retrieve(_BATCH)

    def bare() -> None:
        for _ in range(RETRIEVES):
            setting.bare.get(f"/batches/{_BATCH}").json()

    return ours, bare


def listing(setting: Setting) -> tuple[Task, Task]:
    """10,000 batches, 100 a page, against httpx and its JSON."""

    def bare() -> int:
        count, after = 0, ""
        while True:
            page = setting.bare.get(
                "/batches", params={"limit": 100, "after": after} if after else {"limit": 100}
            )
            found = page.json()
            count += len(found["data"])
            if not found["has_more"]:
                return count
            after = found["last_id"]

    return lambda: sum(1 for _ in setting.ours.batches.list(limit=100)), bare


def importing(_: Setting) -> tuple[Task, Task]:
    """`from overlay import Client` against `import httpx`, each in a new interpreter, which is counted too.

    `import overlay` by itself loads nothing until a name is asked for, so it would win without having worked.
    """

    def run(line: str) -> Task:
        return partial(subprocess.run, [sys.executable, "-c", line], check=True)

    return run("from overlay import Client"), run("import httpx")


def spooling(setting: Setting) -> tuple[Task, Task]:
    """100,000 requests checked and digested into shards, against json.dumps and one file, synced."""

    def requests() -> Iterator[Request]:
        for number in range(SPOOLED):
            messages = [{"role": "user", "content": f"Is review {number} friendly?"}]
            yield Request(f"request-{number}", {"model": "gpt-4o-mini", "messages": messages})

    def bare() -> None:
        with tempfile.TemporaryFile(dir=setting.home) as file:
            for each in requests():
                line = {
                    "custom_id": each.custom_id,
                    "method": each.method,
                    "url": each.url,
                    "body": each.body,
                }
                file.write(json.dumps(line).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def ours() -> None:
        setting.ours.jobs.identify(requests())
        shutil.rmtree(Path(setting.home) / "spool", ignore_errors=True)

    return ours, bare


COMPARISONS: dict[str, tuple[Callable[[Setting], tuple[Task, Task]], float | None]] = {
    "upload": (upload, 1.1),
    "unordered-lines": (unordered_to_lines, 1.0),
    "unordered-bytes": (unordered_to_bytes, 1.0),
    "joined": (joined, 1.6),
    "joined-texts": (joined_texts, 2.0),
    "retrieve": (retrieve, 1.15),
    "list": (listing, 1.5),
    "import": (importing, 1.8),
    "spool": (spooling, None),
}
"""Each with the ratio that it is meant to stay within, where there is one."""

MEMORY: dict[str, tuple[Callable[[Setting], tuple[Task, Task]], int]] = {
    "upload": (upload, 16),
    "unordered-bytes": (unordered_to_bytes, 16),
    "joined-texts": (joined_texts, 64),
}
"""Each with the MiB above rest that it is meant to stay within."""
