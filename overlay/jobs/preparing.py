"""From requests to a job on disk: all of it, under its name, or nothing."""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import shutil
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import TypeAlias

from overlay.costs.estimate import Tally
from overlay.errors import ConfigurationError, JobMismatchError, OverlayError
from overlay.flows.steps import Flow, Pull, Work
from overlay.jobs.budget import Budget
from overlay.jobs.differing import difference, note
from overlay.jobs.home import SPOOLING, check_disk, check_service, checked_job_id, home_id, ready, stored_home
from overlay.jobs.identity import Earlier
from overlay.jobs.known_answers import asked_earlier
from overlay.jobs.ledger import Ledger
from overlay.jobs.lock import JobLock
from overlay.jobs.reading import list_jobs
from overlay.jobs.records import JobOptions, JobRecord, Unit
from overlay.jobs.spool import Spool, Spooled
from overlay.lines import MIB, storage_errors, sync_folder
from overlay.private import make_folder
from overlay.requests.request import Request
from overlay.requests.request_files import file_lines
from overlay.services import Limits, ServiceProfile
from overlay.wire.connection import Settings

Requests: TypeAlias = Iterable[Request] | AsyncIterable[Request] | str | os.PathLike[str]
"""Requests as an iterable, under AsyncClient also an asynchronous one, or the path of a JSONL file."""

JobName: TypeAlias = str | Callable[[str], str]
"""A job's id, or a function that is given the default id, once the requests are on disk, and returns the id to use:
what it raises stops the job before there is one."""

_FIRST_CHUNK, _LARGEST_CHUNK = 16, 1000
"""Requests in memory at once; fewer where they are long."""
_CHUNK_BYTES = 8 * MIB
_log = logging.getLogger("overlay")
_STALE = 3600.0
"""Seconds after which a folder that is still hidden, normally for moments, is a dead process's."""


def prepare(
    settings: Settings,
    requests: Requests,
    *,
    job_id: JobName | None,
    options: JobOptions,
    limits: Limits | None,
    bodies: bool = False,
    budget: Budget | None = None,
    reuse: bool = False,
    dedupe: bool = False,
) -> Flow[str]:
    """Make sure that there is a job of these requests, and return its id. A new one must stay within the budget."""
    check_disk(settings, "a job of requests")
    given = None if callable(job_id) or job_id is None else checked_job_id(job_id)
    known = given is not None and (yield Work((settings.home / "jobs" / given).exists))
    with ExitStack() as stack:
        folder: Path = yield Work(partial(spool_folder, settings, stack))
        before: Earlier | None = None
        if (reuse or dedupe) and not known:
            jobs = (yield from list_jobs(settings)) if reuse else []
            look = partial(asked_earlier, settings.home, settings.base_url, folder, jobs, dedupe=dedupe)
            found: Earlier = yield Work(look)
            before = found
            stack.callback(found.close)
        spooled = yield from take_in(
            settings.service,
            requests,
            folder,
            stack,
            limits=limits,
            max_tokens=options.max_enqueued_tokens,
            earlier=before,
            keep=not known,
            bodies=bodies,
            tally=budget.tally if budget is not None else None,
            note=note if known else None,
        )
        if before is not None:
            yield Work(before.close)  # what it keeps in the folder must not be published with it
        name = given or _derived_id(settings, spooled)
        if callable(job_id):
            name = checked_job_id((yield Work(partial(job_id, name))))
        if budget is not None and not (yield Work((settings.home / "jobs" / name).exists)):
            limit = partial(
                budget.check, window=options.completion_window, max_tokens=options.max_enqueued_tokens
            )
            yield Work(partial(limit, settings, spooled))
        record = JobRecord(
            id=name,
            digest=spooled.digest,
            base_url=settings.base_url,
            created_at=settings.clock.time(),
            requests=spooled.requests,
            options=options,
            home=(yield Work(partial(home_id, settings))),
            counted_by=spooled.counted_by,
            source=_file_name(requests) if isinstance(requests, str | os.PathLike) else None,
        )
        yield Work(partial(publish, settings, folder, record, spooled.units))
    return record.id


def _file_name(path: str | os.PathLike[str]) -> str:
    return os.fsencode(Path(path).name).decode("utf-8", "replace")


def identify(settings: Settings, requests: Requests, *, limits: Limits | None = None) -> Flow[str]:
    """The id that a job of these requests has by default. Nothing is stored or sent.

    Raises InvalidInputError with every bad request.
    """
    with ExitStack() as stack:
        folder: Path = yield Work(partial(spool_folder, settings, stack))
        spooled = yield from take_in(
            settings.service, requests, folder, stack, limits=limits, max_tokens=None, keep=False
        )
    return _derived_id(settings, spooled)


def _derived_id(settings: Settings, spooled: Spooled) -> str:
    place = hashlib.sha256(settings.base_url.encode()).hexdigest()
    return f"{spooled.digest[:20]}-{place[:8]}"


