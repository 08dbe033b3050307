"""Measure speed and memory against peers in the same run.

    python -m benchmarks                    everything
    python -m benchmarks upload list        some of it
    python -m benchmarks --pairs 3 --megabytes 20 upload

Speed is the median of the ratios of pairs, each pair run one after the other, in turns first and second. Memory is
the peak of a fresh process above what it had with the client built and one request made.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks import material
from benchmarks.comparisons import COMPARISONS, MEMORY, Setting, Task
from benchmarks.server import INPUT, OUTPUT, serving

_LINE_BYTES = 4000


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.split("\n\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(COMPARISONS))
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--megabytes", type=int, default=200, help="size of the files")
    parser.add_argument("--peak", nargs=3, metavar=("NAME", "FOLDER", "URL"), help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.peak:
        name, folder, url = given.peak
        print(_peak(name, Path(folder), url))
        return
    unknown = set(given.names) - set(COMPARISONS)
    if unknown:
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    chosen = given.names or list(COMPARISONS)
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        lines = given.megabytes * 1_000_000 // _LINE_BYTES
        material.write_batch(folder / INPUT, folder / OUTPUT, lines=lines, line_bytes=_LINE_BYTES)
        material.write_requests(folder / "upload.jsonl", lines=lines, line_bytes=_LINE_BYTES)
        url = stack.enter_context(serving(folder))
        setting = Setting(folder, url, stack)
        for each in chosen:
            _compare(each, setting, given.pairs)
            if each in MEMORY:
                command = [sys.executable, "-m", "benchmarks", "--peak", each, str(folder), url]
                above = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
                print(
                    f"{'':16} {above:.0f} MiB above rest, meant to be at most {MEMORY[each][1]}", flush=True
                )


def _compare(name: str, setting: Setting, pairs: int) -> None:
    compare, meant = COMPARISONS[name]
    ours, bare = compare(setting)
    ours(), bare()
    ratios, spans = [], []
    for turn in range(pairs):
        if turn % 2:
            mine, theirs = _timed(ours), _timed(bare)
        else:
            theirs, mine = _timed(bare), _timed(ours)
        ratios.append(mine / theirs)
        spans.append((mine, theirs))
    mine, theirs = (statistics.median(each) for each in zip(*spans, strict=True))
    limit = f", meant to be at most {meant}" if meant else ""
    what = (compare.__doc__ or "").strip().partition("\n")[0]
    print(
        f"{name:16} {statistics.median(ratios):.2f} ({mine:.3f} s to {theirs:.3f} s){limit}: {what}",
        flush=True,
    )


def _timed(task: Task) -> float:
    began = time.perf_counter()
    task()
    return time.perf_counter() - began


def _peak(name: str, folder: Path, url: str) -> float:
    """MiB above rest at the most."""
    with ExitStack() as stack:
        setting = Setting(folder, url, stack)
        setting.ours.batches.retrieve(next(iter(setting.ours.batches.list(limit=100))).id)
        rest = _resident()
        MEMORY[name][0](setting)[0]()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - rest


def _resident() -> float:
    """MiB of memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1024**2


if __name__ == "__main__":
    main()
