"""The embedded service, in a process of its own.

python -m benchmarks.embedded      ends when stdin does
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager

from benchmarks.processes import started
from overlay.server import Service


def serving() -> AbstractContextManager[str]:
    """The base URL of the embedded service, which stops when the block ends."""
    return started("benchmarks.embedded")


if __name__ == "__main__":
    with Service() as service:
        print(service.base_url, flush=True)
        sys.stdin.read()
