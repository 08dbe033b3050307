"""One job of a million small requests through the embedded service: does memory stay flat, and time linear?

    python -m benchmarks.million [REQUESTS]

Prints, for every tenth of them, the time that spooling and reading took, and the peak resident memory so far.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from tempfile import TemporaryDirectory
from typing import TypeVar

from benchmarks import embedded
from overlay import Client, JobEvent, Request

T = TypeVar("T")
REQUESTS = 1_000_000
_KIB_A_MIB = 1024


def run(count: int, show: Callable[[str], object] = print) -> None:
    """Run it all, and show it. Raises AssertionError if a result is missing, failed or out of order."""
    with ExitStack() as stack:
        began = time.perf_counter()
        home = Path(stack.enter_context(TemporaryDirectory(prefix="overlay-benchmarks-")))
        with embedded.serving() as base_url, Client(token="t", base_url=base_url, home=home) as client:
            show(f"{count:,} requests; memory at rest {_peak()} MiB")
            spooled = _paced("spooled", count, map(_request, range(count)), show)
            job = client.jobs.submit(spooled, id="all", poll=0.5)
            if not job.ended:
                job = client.jobs.wait(job.id, on_change=lambda event: _report(event, began, show))
            show(f"ended after {time.perf_counter() - began:.0f} s, memory {_peak()} MiB")
            for number, result in enumerate(_paced("read", count, client.jobs.results(job.id), show)):
                assert result.custom_id == f"request-{number}", f"{result!r} is at {number:,}"
                assert result.text == f"echo: hi {number}", f"{result!r}: {result.text!r}"
            assert number + 1 == count == job.ok, f"{number + 1:,} results, {job.ok:,} of them good"
        show(
            f"{count:,} results in the order of their requests after {time.perf_counter() - began:.0f} s; peak "
            f"memory {_peak()} MiB, of the service {_mib(getrusage(RUSAGE_CHILDREN).ru_maxrss)} MiB"
        )


def _request(number: int) -> Request:
    body = {"model": "m", "messages": [{"role": "user", "content": f"hi {number}"}]}
    return Request(f"request-{number}", body)


def _report(event: JobEvent, began: float, show: Callable[[str], object]) -> None:
    if event.kind == "fetched":
        seconds = time.perf_counter() - began
        show(f"  {event.job.ok:9,} fetched and merged after {seconds:.0f} s, memory {_peak()} MiB")


def _paced(word: str, count: int, items: Iterable[T], show: Callable[[str], object]) -> Iterator[T]:
    """The items, with a report for every tenth of them."""
    tenth = max(1, count // 10)
    before = time.perf_counter()
    for number, item in enumerate(items, start=1):
        yield item
        if number % tenth == 0:
            now = time.perf_counter()
            show(f"  {number:9,} {word}, the last {tenth:,} in {now - before:.1f} s, memory {_peak()} MiB")
            before = now


def _peak() -> int:
    """The peak memory of this process so far, in MiB."""
    return _mib(getrusage(RUSAGE_SELF).ru_maxrss)


def _mib(size: int) -> int:
    return size // (_KIB_A_MIB if sys.platform != "darwin" else _KIB_A_MIB**2)


if __name__ == "__main__":
    run(int(sys.argv[1]) if len(sys.argv) > 1 else REQUESTS, lambda line: print(line, flush=True))
