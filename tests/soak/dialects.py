"""One job at each service, in its dialect: its process is killed again and again, and goes on.

`python -m soak.dialects` runs a job of 2,000 requests, 2 of 100 of which fail, for each service and each way of
working (blocking, asyncio, the command), killed five times. What the user gets and what the service did are
compared: every request has its one answer, and every line was run once.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import attrs
from support.services import NAMES, request_for

from overlay import Client, write_requests
from overlay.server import Pace, Service
from overlay.services import service_named

WAYS = ("blocking", "asyncio", "command")
_KEY = "key-of-the-soak"
_FAILS = 50
"""Of so many requests, one fails for good."""
_GRACE = 2
_COMMAND = "from overlay.cli import main; main()"
_BLOCKING = """
import sys
import attrs
from overlay import Client
from overlay.services import service_named
name, base_url, home, path, token = sys.argv[1:]
with Client(service=name, base_url=base_url, home=home, token=token) as client:
    limits = attrs.evolve(service_named(name).limits, requests=500)
    client.jobs.submit(path, id="job", limits=limits, grace=GRACE, poll=0.1)
    client.jobs.wait("job")
"""
_ASYNCIO = """
import asyncio, sys
import attrs
from overlay import AsyncClient
from overlay.services import service_named
name, base_url, home, path, token = sys.argv[1:]
async def main():
    async with AsyncClient(service=name, base_url=base_url, home=home, token=token) as client:
        limits = attrs.evolve(service_named(name).limits, requests=500)
        await client.jobs.submit(path, id="job", limits=limits, grace=GRACE, poll=0.1)
        await client.jobs.wait("job")
asyncio.run(main())
"""


@attrs.define
class Outcome:
    """What came of one job."""

    name: str
    way: str
    kills: int = 0
    starts: int = 0
    batches: int = 0
    decisions: int = 0
    """How often the job stopped until its user said that a lost create should be sent again."""
    seconds: float = 0.0
    findings: list[str] = attrs.field(factory=list)


def _fails(number: int) -> bool:
    return number % _FAILS == 7


def _number_in(body: dict[str, Any]) -> int:
    text = body.get("input") or body["messages"][-1]["content"]
    return int(str(text if isinstance(text, str) else text[0]).split()[-1])


def run(name: str, way: str, *, count: int, kills: int, seed: int) -> Outcome:
    """Run a job of `count` requests at a service, killed about `kills` times."""
    outcome, dice, runs = Outcome(name, way), random.Random(f"{seed} {name} {way}"), Counter[int]()

    def answer(line: dict[str, Any]) -> Any:
        number = _number_in(line["body"])
        runs[number] += 1
        if _fails(number):
            return 400, {"error": {"message": "No.", "code": "bad", "type": "invalid_request_error"}}
        return {"number": number}

    began = time.monotonic()
    pace = Pace(validating=0.2, in_progress=0.7 * kills, finalizing=0.2, cancelling=0.1)
    with (
        tempfile.TemporaryDirectory(prefix="dialects-") as place,
        Service(answer, dialect=name, pace=pace) as at,
    ):
        folder = Path(place)
        path = folder / "requests.jsonl"
        write_requests(path, (request_for(name, number) for number in range(count)), service=name)
        while outcome.starts < 20 * (kills + 1):
            outcome.starts += 1
            after = dice.uniform(0.35, 1.0) if outcome.kills < kills else None
            ended = _work(name, way, at.base_url, folder, after)
            if ended is None:
                outcome.kills += 1
            elif ended.returncode in {0, 1} if way == "command" else ended.returncode == 0:
                break
            elif "send-again" in ended.stderr and not service_named(name).deletes:
                # Nothing can rule out that the lost create still comes: that is for the user to decide.
                outcome.decisions += 1
                with _client(name, at.base_url, folder) as client:
                    client.jobs.send_again(client.jobs.list()[0].id)
            elif after is None:
                outcome.findings.append(f"it ended with {ended.returncode}: {ended.stderr[-500:]}")
                break
        outcome.batches = len(at.batches())
        if not outcome.findings:
            outcome.findings += _judged(_results(name, at.base_url, folder, way), runs, count)
    outcome.seconds = time.monotonic() - began
    return outcome


def _work(
    name: str, way: str, base_url: str, folder: Path, after: float | None
) -> "subprocess.CompletedProcess[str] | None":
    """Let a process work on the job; None if it was killed after so many seconds."""
    home, path = str(folder / "home"), str(folder / "requests.jsonl")
    if way == "command":
        words = ["-c", _COMMAND, "run", path, "-o", str(folder / "out.jsonl"), "--force", "--poll", "0.1"]
        words += ["--service", name, "--base-url", base_url]
    else:
        script = (_BLOCKING if way == "blocking" else _ASYNCIO).replace("GRACE", str(_GRACE))
        words = ["-c", script, name, base_url, home, path, _KEY]
    env = os.environ | {"OVERLAY_HOME": home, service_named(name).key_variable: _KEY}
    process = subprocess.Popen(
        [sys.executable, *words], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        _, said = process.communicate(timeout=after or 240)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        _, said = process.communicate()
        return None if after is not None else subprocess.CompletedProcess(words, -9, "", said)
    return subprocess.CompletedProcess(words, process.returncode, "", said)


def _results(name: str, base_url: str, folder: Path, way: str) -> list[tuple[str, int | None]]:
    """What the user gets: the custom_id and the number in the answer of each request; None for a failure."""
    if way == "command":
        out = folder / "out.jsonl"
        lines = [json.loads(line) for line in out.read_bytes().splitlines()] if out.exists() else []
        return [(line["custom_id"], _number_of(line)) for line in lines]
    with _client(name, base_url, folder) as client:
        return [
            (each.custom_id or "", _number_of(json.loads(each.raw))) for each in client.jobs.results("job")
        ]


def _client(name: str, base_url: str, folder: Path) -> Client:
    return Client(service=name, base_url=base_url, home=folder / "home", token=_KEY)


def _number_of(line: dict[str, Any]) -> int | None:
    body = (line.get("response") or {}).get("body") or {}
    return body.get("number")


def _judged(results: list[tuple[str, int | None]], runs: "Counter[int]", count: int) -> list[str]:
    expected = [(f"r{number}", None if _fails(number) else number) for number in range(count)]
    found: list[str] = []
    if results != expected:
        wrong = [pair for pair in zip(results, expected, strict=False) if pair[0] != pair[1]]
        found.append(f"{len(results):,} of {count:,} results, {len(wrong):,} wrong: {wrong[:3]}")
    twice = [number for number, times in runs.items() if times > 1]
    if twice:
        found.append(f"{len(twice):,} requests were run, and paid, more than once")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="soak.dialects", description=__doc__)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--ways", nargs="*", default=WAYS)
    parser.add_argument("names", nargs="*", default=NAMES)
    given = parser.parse_args()
    found = False
    for name in given.names:
        for way in given.ways:
            outcome = run(name, way, count=given.requests, kills=given.kills, seed=given.seed)
            found = found or bool(outcome.findings)
            what = "; ".join(outcome.findings) or "0 lost, 0 paid twice"
            sys.stdout.write(
                f"{name:17} {way:9} {outcome.kills} kills, {outcome.starts:2} starts, {outcome.batches:2} batches, "
                f"{outcome.decisions} decisions, "
                f"{outcome.seconds:5.1f} s: {what}\n"
            )
            sys.stdout.flush()
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
