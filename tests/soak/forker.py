"""A process that forks workers, on the side of who gives the orders."""

import subprocess
import sys
from pathlib import Path
from typing import Self

import msgspec

from soak.scenarios import Order, Report


class Forker:
    """For `with`. `notes` is a file for its reports."""

    def __init__(self, notes: Path, *, careless: bool = False) -> None:
        command = [sys.executable, "-m", "soak.worker", str(notes), *["careless"] * careless]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parent.parent
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def order(self, order: Order) -> Report:
        """Let a worker carry out an order, and say what became of it."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(msgspec.json.encode(order) + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the process that forks workers has ended")
        return msgspec.json.decode(line, type=Report)
