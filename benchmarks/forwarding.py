"""How fast `overlay serve --upstream` sends lines on, against loops of aiohttp, httpx and litellm in the same run.

    python -m benchmarks.forwarding                              the table of docs/explanation/server-speed.md
    python -m benchmarks.forwarding --lines 50000 --at-once 64   what memory does over a long batch

The stub answers each request after 20 ms and costs next to nothing; it has a core of its own, and whatever is
measured has another, where there are two. All sides send the same file. A round measures each side once; of the
rounds, the median counts, of lines a second and of the ratios to aiohttp.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import httpx

from benchmarks.measuring import machine

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_WINDOW = "24h"


@dataclass
class Run:
    """One side, once. `polls` are the times of `GET /batches/{id}` meanwhile; `memory` is in bytes, over time."""

    lines: int
    seconds: float
    cpu: float
    polls: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return self.lines / self.seconds

    @property
    def cpu_a_line(self) -> float:
        return self.cpu / self.lines


def pinned(core: int, *command: str) -> list[str]:
    """The command on the first or the last of the cores there are, where there is a way to say so."""
    if (cores := _cores()) and Path("/usr/bin/taskset").exists():
        return ["taskset", "-c", str(cores[-core]), *command]
    return list(command)


def _cores() -> list[int]:
    """Those that may be used; none where there is only one, or nobody to ask."""
    found = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return found if len(found) > 1 else []


@contextmanager
def beside() -> Generator[None]:
    """On the stub's core: whoever looks must not take time from what it measures."""
    cores = _cores()
    if cores:
        os.sched_setaffinity(0, {cores[-1]})
    try:
        yield
    finally:
        if cores:
            os.sched_setaffinity(0, cores)


@contextmanager
def stub(seconds: float) -> Generator[str]:
    command = pinned(1, sys.executable, "-m", "benchmarks.model_stub", str(seconds))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()


def peer(python: str, name: str, url: str, source: Path, at_once: int) -> Run:
    words = [python, "-m", "benchmarks.forwarding_peers", name, url]
    command = pinned(0, *words, str(source), str(source.with_suffix(".out")), str(at_once))
    # litellm would fetch a table of prices.
    environment = os.environ | {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, env=environment)
    return Run(**json.loads(done.stdout.splitlines()[-1]))


def ours(url: str, source: Path, at_once: str, *, requests: int) -> Run:
    with tempfile.TemporaryDirectory() as state:
        options = ["--port", "0", "--json", "--state", state, "--upstream", url, "--at-once", at_once]
        limits = ["--limit", f"requests={requests}", "--limit", "input_bytes=10000000000"]
        limits += ["--limit", "upload_bytes=10000000000"]
        words = [sys.executable, "-m", "overlay", "serve", *options, *limits]
        environment = os.environ | {"OVERLAY_UPSTREAM_API_KEY": "k"}
        with subprocess.Popen(
            pinned(0, *words),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        ) as process:
            assert process.stdout is not None
            try:
                base_url = json.loads(process.stdout.readline())["base_url"]
                with beside():
                    return _measured(process.pid, base_url, source)
            finally:
                process.terminate()