def take_in(
    service: ServiceProfile,
    requests: Requests,
    folder: Path,
    stack: ExitStack,
    *,
    limits: Limits | None,
    max_tokens: int | None,
    keep: bool,
    bodies: bool = False,
    tally: Tally | None = None,
    earlier: Earlier | None = None,
    note: Callable[[bytes, str], bytes] | None = None,
) -> Flow[Spooled]:
    """Put requests on disk; or, with `keep=False`, only check them, and add them up where there is a tally."""
    limits = service.limits if limits is None else limits
    path = Path(requests) if isinstance(requests, str | os.PathLike) else None
    source = _iterator(requests, limits.line_bytes)
    spool = Spool(
        folder,
        limits,
        service,
        max_tokens=max_tokens,
        source=path,
        keep=keep,
        counts=tally is not None,
        bodies=bodies,
        tally=tally,
        earlier=earlier,
        note=note,
    )
    stack.callback(spool.close)
    at_most = _FIRST_CHUNK
    while chunk := (yield Pull(source, at_most)):
        longest = yield Work(partial(spool.add, chunk))
        at_most = max(1, min(_LARGEST_CHUNK, _CHUNK_BYTES // longest))
    spooled: Spooled = yield Work(spool.finish)
    if spool.warned:
        _log.warning("%s requests may be refused; the first: %s", f"{spool.warned:,}", spool.warnings[0])
    return spooled


def _iterator(requests: Requests, line_bytes: int) -> Iterator[Request | bytes] | AsyncIterator[Request]:
    if isinstance(requests, str | os.PathLike):
        return file_lines(Path(requests), line_bytes)
    if isinstance(requests, AsyncIterable):
        return aiter(requests)
    try:
        return iter(requests)
    except TypeError:
        raise ConfigurationError(
            f"requests must be an iterable of Request, or a path, not {type(requests).__name__}"
        ) from None


def spool_folder(settings: Settings, stack: ExitStack) -> Path:
    """A new folder, removed with the stack unless it has become a job's. Removes those of dead processes, too."""
    spools = settings.home / "spool"
    with storage_errors(settings.home):
        ready(settings.home)
        for left in spools.iterdir():
            with suppress(OverlayError, OSError):
                if not left.name.startswith("."):
                    with _spool_lock(left):
                        shutil.rmtree(left, ignore_errors=True)
                elif time.time() - left.stat().st_mtime > _STALE:
                    shutil.rmtree(left, ignore_errors=True)
        # Hidden until it is locked, or another process might take it for a dead one's.
        folder = spools / secrets.token_hex(8)
        hidden = spools / f".{folder.name}"
        make_folder(hidden)
        for path in (hidden, folder):
            stack.callback(shutil.rmtree, path, ignore_errors=True)
        stack.enter_context(_spool_lock(hidden))
        hidden.rename(folder)
    return folder


def _spool_lock(folder: Path) -> JobLock:
    """Held while requests come in. Not the job's lock: that must be free as soon as the folder is the job's."""
    return JobLock(folder, folder.name, name=SPOOLING)


def publish(settings: Settings, folder: Path, record: JobRecord, units: list[Unit]) -> None:
    """Give the spool the job's name, in one step; or check that the job there is the same."""
    if (stored := stored_home(settings)) is not None:
        if not stored.create(record):
            _compare(stored.copied(record.id), record, folder)
        return
    target = settings.home / "jobs" / record.id
    if (units or record.elsewhere) and not target.exists():
        with storage_errors(folder):
            ledger = Ledger(folder / "ledger.db", create=True)
            try:
                with ledger.transaction():
                    ledger.save_job(record)
                    ledger.save(*units)
            finally:
                ledger.close()
            for name in ("shards", "results"):
                if (folder / name).exists():
                    sync_folder(folder / name)
            sync_folder(folder)
            try:
                folder.rename(target)
            except OSError:
                if not target.exists():  # otherwise another process was first
                    raise
            else:
                (target / SPOOLING).unlink(missing_ok=True)
                sync_folder(target.parent)
    _compare(target, record, folder)


def _compare(target: Path, record: JobRecord, spool: Path) -> None:
    ledger = Ledger(target / "ledger.db")
    try:
        known = ledger.job()
    finally:
        ledger.close()
    if known.digest != record.digest and record.elsewhere and known.elsewhere:
        raise JobMismatchError(
            f"job {record.id} exists, and differs in its template, its key or the key's type, or its prefix; "
            "use another id, or delete the job",
            job_id=record.id,
        )
    if known.digest != record.digest:
        refused = ", all of which the service refused" if known.state == "failed" else ""
        raise JobMismatchError(
            f"job {record.id} exists with different requests ({known.requests:,} there, {record.requests:,} "
            f"here): {difference(target, spool)}{refused}; use another id, with reuse=True (--reuse) to pay only "
            "for what is new, or delete the job",
            job_id=record.id,
        )
    check_service(known, record.base_url)
