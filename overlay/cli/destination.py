"""Where `-o` points: standard output, a file that is either complete or absent, or a device.

Nobody's file is lost by it: it never names the input, and what is there already is replaced only with `--force`, or
where it is an earlier output of the same job.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import attrs

from overlay.cli import output
from overlay.errors import ConfigurationError, StorageError
from overlay.jobs.outputs import is_own_output, note_output
from overlay.lines import remove_stale_parts, replacing, storage_errors

STDOUT = "-"


@attrs.define
class Destination:
    """What `-o` and `--force` say."""

    path: str
    force: bool = False
    _accepted: os.stat_result | None = attrs.field(default=None, init=False)
    """What is there, and may be replaced."""

    @property
    def is_stdout(self) -> bool:
        return self.path == STDOUT

    def __str__(self) -> str:
        return "standard output" if self.is_stdout else self.path

    def check(self, *inputs: Path | None) -> None:
        """Make sure that results can be written, and over none of the inputs, before they are paid for.

        Raises StorageError, ConfigurationError.
        """
        if self.is_stdout:
            return
        with storage_errors(self.path):
            target = self._target
            if target.is_dir():
                raise StorageError(f"{self.path}: is a directory", path=self.path)
            for given in inputs:
                if given is not None and target.exists() and given.exists() and target.samefile(given):
                    raise ConfigurationError(f"-o {self.path} is the input itself; name another file")
            if _is_plain(target):
                tempfile.TemporaryFile(dir=target.parent).close()
                remove_stale_parts(target)

    def check_free(self, *jobs: Path) -> None:
        """Make sure that nothing is lost by writing there. An output of one of the jobs in these folders may be
        replaced. Raises ConfigurationError.
        """
        if self.is_stdout or self.force:
            return
        with storage_errors(self.path):
            target = self._target
            if not target.is_file():
                return
            status = target.stat()
            known = self._accepted is not None and _seen(self._accepted) == _seen(status)
            if status.st_size and not known and not any(is_own_output(job, target) for job in jobs):
                why = "exists, and is not as this job has written it" if jobs else "exists"
                raise ConfigurationError(f"{self.path} {why}; name another file, or replace it with --force")
            self._accepted = status

    @contextmanager
    def writing(self, job: Path | None = None) -> Generator[Callable[[bytes], object]]:
        """A function that writes bytes there. A file gets its name when the block ends.

        Raises StorageError, ConfigurationError, and PipeClosedError if nobody reads standard output.
        """
        if self.is_stdout:
            yield output.write
            return
        self.check_free(*[job] if job is not None else [])
        with storage_errors(self.path):
            target = self._target
        # Renaming onto a device or a pipe would replace it.
        plain = _is_plain(target)
        with replacing(target) if plain else _opened(target) as file:

            def write(data: bytes) -> None:
                with storage_errors(self.path):
                    file.write(data)

            yield write
            if plain and job is not None:
                with storage_errors(self.path):
                    file.flush()
                    # Before the file has its name: after a crash in between, it is still known.
                    note_output(job, target, os.fstat(file.fileno()))

    @property
    def _target(self) -> Path:
        """The file itself, if the path is a link to it."""
        return Path(self.path).resolve()


def _seen(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _is_plain(target: Path) -> bool:
    return target.is_file() or not target.exists()


@contextmanager
def _opened(target: Path) -> Generator[BinaryIO]:
    with storage_errors(target), target.open("wb") as file:
        yield file