def _measured(pid: int, base_url: str, source: Path) -> Run:
    headers = {"Authorization": "Bearer k"}
    with httpx.Client(base_url=base_url, headers=headers, timeout=600) as http, source.open("rb") as file:
        uploaded = http.post("/files", data={"purpose": "batch"}, files={"file": ("in.jsonl", file)}).json()
        asked = {
            "input_file_id": uploaded["id"],
            "endpoint": "/v1/chat/completions",
            "completion_window": _WINDOW,
        }
        batch = http.post("/batches", json=asked).json()
        began: tuple[float, float] | None = None
        polls: list[float] = []
        memory: list[int] = []
        while True:
            asked_at = time.perf_counter()
            batch = http.get(f"/batches/{batch['id']}").json()
            now = time.perf_counter()
            if batch["status"] in {"completed", "failed", "expired"}:
                break
            if batch["status"] == "in_progress" and batch["request_counts"]["completed"]:
                # What was answered before the first look is not counted, nor its time.
                began = began or (now, _cpu(pid), batch["request_counts"]["completed"])
                polls.append(now - asked_at)
                memory.append(_memory(pid))
            time.sleep(0.02)
        assert batch["status"] == "completed", batch
        assert batch["request_counts"]["failed"] == 0, batch
        assert began is not None
        lines = batch["request_counts"]["completed"] - began[2]
        return Run(lines, now - began[0], _cpu(pid) - began[1], polls, memory)


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _memory(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE


def write_lines(path: Path, count: int) -> None:
    with path.open("w") as file:
        for number in range(count):
            content = f"Question {number}: " + "what is it? " * 30
            body = {"model": "m", "messages": [{"role": "user", "content": content}]}
            line = {
                "custom_id": f"r{number}",
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": body,
            }
            file.write(json.dumps(line) + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    chosen = _parser().parse_args(arguments)
    print(f"{machine()}; medians of {chosen.rounds} rounds of {chosen.lines:,} lines\n", flush=True)
    print(
        "| at once | side | lines/s | of aiohttp's | CPU a line | of aiohttp's | GET p99 | memory |\n"
        "|---:|---|---:|---:|---:|---:|---:|---:|",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as folder, stub(chosen.latency) as url:
        source = Path(folder) / "in.jsonl"
        write_lines(source, chosen.lines)
        for at_once in chosen.at_once:
            runs: dict[str, list[Run]] = {}
            for _ in range(chosen.rounds):
                for name in chosen.peers:
                    if name == "httpx" and at_once > chosen.httpx_up_to:
                        continue
                    python = chosen.litellm or sys.executable if name == "litellm" else sys.executable
                    runs.setdefault(name, []).append(peer(python, name, url, source, at_once))
                given = "auto" if chosen.auto else str(at_once)
                runs.setdefault("overlay serve", []).append(ours(url, source, given, requests=chosen.lines))
            for name, found in runs.items():
                print(_row(at_once, name, found, runs.get("aiohttp", found)), flush=True)
    return 0


def _row(at_once: int, name: str, runs: list[Run], bare: list[Run]) -> str:
    faster = median(one.rate / other.rate for one, other in zip(runs, bare, strict=True))
    dearer = median(one.cpu_a_line / other.cpu_a_line for one, other in zip(runs, bare, strict=True))
    polls = sorted(poll for each in runs for poll in each.polls)
    slowest = f"{polls[int(len(polls) * 0.99)] * 1000:.0f} ms" if polls else ""
    memory = [each.memory for each in runs if each.memory]
    grown = f"{memory[-1][0] / 2**20:.0f} → {memory[-1][-1] / 2**20:.0f} MiB" if memory else ""
    rate, cpu = median(each.rate for each in runs), median(each.cpu_a_line for each in runs)
    cells = [f"{at_once:,}", name, f"{rate:,.0f}", f"{faster:.2f}", f"{cpu * 1000:.2f} ms", f"{dearer:.2f}"]
    return f"| {' | '.join([*cells, slowest, grown])} |"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.forwarding",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--lines", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--at-once", type=int, nargs="+", default=[16, 64, 256, 1024])
    parser.add_argument("--auto", action="store_true", help="serve with --at-once auto")
    parser.add_argument("--peers", nargs="*", default=["aiohttp", "httpx"], help="aiohttp, httpx, litellm")
    parser.add_argument("--latency", type=float, default=0.02, help="seconds (default: 0.02)")
    parser.add_argument("--httpx-up-to", type=int, default=256, help="beyond, its loop takes minutes")
    parser.add_argument("--litellm", metavar="PYTHON", help="an interpreter that has litellm")
    return parser


if __name__ == "__main__":
    sys.exit(main())
