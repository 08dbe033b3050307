"""What there is of jobs on this machine, read without the service and without a job's lock."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from overlay.errors import JobNotEndedError, LedgerError, OverlayError, StorageError
from overlay.flows.steps import Flow, Work
from overlay.jobs.home import check_here, existing, folder_of, home_id, job_names, view_of
from overlay.jobs.merging import never_ran
from overlay.jobs.spool import lines_of, read_in_order, results_path, shard_path
from overlay.jobs.views import Job
from overlay.pages import objects_html
from overlay.results.failures import Failure, failures_in
from overlay.results.files import read_results
from overlay.results.iterables import Opened
from overlay.results.result import Result, failed_result
from overlay.results.shapes import NOT_YET, custom_id_bytes
from overlay.wire.connection import Settings

_SHOWN = 20
_log = logging.getLogger("overlay")


def retrieve(settings: Settings, job_id: str) -> Flow[Job]:
    """A job as recorded in its ledger, without asking the service. Raises JobNotFoundError, LedgerError."""
    folder = yield Work(partial(existing, settings, job_id))
    job: Job = yield Work(partial(view_of, folder))
    return job


def own_id(settings: Settings) -> Flow[str]:
    """The id of the home, by which workers name what they upload: see `upload_shards`. Raises StorageError."""
    name: str = yield Work(partial(home_id, settings))
    return name


class JobList(list[Job]):
    """Jobs, as a list that a notebook shows as a table."""

    def _repr_html_(self) -> str:
        return objects_html(self[:_SHOWN], more=len(self) > _SHOWN)


def list_jobs(settings: Settings) -> Flow[list[Job]]:
    """All jobs in the home folder, newest first; what cannot be read is logged, and left to `recover`."""

    def read() -> list[Job]:
        found: list[Job] = []
        for name in job_names(settings):
            try:
                found.append(view_of(folder_of(settings, name)))
            except (OverlayError, OSError, ValueError, TypeError, OverflowError) as error:
                _log.warning("%s is left out: %s", name, error)
        return JobList(sorted(found, key=lambda job: job.created, reverse=True))

    jobs: list[Job] = yield Work(read)
    return jobs


def failures(settings: Settings, job_id: str) -> Flow[list[Failure]]:
    """The failures of a job so far by their code, each with how many there are and an example, most frequent first.

    From this machine's disk: neither the service nor the job's lock is needed. Raises JobNotFoundError.
    """
    folder: Path = yield Work(partial(existing, settings, job_id))

    def count() -> list[Failure]:
        return failures_in(_so_far(folder, _unfinished(folder)))

    found: list[Failure] = yield Work(count)
    return found


def open_results(job_id: str, settings: Settings, stack: ExitStack, *, whole: bool = True) -> Flow[Opened]:
    """The results of a job, from disk: if `whole`, of one that has ended; else as far as there are any."""
    folder: Path = yield Work(partial(existing, settings, job_id))
    if not whole:
        so_far = _so_far(folder, (yield Work(partial(_unfinished, folder))))
        stack.callback(so_far.close)
        return Opened(so_far)
    results: Generator[Result] = yield Work(partial(_ended, folder))
    stack.callback(results.close)
    return Opened(results)


def ended_results(settings: Settings, job_id: str) -> Generator[Result]:
    """The results of a job that has ended, from disk. Raises JobNotFoundError, JobNotEndedError, LedgerError."""
    return _ended(existing(settings, job_id))


def _ended(folder: Path) -> Generator[Result]:
    job = view_of(folder)
    check_here(job)
    if not job.ended:
        raise JobNotEndedError(
            f"job {job.id} is {job.progress:.0%} done; results are available when it ends, or those so far as "
            "partial results",
            job_id=job.id,
        )
    return _read(folder, job)


def _read(folder: Path, job: Job) -> Generator[Result]:
    order = folder / "order"
    paths = {shard.number: results_path(folder, shard.number) for shard in job.shards}
    given = 0
    results = (
        map(Result, read_in_order(order, paths))
        if order.exists()
        else read_results(paths[shard] for shard in sorted(paths))
    )
    for result in results:
        given += 1
        yield result
    if given != job.requests:
        raise StorageError(
            f"{folder / 'results'}: {given:,} results instead of {job.requests:,}", path=folder / "results"
        )


def _unfinished(folder: Path) -> frozenset[int] | None:
    """The shards that are not done; None, for all that there are, if the ledger cannot be read."""
    try:
        job = view_of(folder)
    except LedgerError:
        return None
    check_here(job)
    return frozenset(shard.number for shard in job.shards if shard.state != "done")


def _so_far(folder: Path, unfinished: frozenset[int] | None) -> Generator[Result]:
    """A result for each request, in order."""
    shards = sorted(int(path.name.partition("-")[0]) for path in (folder / "shards").glob("*-0.jsonl"))
    paths = {shard: results_path(folder, shard) for shard in shards}
    order, read = folder / "order", partial(_answers, folder, unfinished)
    lines = (
        read_in_order(order, paths, read)
        if order.exists()
        else (line for path in paths.values() for line in read(path))
    )
    yield from map(Result, lines)


def _answers(folder: Path, unfinished: frozenset[int] | None, results: Path) -> Generator[bytes]:
    """The lines of a shard's results, and `not_yet` in place of those that are still to come."""
    shard = int(results.stem)
    if not results.exists():
        for line in lines_of(shard_path(folder, shard, 0)):
            yield _not_yet(custom_id_bytes(line))
        return
    may_change = unfinished is None or shard in unfinished
    for line in lines_of(results):
        yield _not_yet(custom_id_bytes(line)) if may_change and never_ran(Result(line)) else line


def _not_yet(custom_id: bytes | None) -> bytes:
    name = (custom_id or b"").decode("utf-8", "replace")
    return failed_result(name, NOT_YET, "no answer so far").raw + b"\n"
