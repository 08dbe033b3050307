"""What becomes of each operation under each fault, as tables that a person can read.

`make fault-table` writes them into tests/promises/fault_table.md, and a test compares: a change of behaviour is a
change of that file. Clients may retry once; time passes at once, except where a server is silent.
"""

import gzip
import json
import logging
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from overlay import OverlayError
from support.calling import ENDPOINT, KINDS, TOKEN, FakeClock, batch_object, calling, write_lines
from support.raw_server import RawServer, Reset, answer

CHECKED_IN = Path(__file__).parents[1] / "promises" / "fault_table.md"
_MIB = 1024 * 1024
_SILENT = 1.0
"""Seconds: how long clients wait for a server that is silent."""
_AT_ONCE = 12
OPERATIONS = (
    *("create", "retrieve", "list", "cancel", "wait", "results"),
    *("upload", "file", "files", "download", "delete"),
)


def _reset(_):
    raise Reset


def _silent(_):
    time.sleep(_SILENT * 2)


def _says(content=b"", status=200, **headers):
    sent = answer(content, status, **headers)
    return lambda _: sent


def _error(status, code=None, **headers):
    return _says({"error": {"message": "so it says", "type": "t", "code": code}}, status, **headers)


def _cut(good):
    head, _, body = good.partition(b"\r\n\r\n")
    return head + b"\r\n\r\n" + body[: len(body) // 2]


def _unannounced(good, share=1.0):
    """Without a length: it ends where the connection does."""
    head, _, body = good.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"content-length")]
    return b"\r\n".join([*lines, b"", b""]) + body[: int(len(body) * share)]


def _chunked(good, *, whole):
    head, _, body = good.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"content-length")]
    end = b"0\r\n\r\n" if whole else b""
    chunk = f"{len(body):x}\r\n".encode() + body + b"\r\n"
    return b"\r\n".join([*lines, b"transfer-encoding: chunked", b"", b""]) + chunk + end


def _with(good, *headers):
    return good.replace(b"\r\n", b"\r\n" + b"".join(header + b"\r\n" for header in headers), 1)


FAULTS = {
    "reset": _reset,
    "closed without a word": lambda _: None,
    "silence": _silent,
    "no HTTP": lambda _: b"hello\r\n\r\n",
    "status 999": _says(status=999),
    "a head of 200 kB": lambda good: _with(good, b"x: " + b"x" * 200_000),
    "a hundred 1xx first": lambda good: b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100 + good,
    "cut body": _cut,
    "cut body without a length": lambda good: _unannounced(good, 0.5),
    "whole body without a length": _unannounced,
    "chunked": lambda good: _chunked(good, whole=True),
    "cut chunks": lambda good: _chunked(good, whole=False),
    "gzip": lambda _: answer(gzip.compress(b"{}"), content_encoding="gzip"),
    "9 MiB": _says(b" " * 9 * _MIB),
    "700,000 objects": _says(b'{"data":[' + b"{}," * 700_000 + b"{}]}"),
    "nested 100,000 deep": _says(b"[" * 100_000),
    "Date of the year 9999": lambda good: _with(good, b"date: Fri, 31 Dec 9999 23:59:59 GMT"),
    "200, empty": _says(),
    "200, HTML": _says("<html><title>Sign in</title></html>"),
    "200, null": _says("null"),
    "200, an array": _says("[]"),
    "200, an empty object": _says({}),
    "200, only an error": _says({"error": {"message": "so it says"}}),
    "200, another id": _says({"id": "other", "object": "thing"}),
    "200, ids of other types": _says({"id": 7, "data": [{"id": [7]}]}),
    "204": _says(status=204),
    "301": _says(status=301, location="http://elsewhere.example/"),
    "302 to itself": _says(status=302, location="?again"),
    "307": _says(status=307, location="http://elsewhere.example/"),
    "400": _error(400),
    "400 of a proxy": _says("<html><title>Bad Request</title></html>", 400),
    "401": _error(401),
    "403": _error(403),
    "404": _error(404),
    "408": _error(408),
    "409": _error(409),
    "413": _error(413),
    "422": _says({"detail": [{"loc": ["body"], "msg": "so it says"}]}, 422),
    "429": _error(429),
    "429, out of quota": _error(429, "insufficient_quota"),
    "429, in an hour": _error(429, retry_after=3600),
    "429, in 2 s": _error(429, retry_after=2),
    "429, in the year 9999": _error(429, retry_after="Fri, 31 Dec 9999 23:59:59 GMT"),
    "500": _error(500),
    "502 of a proxy": _says("<html><title>Bad Gateway</title></html>", 502),
    "503, do not retry": _error(503, x_should_retry="false"),
    "504": _error(504),
    "520": _says("error code: 520", 520),
}
_REFUSING = {
    "400",
    "401",
    "403",
    "404",
    "413",
    "422",
    "429",
    "429, out of quota",
    "429, in an hour",
    "429, in 2 s",
    "429, in the year 9999",
}
"""Faults after which a create has made no batch. After any other it has."""

