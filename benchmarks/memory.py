"""How much the memory of a process grows: each measurement is a process of its own.

    python -m benchmarks.memory BASE_URL WORK [ARGUMENT …]

At rest, a client is built and has made one small request. Prints the peak resident memory of the process, less
what it has at rest, in bytes.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.server import batch
from overlay import Client

BATCH = str(batch(0)["id"])


def growth(base_url: str, work: str, *arguments: object) -> int:
    """The growth, in bytes, of a fresh process that does `work`."""
    command = [sys.executable, "-m", "benchmarks.memory", base_url, work, *map(str, arguments)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _upload(client: Client, path: str) -> None:
    client.files.upload(path)


def _results(client: Client) -> None:
    for result in client.batches.results(BATCH, ordered=False):
        assert result.text


def _joined(client: Client, requests: str) -> None:
    for result in client.batches.results(BATCH, requests=requests):
        assert result.text


def _nothing(_: Client) -> None:
    pass


def _hold(_: Client, size: str) -> None:
    assert b"x" * int(size)


WORK: dict[str, Callable[..., None]] = {
    "upload": _upload,
    "results": _results,
    "joined": _joined,
    "nothing": _nothing,
    "hold": _hold,
}


def _status(name: str) -> int:
    """A figure from Linux about this process, in bytes; elsewhere only the peak is available."""
    try:
        with Path("/proc/self/status").open() as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith(f"{name}:"))
    except FileNotFoundError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    base_url, work, *arguments = sys.argv[1:]
    with Client(token="benchmark", base_url=base_url) as client:
        client.batches.retrieve(BATCH)
        rest = _status("VmRSS")
        WORK[work](client, *arguments)
        # Not ru_maxrss, which on Linux starts at that of the parent process.
        print(_status("VmHWM") - rest)


if __name__ == "__main__":
    main()
