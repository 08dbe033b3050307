"""The place that all workers and the driver reach: copies of the requests, and the answers.

    <staging>/<job>/marker                  by which workers know the driver's place
                    inputs/<sha256>.jsonl   requests, as they were uploaded
                    answers/<random>.parquet

A file has its name once it is whole. Names of answers are random: a task that is run twice leaves two files, and
the ledger names one of them.
"""

from __future__ import annotations

import os
import posixpath
import secrets
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any, Self

import attrs

from overlay.errors import ConfigurationError, StorageError
from overlay.lines import MIB, storage_errors, sync_folder
from overlay.tables.arrow import Schema, fs as arrow_fs, parquet
from overlay.tables.places import file_system, is_address
from overlay.tables.writing import write_table

_MARKER, _ANSWERS = "marker", "answers"


@attrs.frozen
class Staging:
    """A folder of one job. It pickles."""

    address: str
    """A path that all machines share, or an address such as `s3://bucket/staging`, with the job's id at its end."""

    def _system(self) -> tuple[Any, str]:
        with storage_errors(self.address):
            return file_system(self.address)

    def path(self, name: str) -> str:
        """Where a file is, as engines take it."""
        return posixpath.join(self.address, name)

    def mark(self, marker: str) -> None:
        """Leave a marker for the workers.

        Raises ConfigurationError if another ledger keeps the job here: it would be paid for twice; StorageError.
        """
        with storage_errors(self.address):
            system, root = self._system()
            seen = self._marker(system, root)
            if seen not in {"", marker}:
                raise ConfigurationError(
                    f"{self.address} belongs to the job of this id in another home folder, which knows what was "
                    "asked and paid for: run it with that OVERLAY_HOME, or use another id; if that folder is lost, "
                    f"delete {self.path(_MARKER)}, and everything is asked again"
                )
            if not seen:
                self._put(system, posixpath.join(root, _MARKER), marker.encode())

    def check(self, marker: str) -> None:
        """Raise ConfigurationError if this machine does not see the driver's place."""
        try:
            with storage_errors(self.address):
                seen = self._marker(*self._system())
        except StorageError:
            seen = ""
        if seen != marker:
            raise ConfigurationError(
                f"a worker does not see {self.address} as the driver does: give staging= a place that all machines "
                "share, such as s3://bucket/staging or a network folder"
            )

    @staticmethod
    def _marker(system: Any, root: str) -> str:
        path = posixpath.join(root, _MARKER)
        if system.get_file_info(path).type == arrow_fs.FileType.NotFound:
            return ""
        with system.open_input_stream(path) as file:
            return bytes(file.read()).decode("ascii", "replace")

    def keep(self, sha256: str, path: Path) -> None:
        """Keep a copy of a file of requests. Raises StorageError."""
        with storage_errors(self.address), path.open("rb") as file:
            system, root = self._system()
            target = _input(root, sha256)
            info = system.get_file_info(target)
            if info.type == arrow_fs.FileType.NotFound or info.size != path.stat().st_size:
                self._put(system, target, file)

    def fetch(self, sha256: str, path: Path) -> None:
        """Bring a copy of requests to `path`. Raises StorageError."""
        with storage_errors(self.path(f"inputs/{sha256}.jsonl")):
            system, root = self._system()
            with system.open_input_stream(_input(root, sha256)) as file, path.open("wb") as out:
                while piece := file.read(MIB):
                    out.write(piece)

    def write(self, schema: Schema, batches: Iterator[Any]) -> str | None:
        """Keep a table, and give its name; None if it has no rows. Raises StorageError."""
        first = next(batches, None)
        if first is None:
            return None
        name = f"{_ANSWERS}/{secrets.token_hex(16)}.parquet"
        with storage_errors(self.path(name)):
            system, root = self._system()
            target = posixpath.join(root, name)
            with _Part(system, target) as part, system.open_output_stream(part.path) as out:
                write_table(out, ("parquet", None), schema, chain([first], batches), self.path(name))
        return name

    def lacks(self, names: Sequence[str]) -> list[str]:
        """Which of these files of answers are not there any more. Raises StorageError."""
        with storage_errors(self.address):
            system, root = self._system()
            folder = posixpath.join(root, _ANSWERS)
            chosen = arrow_fs.FileSelector(folder, allow_not_found=True)
            there = {posixpath.basename(info.path) for info in system.get_file_info(chosen) if info.size}
        return [name for name in names if posixpath.basename(name) not in there]

    @staticmethod
    def _put(system: Any, target: str, source: Any) -> None:
        with _Part(system, target) as part, system.open_output_stream(part.path) as out:
            if isinstance(source, bytes):
                out.write(source)
                return
            while piece := source.read(MIB):
                out.write(piece)


class _Part:
    """A file that gets its name when it is whole. An object store does so itself."""

    def __init__(self, system: Any, target: str) -> None:
        self._system, self._target = system, target
        self._moves = isinstance(system, arrow_fs.LocalFileSystem)
        self.path = f"{target}.{secrets.token_hex(8)}.part" if self._moves else target
        if self._moves:
            system.create_dir(posixpath.dirname(target), recursive=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if not self._moves:
            return
        if kind is not None:
            with suppress(OSError):
                self._system.delete_file(self.path)
            return
        # What the ledger is told of is on the disk.
        with Path(self.path).open("rb") as file:
            os.fsync(file.fileno())
        self._system.move(self.path, self._target)
        sync_folder(Path(self._target).parent)


def _input(root: str, sha256: str) -> str:
    return posixpath.join(root, "inputs", f"{sha256}.jsonl")


def read_file(path: str) -> Any:
    """The table in a file of answers. Raises StorageError."""
    with storage_errors(path):
        system, inner = file_system(path)
        with system.open_input_file(inner) as file:
            return parquet.read_table(file)


def staging_of(given: str | os.PathLike[str] | None, job_id: str, home: str) -> Staging:
    """The place for a job: within the one that was given, or in the driver's home.

    Raises ConfigurationError for what is no place.
    """
    base = os.fspath(posixpath.join(home, "staging") if given is None else given)
    if not base.strip() or "?" in base.partition("://")[2]:
        raise ConfigurationError(
            f"staging={base!r} names no folder: give a path, or an address such as s3://bucket/staging, whose "
            "settings come from the environment, such as AWS_ENDPOINT_URL"
        )
    if not is_address(base):
        base = str(Path(base).expanduser().absolute())
    return Staging(posixpath.join(base, job_id))