_LINE = json.dumps(
    {"custom_id": "r0", "response": {"status_code": 200, "body": {"choices": []}}, "error": None}
)
_FILE = {"id": "file-1", "object": "file", "bytes": 0, "created_at": 1_750_000_000, "purpose": "batch"}


def _operations(api, folder):
    """The operations, each with the call that the fault is about."""
    return {
        "create": (
            "POST /batches",
            lambda: api.batches.create(input_file_id="file-1", endpoint=ENDPOINT, grace=9),
        ),
        "retrieve": ("GET /batches/batch_1", lambda: api.batches.retrieve("batch_1")),
        "list": ("GET /batches", lambda: list(api.batches.list())),
        "cancel": ("POST /batches/batch_1/cancel", lambda: api.batches.cancel("batch_1")),
        "wait": ("GET /batches/batch_1", lambda: api.batches.wait("batch_1", timeout=1000)),
        "results": ("GET /files/file-3/content", lambda: list(api.batches.results("batch_1", ordered=False))),
        "upload": ("POST /files", lambda: api.files.upload(folder / "in.jsonl")),
        "file": ("GET /files/file-1", lambda: api.files.retrieve("file-1")),
        "files": ("GET /files", lambda: list(api.files.list())),
        "download": ("GET /files/file-1/content", lambda: api.files.download("file-1", folder / "out")),
        "delete": ("DELETE /files/file-1", lambda: api.files.delete("file-1")),
    }


class _Desk:
    """Answers as a service does, but for one call that meets a fault, once or always."""

    def __init__(self, fault, refuses, times):
        self.calls = Counter()
        self.target = ""
        self._fault, self._refuses, self._times = fault, refuses, times
        self._created = []

    def begin(self, target):
        self.calls.clear()
        self._created.clear()
        self.target = target

    def serve(self, method, path, body):
        name = f"{method} {path}"
        self.calls[name] += 1
        good = self._good(name, body)
        if name == self.target and self.calls[name] <= self._times:
            return self._fault(good)
        return good

    def _good(self, name, body):
        if name == "POST /batches":
            batch = batch_object(**json.loads(body), created_at=int(time.time()))
            if not self._refuses or self.calls[name] > self._times or self.target != name:
                self._created.append(batch)
            return answer(batch)
        if name == "GET /batches":
            return answer({"object": "list", "data": self._created, "has_more": False})
        if name.startswith(("GET /batches/", "POST /batches/")):
            return answer(batch_object(status="completed", output_file_id="file-3", input_file_id="file-1"))
        if name == "GET /files":
            return answer({"object": "list", "data": [_FILE], "has_more": False})
        if name.endswith("/content"):
            return answer(_LINE + "\n", content_type="application/octet-stream")
        return answer(_FILE | ({"deleted": True} if name.startswith("DELETE") else {}))


