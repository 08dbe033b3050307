"""The answers of a home folder's jobs, to be found again by what was asked.

Answers are reused from ended jobs at the same base URL, and only successes.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from overlay.errors import OverlayError, StorageError
from overlay.jobs.identity import Earlier, FirstAsked, Place, Table, identity
from overlay.jobs.spool import lines_of, results_path, shard_path
from overlay.jobs.views import Job
from overlay.lines import open_lines, split
from overlay.results.result import Result


class KnownAnswers(Table):
    """The good answers of a home folder's ended jobs at one base URL, by request. In the home, as `answers.db`.

    It holds where an answer is, and its checksum: the answers stay in the folders of their jobs, and go with them.
    """

    def __init__(self, home: Path, base_url: str) -> None:
        super().__init__(
            home / "answers.db",
            "CREATE TABLE IF NOT EXISTS job (id TEXT, created REAL, PRIMARY KEY (id, created)) WITHOUT ROWID",
            """CREATE TABLE IF NOT EXISTS answer (service BLOB, identity BLOB, job TEXT, shard INTEGER,
            start INTEGER, size INTEGER, crc INTEGER, PRIMARY KEY (service, identity)) WITHOUT ROWID""",
        )
        self._jobs = home / "jobs"
        self._base_url = base_url
        self._service = hashlib.blake2b(base_url.encode(), digest_size=8).digest()

    def take_in(self, job: Job) -> None:
        """Learn where the answers of a job are, once; of one that cannot be read, nothing. Raises StorageError."""
        if not job.ended or job.base_url != self._base_url:
            return
        created = job.created.timestamp()
        if self.run("SELECT 1 FROM job WHERE id = ? AND created = ?", job.id, created).fetchone():
            return
        folder = self._jobs / job.id
        self.run("BEGIN IMMEDIATE")
        try:
            for shard in sorted({shard.number for shard in job.shards}):
                self._take_in_shard(folder, job.id, shard)
            self.run("INSERT OR REPLACE INTO job VALUES (?, ?)", job.id, created)
        except OverlayError:  # damaged, or just being pruned
            self.run("ROLLBACK")
            return
        except BaseException:
            self.run("ROLLBACK")
            raise
        self.run("COMMIT")

    def _take_in_shard(self, folder: Path, job_id: str, shard: int) -> None:
        start = 0
        with open_lines(results_path(folder, shard)) as file:
            for request, line in zip(lines_of(shard_path(folder, shard, 0)), split(file), strict=False):
                if Result(line).ok:
                    row = (
                        self._service,
                        identity(request, ""),
                        job_id,
                        shard,
                        start,
                        len(line),
                        zlib.crc32(line),
                    )
                    self.run("INSERT OR REPLACE INTO answer VALUES (?, ?, ?, ?, ?, ?, ?)", *row)
                start += len(line)

    def find(self, identity: bytes) -> Result | None:
        """The answer to an identical request, if there is a good one and it is still on this disk."""
        row = self.run(
            "SELECT job, shard, start, size, crc FROM answer WHERE service = ? AND identity = ?",
            self._service,
            identity,
        ).fetchone()
        if row is None:
            return None
        job, shard, start, size, crc = row
        with suppress(OSError), results_path(self._jobs / job, shard).open("rb", buffering=0) as file:
            line = os.pread(file.fileno(), size, start)
            if zlib.crc32(line) == crc:
                return Result(line)
        return None


def results_at(folder: Path, places: Iterator[Place]) -> Iterator[Result]:
    """The results of a job's requests, wherever they are. Raises StorageError."""
    starts: dict[int, list[int]] = {}
    for place in places:
        path = results_path(folder, place.shard)
        if place.shard not in starts:
            starts[place.shard] = list(_starts(path))
        begins, ends = starts[place.shard][place.number : place.number + 2]
        try:
            with path.open("rb", buffering=0) as file:
                yield Result(os.pread(file.fileno(), ends - begins, begins))
        except OSError as error:
            raise StorageError(f"{path}: {error}", path=path) from error


def _starts(path: Path) -> Iterator[int]:
    """Where each line begins, and where the last one ends."""
    start = 0
    with open_lines(path) as file:
        for line in split(file):
            yield start
            start += len(line)
    yield start


def asked_earlier(home: Path, base_url: str, folder: Path, jobs: Iterable[Job], *, dedupe: bool) -> Earlier:
    """What `jobs` have answered and, with `dedupe`, what the job that is put together in `folder` asks twice.

    Raises StorageError.
    """
    answers: KnownAnswers | None = None
    for job in jobs:
        answers = answers or KnownAnswers(home, base_url)
        answers.take_in(job)
    return Earlier(answers, FirstAsked(folder / "asked") if dedupe else None)
