"""Jobs that nobody needs any more, removed from this machine's disk."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path

from overlay.errors import ConfigurationError, JobLockedError, LedgerError, StorageError
from overlay.flows.steps import Flow, Work
from overlay.jobs.home import check_disk, remove, view_of
from overlay.jobs.lock import JobLock
from overlay.jobs.views import Job
from overlay.wire.clock import Seconds, seconds
from overlay.wire.connection import Settings


def prune(settings: Settings, *, older_than: Seconds, dry_run: bool = False) -> Flow[list[Job]]:
    """Remove the requests, ledgers and results of jobs that ended long ago from this machine, and return them.

    A job is removed once it has ended and nothing has happened to it for `older_than`, a timedelta or seconds;
    `dry_run` only tells which. Nothing is deleted at the service. Jobs that have not ended, that another process
    is working on, or whose ledger cannot be read, stay.

    Raises StorageError if one cannot be removed.
    """
    check_disk(settings, "pruning")
    age = seconds(older_than)
    if not age >= 0:
        raise ConfigurationError(f"older_than must be zero or more, not {older_than!r}")

    def act() -> list[Job]:
        home = settings.home / "jobs"
        before = settings.clock.time() - age
        removed: list[Job] = []
        for folder in sorted(home.iterdir()) if home.is_dir() else ():
            with suppress(LedgerError, JobLockedError, FileNotFoundError):
                if (job := _pruned(settings, folder, before, dry_run=dry_run)) is not None:
                    removed.append(job)
        return removed

    jobs: list[Job] = yield Work(partial(act))
    return jobs


def _pruned(settings: Settings, folder: Path, before: float, *, dry_run: bool) -> Job | None:
    # Looked at before it is opened: a ledger of an earlier version is written to by that.
    touched = (folder / "ledger.db").stat().st_mtime
    if touched > before or not _may_be_removed(view_of(folder), before):
        return None
    with JobLock(folder, folder.name):
        job = view_of(folder)
        if not _may_be_removed(job, before):  # somebody has gone on with it meanwhile
            return None
        if not dry_run:
            remove(settings, folder)
            if folder.exists():
                raise StorageError(f"{folder}: cannot be removed", path=folder)
        return job


def _may_be_removed(job: Job, before: float) -> bool:
    return job.ended and job.created.timestamp() <= before
