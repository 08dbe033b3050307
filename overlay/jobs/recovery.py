"""Bringing back jobs whose ledger is damaged or gone, from what the service has of them.

Each batch of a job carries a mark in its metadata: which home folder and job it is of, which part of the job, and
what its input file is. That is enough to rebuild a ledger from. Two home folders may have jobs of one name, and a
project is shared: without being asked for by name, only this home's own jobs are brought back, and never are
batches of two origins taken for one job.
"""

from __future__ import annotations

import logging
import shutil
from functools import partial
from pathlib import Path

from overlay.errors import ConfigurationError, FileGoneError, JobNotFoundError, LedgerError, OverlayError
from overlay.flows.steps import Flow, Work
from overlay.jobs.home import check_disk, checked_job_id, view_of
from overlay.jobs.origins import Origin, Origins, list_origins
from overlay.jobs.rebuilding import rebuild
from overlay.jobs.views import Job
from overlay.wire.connection import Settings

_log = logging.getLogger("overlay")


def recover(settings: Settings, job_id: str | None = None, *, home: str | None = None) -> Flow[list[Job]]:
    """Rebuild the ledgers of jobs that have none, or a damaged one, from the service's records; returns those jobs.

    Without a `job_id`, these are the jobs of this home folder. A job of another home folder, of one that was
    lost, or of version 0.1 is brought here if it is named; `home` is the id of the folder it is from, where
    several have a job of that name. If that folder works on the job as well, its requests may be sent twice:
    use one of the two.

    A job whose ledger is sound is left as it is. If the job's folder is gone too, its requests come from the
    service, shard by shard: those never sent are lost, and those of several models are no longer interleaved. A
    file is taken for a shard only if its size and digest are those that its batch names. A job without a folder
    here and without its input files there was deleted, and stays deleted.

    A job of which too little is left, whose files are others, or whose batches cannot be read is logged and left
    out.

    Raises the first such job's error, such as LedgerError, if no job is rebuilt; ConfigurationError if several home
    folders have a job of that name; JobNotFoundError if none has.
    """
    check_disk(settings, "recovering jobs")
    if job_id is not None:
        checked_job_id(job_id)
        if (yield Work(partial(_is_sound, _folder(settings, job_id)))):
            return []
    seen = yield from list_origins(settings)
    wanted = (
        [origin for origin in seen.found if origin.here] if job_id is None else _named(seen, job_id, home)
    )
    jobs: list[Job] = []
    problems: list[Exception] = []
    for origin in wanted:
        folder = _folder(settings, origin.job_id)
        if (yield Work(partial(_is_sound, folder))):
            continue
        gone = not (yield Work(partial(_has_requests, folder)))
        try:
            batches, complete = origin.batches, seen.complete
            jobs.append((yield from rebuild(settings, origin.job_id, batches, complete=complete)))
        except (OverlayError, ValueError, TypeError, OverflowError) as error:
            if gone:
                yield Work(partial(shutil.rmtree, folder, ignore_errors=True))
            if not (gone and isinstance(error, FileGoneError)):
                _log.warning("job %s is left out: %s", origin.job_id, error)
                problems.append(error)
    if job_id is None:
        problems += yield Work(partial(_only_by_name, settings, seen))
    if problems and not jobs:
        raise problems[0]
    return jobs


def _named(seen: Origins, job_id: str, home: str | None) -> list[Origin]:
    """The one origin that is meant by a job's name, and perhaps a home folder's."""
    found = [origin for origin in seen.of(job_id) if home is None or origin.home == home]
    here = [origin for origin in found if origin.here]
    if not found:
        raise JobNotFoundError(f"the service has no batches of a job {job_id}", job_id=job_id)
    if here or len(found) == 1:
        return here or found
    several = "; ".join(
        f"{origin} ({len(origin.batches):,} batches, such as {origin.batches[0].id})" for origin in found
    )
    raise ConfigurationError(f"several home folders have a job {job_id}; say which one with home=: {several}")


def _only_by_name(settings: Settings, seen: Origins) -> list[OverlayError]:
    """Complaints about damaged jobs in this home folder whose batches do not say that they are of this home."""
    problems: list[OverlayError] = []
    for job_id in sorted({origin.job_id for origin in seen.found}):
        folder, found = _folder(settings, job_id), seen.of(job_id)
        if folder.is_dir() and not _is_sound(folder) and not any(origin.here for origin in found):
            problems.append(
                LedgerError(
                    f"job {job_id} has no usable ledger, and its batches are from {found[0]}; if it is that job, "
                    f"recover it by name: `overlay jobs recover {job_id}`",
                    path=folder / "ledger.db",
                )
            )
    return problems


def _folder(settings: Settings, job_id: str) -> Path:
    return settings.home / "jobs" / job_id


def _is_sound(folder: Path) -> bool:
    try:
        view_of(folder)
    except LedgerError:
        return False
    return True


def _has_requests(folder: Path) -> bool:
    """Whether there is anything of a job on this disk that the service may not have."""
    return next((folder / "shards").glob("*.jsonl"), None) is not None
