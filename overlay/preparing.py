"""From requests to a job on disk: all of it, under its name, or nothing."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from overlay.checks import Limits
from overlay.connection import Settings
from overlay.errors import JobMismatchError, OverlayError
from overlay.flow import Flow, Pull, Work
from overlay.home import check_service, checked_job_id
from overlay.jsonl import Request
from overlay.lines import open_lines, split, storage_errors, sync_folder
from overlay.lock import JobLock
from overlay.records import JobOptions, JobRecord, Unit
from overlay.spool import Spool, Spooled
from overlay.store import Ledger

Requests: TypeAlias = Iterable[Request] | AsyncIterable[Request] | str | os.PathLike[str]
"""Requests as an iterable, under AsyncClient also an asynchronous one, or the path of a JSONL file."""

_CHUNK = 1000


def prepare(
    settings: Settings, requests: Requests, *, job_id: str | None, options: JobOptions, limits: Limits
) -> Flow[str]:
    """Make sure that there is a job of these requests, and give its id."""
    if job_id is not None:
        checked_job_id(job_id)
    known = job_id is not None and (yield Work((settings.home / "jobs" / job_id).exists))
    path = Path(requests) if isinstance(requests, str | os.PathLike) else None
    source = _iterator(path if path is not None else requests)
    with ExitStack() as stack:
        folder: Path = yield Work(partial(_spool_folder, settings, stack))
        spool = Spool(folder, limits, max_tokens=options.max_enqueued_tokens, source=path, keep=not known)
        stack.callback(spool.close)
        while chunk := (yield Pull(source, _CHUNK)):
            yield Work(partial(spool.add, chunk))
        spooled: Spooled = yield Work(spool.finish)
        if job_id is None:
            place = hashlib.sha256(settings.base_url.encode()).hexdigest()
            job_id = f"{spooled.digest[:20]}-{place[:8]}"
        record = JobRecord(
            id=job_id,
            digest=spooled.digest,
            base_url=settings.base_url,
            created_at=settings.clock.time(),
            requests=spooled.requests,
            options=options,
        )
        yield Work(partial(_publish, settings, folder, record, spooled.units))
    return job_id


def _iterator(
    requests: Path | Iterable[Request] | AsyncIterable[Request] | Any,
) -> Iterator[Any] | AsyncIterator[Any]:
    if isinstance(requests, Path):
        return _file_lines(requests)
    if isinstance(requests, AsyncIterable):
        return aiter(requests)
    return iter(requests)


def _file_lines(path: Path) -> Iterator[bytes]:
    with open_lines(path) as file:
        yield from split(file)


def _spool_folder(settings: Settings, stack: ExitStack) -> Path:
    """A fresh folder that vanishes with the stack, unless it has become a job's; those of the dead go too."""
    spools = settings.home / "spool"
    with storage_errors(settings.home):
        spools.mkdir(parents=True, exist_ok=True)
        for left in spools.iterdir():
            with suppress(OverlayError, OSError), JobLock(left, left.name):
                shutil.rmtree(left, ignore_errors=True)
        folder = spools / secrets.token_hex(8)
        folder.mkdir(mode=0o700)
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        stack.enter_context(JobLock(folder, folder.name))
    return folder


def _publish(settings: Settings, folder: Path, record: JobRecord, units: list[Unit]) -> None:
    """Give the spool the job's name, in one step; or find that the job is there, and the same."""
    target = settings.home / "jobs" / record.id
    if units and not target.exists():
        with storage_errors(folder):
            target.parent.mkdir(exist_ok=True)
            ledger = Ledger(folder / "ledger.db", create=True)
            try:
                with ledger.transaction():
                    ledger.save_job(record)
                    ledger.save(*units)
            finally:
                ledger.close()
            sync_folder(folder / "shards")
            sync_folder(folder)
            with suppress(OSError):  # another process was first
                folder.rename(target)
                sync_folder(target.parent)
    _compare(target, record)


def _compare(target: Path, record: JobRecord) -> None:
    ledger = Ledger(target / "ledger.db")
    try:
        known = ledger.job()
    finally:
        ledger.close()
    if known.digest != record.digest:
        raise JobMismatchError(
            f"job {record.id} was made of {known.requests:,} other requests; these are {record.requests:,}. "
            "Use another id, or delete the job",
            job_id=record.id,
        )
    check_service(known, record.base_url)
