"""Cut the power of `overlay serve` at every acknowledgement, and between: what was acknowledged is there again.

strace records what the server asks of its disk while a client uploads files, creates batches and fetches answers. A
disk is then replayed up to a moment. In the strict replay it keeps what was synced and nothing else: content as it
was when `fsync` began, names as they were when their folder was synced. In the others it keeps, by chance, some of
what was not synced too, whole or cut. A server is started on each such disk.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
from support.command_line import OVERLAY
from support.model_server import ModelServer
from support.service_http import create, http_to, jsonl, line, results, retrieve, until, upload

from overlay.server import Service

_CALLS = (
    "openat,close,write,pwrite64,ftruncate,truncate,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,link,"
    "linkat,mkdir,mkdirat"
)
_LINE = re.compile(r"(\d+\.\d+) (\w+)\((.*)\) += (-?\d+).* <(\d+\.\d+)>$")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


class Content:
    """Of one file: as its writers see it, and as it was synced last."""

    def __init__(self):
        self.now, self.synced = bytearray(), b""


class Replay:
    """A disk, by the calls that were made."""

    def __init__(self, root):
        self.root = str(root)
        self.names, self.synced_names = {}, {}
        self.descriptors = {}

    def apply(self, call, texts, rest, result, before):
        """`before` is the content of the file that is synced, as it was when the call began."""
        getattr(self, f"_{call}")(texts, rest, result, before)

    def _openat(self, texts, rest, result, _):
        path = texts[0].decode()
        if not path.startswith(self.root):
            return
        found = self.names.get(path)
        if "O_DIRECTORY" in rest or found == "folder" or path == self.root:
            self.descriptors[result] = path
            return
        if found is None:
            found = self.names[path] = Content()
        if "O_TRUNC" in rest:
            found.now.clear()
        self.descriptors[result] = [found, 0, "O_APPEND" in rest]

    def _close(self, texts, rest, result, _):
        self.descriptors.pop(int(rest.split(",")[0]), None)

    def _write(self, texts, rest, result, _):
        opened = self.descriptors.get(int(rest.split(",")[0]))
        if isinstance(opened, list):
            content, place, append = opened
            place = len(content.now) if append else place
            self._put(content, place, texts[0][:result])
            opened[1] = place + result

    def _pwrite64(self, texts, rest, result, _):
        opened = self.descriptors.get(int(rest.split(",")[0]))
        if isinstance(opened, list):
            self._put(opened[0], int(rest.rpartition(", ")[2]), texts[0][:result])

    def _put(self, content, place, data):
        content.now.extend(bytes(max(0, place - len(content.now))))
        content.now[place : place + len(data)] = data

    def _ftruncate(self, texts, rest, result, _):
        number, size = (int(each) for each in rest.split(", "))
        if isinstance(opened := self.descriptors.get(number), list):
            self._cut(opened[0], size)

    def _truncate(self, texts, rest, result, _):
        if texts[0].decode() in self.names:
            self._cut(self.names[texts[0].decode()], int(rest.rpartition(", ")[2]))

    def _cut(self, content, size):
        content.now[:] = content.now[:size].ljust(size, b"\0")

    def _fsync(self, texts, rest, result, before):
        opened = self.descriptors.get(int(rest))
        if isinstance(opened, list):
            opened[0].synced = before
        elif opened:
            for names, taken in ((self.synced_names, False), (self.names, True)):
                for path in [each for each in names if each.rpartition("/")[0] == opened]:
                    if taken:
                        self.synced_names[path] = self.names[path]
                    else:
                        del names[path]

    _fdatasync = _fsync

    def _rename(self, texts, rest, result, _):
        if (old := texts[0].decode()) in self.names:
            self.names[texts[1].decode()] = self.names.pop(old)

    _renameat = _renameat2 = _rename

    def _unlink(self, texts, rest, result, _):
        self.names.pop(texts[0].decode(), None)

    _unlinkat = _unlink

    def _link(self, texts, rest, result, _):
        if (old := texts[0].decode()) in self.names:
            self.names[texts[1].decode()] = self.names[old]

    _linkat = _link

    def _mkdir(self, texts, rest, result, _):
        if texts[0].decode().startswith(self.root):
            self.names[texts[0].decode()] = "folder"

    _mkdirat = _mkdir

    def content_of(self, rest):
        opened = self.descriptors.get(int(rest))
        return bytes(opened[0].now) if isinstance(opened, list) else b""

    def lay_out(self, target, chance):
        """Write what the disk holds after the cut; `chance` is None for the strict one."""
        names = dict(self.synced_names)
        if chance:
            names |= {path: each for path, each in self.names.items() if chance.random() < 0.5}
        for path, each in sorted(names.items()):
            here = target / os.path.relpath(path, self.root)
            if each == "folder":
                here.mkdir(parents=True, exist_ok=True)
                continue
            kept = each.synced
            # SQLite checks what it reads of its log, and not its database: no block of that is written out of turn.
            if chance and not path.endswith("sqlite3") and chance.random() < 0.5:
                kept = bytes(each.now[: chance.randint(min(len(kept), len(each.now)), len(each.now))])
            here.parent.mkdir(parents=True, exist_ok=True)
            here.write_bytes(kept)


def calls_of(trace):
    """All calls in the order in which they ended, with the moments when they began and ended."""
    found = []
    for path in trace.parent.glob(f"{trace.name}.*"):
        for text in path.read_text().splitlines():
            if match := _LINE.match(text):
                began, call, arguments, result, took = match.groups()
                if int(result) < 0:
                    continue
                texts = [bytes.fromhex(each.replace("\\x", "")) for each in _TEXT.findall(arguments)]
                found.append(
                    (
                        float(began) + float(took),
                        float(began),
                        call,
                        texts,
                        _TEXT.sub("", arguments),
                        int(result),
                    )
                )
    found.sort(key=lambda each: each[0])
    return found


@contextmanager
def recorded(folder, state, model):
    """`overlay serve` under strace, and a client of it."""
    words = [*OVERLAY, "serve", "--port", "0", "--json", "--state", str(state), "--upstream", model.url]
    strace = ["strace", "-ff", "-ttt", "-T", "-xx", "-s", "99999999", "-e", f"trace={_CALLS}"]
    with (
        subprocess.Popen(
            [*strace, "-o", str(folder / "trace"), *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process,
    ):
        url = json.loads(process.stdout.readline())["base_url"]
        with httpx.Client(base_url=url, headers={"Authorization": "Bearer any"}, timeout=60) as http:
            yield http
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGTERM)
        process.wait()


def work(http, rounds):
    """Use the server; gives what was acknowledged, and when."""
    acknowledged = []

    def note(kind, *what):
        acknowledged.append((time.time(), kind, *what))

    for round_ in range(rounds):
        lines = [line(f"{round_}-{number}") for number in range(30)]
        content = jsonl(lines)
        file = upload(http, content)
        note("file", file["id"], content)
        batch = create(http, file)
        note("batch", batch["id"], [each["custom_id"] for each in lines])
        if round_ % 4 == 3:
            http.post(f"/batches/{batch['id']}/cancel")
            note("cancelled", batch["id"])
        if round_ % 5 == 4:
            note("goes", file["id"])  # from now on it may be gone
            http.delete(f"/files/{file['id']}")
            note("deleted", file["id"])
        batch = until(http, batch)
        for each in (batch["output_file_id"], batch["error_file_id"]):
            if each:
                note("file", each, http.get(f"/files/{each}/content").content)
        note("ended", batch)
    return acknowledged


def check(state, acknowledged):
    """What is missing on this disk of what was acknowledged; and that batches go on from there."""
    with Service(state=state) as service, http_to(service) as http:
        going = {each[2] for each in acknowledged if each[1] == "goes"}
        missing = []
        for _, kind, what, *rest in acknowledged:
            if kind != "goes" and (kind != "file" or what not in going):
                missing += _CHECKS[kind](http, what, *rest)
        return missing


def _file(http, file_id, content):
    return [] if http.get(f"/files/{file_id}/content").content == content else [f"file {file_id}"]


def _deleted(http, file_id):
    return [] if http.get(f"/files/{file_id}").status_code == 404 else [f"the deletion of {file_id}"]


def _cancelled(http, batch_id):
    status = retrieve(http, {"id": batch_id})["status"]
    return [] if status in {"cancelling", "cancelled", "completed"} else [f"the cancel of {batch_id}"]


def _ended(http, batch):
    return [] if retrieve(http, batch) == batch else [f"the end of {batch['id']}"]


def _batch(http, batch_id, custom_ids):
    if http.get(f"/batches/{batch_id}").status_code != 200:
        return [f"batch {batch_id}"]
    batch = until(http, {"id": batch_id})
    if batch["status"] == "cancelled" and batch["in_progress_at"] is None:
        return []  # its lines were not looked at yet
    files = [each for each in (batch["output_file_id"], batch["error_file_id"]) if each]
    found = [name for each in files for name in results(http, each)]
    if sorted(found) == sorted(custom_ids):
        return []
    return [f"{len(custom_ids) - len(found)} lines of {batch_id}, {batch['status']}, {batch['errors']}"]


_CHECKS = {
    "file": _file,
    "deleted": _deleted,
    "cancelled": _cancelled,
    "ended": _ended,
    "batch": _batch,
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument(
        "--cuts", type=int, default=200, help="moments by chance, beside the acknowledgements"
    )
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    if not shutil.which("strace"):
        sys.exit("there is no strace on the PATH: install the package strace")
    chance = random.Random(asked.seed)
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as place:
        folder = Path(place)
        state = folder / "state"
        with ModelServer() as model, recorded(folder, state, model) as http:
            began = time.time()
            acknowledged = work(http, asked.rounds)
            ended = time.time()
        calls = calls_of(folder / "trace")
        moments = sorted(
            [each[0] for each in acknowledged] + [chance.uniform(began, ended) for _ in range(asked.cuts)]
        )
        lost, replay, place_in_calls = 0, Replay(state), 0
        pending = sorted(
            (began_, number)
            for number, (_, began_, call, *_) in enumerate(calls)
            if call in {"fsync", "fdatasync"}
        )
        before = {}
        for moment in moments:
            while place_in_calls < len(calls) and calls[place_in_calls][0] <= moment:
                end, _, call, texts, rest, result = calls[place_in_calls]
                # What a sync takes is what was there when it began.
                while pending and pending[0][0] <= end:
                    _, number = pending.pop(0)
                    before[number] = replay.content_of(calls[number][4])
                replay.apply(call, texts, rest, result, before.pop(place_in_calls, b""))
                place_in_calls += 1
            known = [each for each in acknowledged if each[0] <= moment]
            for luck in (None, chance):
                disk = folder / "disk"
                disk.mkdir()
                replay.lay_out(disk, luck)
                for each in check(disk, known):
                    lost += 1
                    print(  # noqa: T201 - for who started it
                        f"after {moment - began:.3f} s, {'strict' if luck is None else 'by chance'}: lost {each}"
                    )
                shutil.rmtree(disk)
        print(  # noqa: T201 - for who started it
            f"{2 * len(moments)} power cuts, {len(acknowledged)} acknowledgements, {len(calls)} calls: {lost} lost"
        )
        sys.exit(bool(lost))


if __name__ == "__main__":
    main()