def table(kind, times):
    """Rows of cells for clients of a kind, with faults that come so many times."""
    desks = {}

    def script(request):
        path, _, _ = request.path.partition("?")
        _, number, rest = path.split("/", 2)
        return desks[number].serve(request.method, f"/{rest}", request.body)

    server = RawServer(script)

    def cells(task):
        """What becomes of some operations under a fault, by their names."""
        name, chosen = task
        number = str(tasks.index(task))
        desk = desks[number] = _Desk(FAULTS[name], name in _REFUSING, times)
        base_url = server.base_url.removesuffix("/v1") + f"/{number}"
        found = {}
        with (
            tempfile.TemporaryDirectory() as folder,
            calling(kind, **_settings(base_url, folder, name)) as api,
        ):
            api.settings.clock = FakeClock()
            write_lines(Path(folder) / "in.jsonl", 1)
            operations = _operations(api, Path(folder))
            for each in chosen or operations:
                target, act = operations[each]
                desk.begin(target)
                found[each] = _cell(act, desk, counted=each not in {"wait", "results"})
        return found

    # Operations wait for a silent server side by side, and first; the others are quick.
    tasks = [("silence", (each,)) for each in OPERATIONS] + [
        (name, ()) for name in FAULTS if name != "silence"
    ]
    rows = {name: {} for name in FAULTS}
    try:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for (name, _), found in zip(tasks, pool.map(cells, tasks), strict=True):
                rows[name] |= found
    finally:
        server.close()
    return [[name, *(found[each] for each in OPERATIONS)] for name, found in rows.items()]


def _settings(base_url, folder, name):
    patience = _SILENT if name == "silence" else 20
    return {"base_url": base_url, "token": TOKEN, "home": folder, "timeout": patience, "max_retries": 1}


def _cell(act, desk, *, counted):
    try:
        act()
        came = "ok"
    except OverlayError as error:
        came = type(error).__name__.removesuffix("Error")
    except BaseException as error:  # noqa: BLE001 - it is what is looked for
        came = f"RAW {type(error).__name__}"
    count = desk.calls[desk.target]
    return f"{came} x{count}" if counted and count > 1 else came


_HEAD = """\
# What becomes of each operation under each fault

Written by `make fault-table`, and compared by tests/promises/test_fault_table.py. Clients may retry once
(`max_retries=1`). An error is named without its last word; x2 says that the call was sent twice. A create that the
service has accepted is looked for in its list where the answer is lost, and adopted. Rows named (async) are those
of `AsyncClient`, under asyncio and trio, where it differs.
"""
_TIMES = {"The first call meets the fault": 1, "Every call does": 10**9}
_ASYNC = " (async)"


def tables(kind):
    """All tables for clients of a kind, by their titles."""
    return {title: table(kind, times) for title, times in _TIMES.items()}


def text(blocking, awaiting):
    """The tables of both kinds of clients as Markdown."""
    header = ["", *OPERATIONS]
    parts = [_HEAD]
    for title in _TIMES:
        rows = [header, ["---"] * len(header)]
        for ours, theirs in zip(blocking[title], awaiting[title], strict=True):
            rows.append(ours)
            if ours != theirs:
                rows.append([theirs[0] + _ASYNC, *theirs[1:]])
        parts += [f"\n## {title}\n\n", *(f"| {' | '.join(row)} |\n" for row in rows)]
    return "".join(parts)


def checked_in(kind):
    """The tables for clients of a kind as the file has them."""
    found = {}
    for line in CHECKED_IN.read_text(encoding="utf-8").splitlines():
        row = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("## "):
            rows = found[line.removeprefix("## ")] = []
        elif line.startswith("| ") and row[0] not in {"", "---"}:
            if not row[0].endswith(_ASYNC):
                rows.append(row)
            elif kind != "blocking":
                rows[-1] = [row[0].removesuffix(_ASYNC), *row[1:]]
    return found


if __name__ == "__main__":
    logging.disable()
    blocking, awaiting, under_trio = (tables(kind) for kind in KINDS)
    CHECKED_IN.write_text(text(blocking, awaiting), encoding="utf-8")
    sys.exit("asyncio and trio differ" if awaiting != under_trio else 0)
