"""What a benchmark run works with: its size, a folder of files to measure with, and the server."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from benchmarks import material
from benchmarks.server import INPUT, OUTPUT, serving
from overlay import Client

LINES = 50_000
"""The most requests that a batch may have: https://platform.openai.com/docs/guides/batch#rate-limits"""
LINE_BYTES = 4_100
"""So that a file of them has 200 MB, the limit for an input file."""


@dataclass
class Setting:
    """The size of a run, and what it measures with, created on first use."""

    folder: Path
    rounds: int = 15
    lines: int = LINES
    line_bytes: int = LINE_BYTES
    stack: ExitStack = field(default_factory=ExitStack)

    @cached_property
    def base_url(self) -> str:
        return self.stack.enter_context(serving(self.folder))

    @cached_property
    def client(self) -> Client:
        """Ours. It keeps its jobs in the folder."""
        client = Client(token="benchmark", base_url=self.base_url, home=self.folder / "home")
        return self.stack.enter_context(client)

    @cached_property
    def http(self) -> httpx.Client:
        """The peer's: httpx with nothing on top, and its connection kept, as ours is."""
        headers = {"Authorization": "Bearer benchmark"}
        return self.stack.enter_context(httpx.Client(base_url=self.base_url, headers=headers, timeout=60))

    @cached_property
    def upload(self) -> Path:
        """A file of requests of the full size."""
        path = self.folder / "upload.jsonl"
        material.write_requests(path, lines=self.lines, line_bytes=self.line_bytes)
        return path

    @cached_property
    def requests(self) -> Path:
        """The small requests that `answers` answers."""
        return self._batch[0]

    @cached_property
    def answers(self) -> Path:
        """The server's output file of the batch: of the full size, in another order than its requests."""
        return self._batch[1]

    @cached_property
    def _batch(self) -> tuple[Path, Path]:
        paths = self.folder / INPUT, self.folder / OUTPUT
        material.write_batch(*paths, lines=self.lines, line_bytes=self.line_bytes)
        return paths

    def megabytes(self, path: Path) -> str:
        return f"{path.stat().st_size / 1e6:,.0f} MB"


@contextmanager
def prepared(*, rounds: int = 15, lines: int = LINES, line_bytes: int = LINE_BYTES) -> Generator[Setting]:
    """A setting in a temporary folder, which is removed when the block ends."""
    with TemporaryDirectory(prefix="overlay-benchmarks-") as folder:
        setting = Setting(Path(folder), rounds, lines, line_bytes)
        with setting.stack:
            yield setting
