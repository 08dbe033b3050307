"""Repairing what a crash, or a lost disk, has left: orphaned files, and jobs without a usable ledger.

Each batch of a job carries its job, shard and generation in its metadata, and its input file still has the
requests: that is enough to rebuild a ledger from. Requests that were not sent yet exist only in the shards on
this machine's disk.
"""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

from overlay.errors import ConfigurationError, FileGoneError, LedgerError, NotFoundError, OverlayError
from overlay.flows.steps import Flow, Work
from overlay.jobs.home import checked_job_id, home_id, open_job, view_of
from overlay.jobs.ledger import Ledger
from overlay.jobs.lock import JobLock
from overlay.jobs.records import JobOptions, JobRecord, Unit, UnitKey
from overlay.jobs.spool import canonical, estimated_tokens, read_in_order, shard_path
from overlay.jobs.views import Job
from overlay.lines import decode_loosely, is_object, open_lines, split, storage_errors, sync_folder
from overlay.models import Batch, File, plain_status
from overlay.operations import batches, files
from overlay.operations.marks import callers_own, mark_of
from overlay.pages import Cursor
from overlay.wire.connection import Settings

_OUR_FILE = re.compile(r"overlay-(?P<home>[0-9a-f]{12})-(?P<job>.+)-\d{5,}-\d+(?:\.\d+)?\.jsonl")
_PAGE = 100
_log = logging.getLogger("overlay")


def clean(settings: Settings, *, delete: bool = False) -> Flow[list[File]]:
    """Input files at the service that jobs of this home folder uploaded and no longer need; `delete` deletes them.

    Files of jobs that are not in this home folder, and of jobs that another process is working on, are left alone.
    """
    home = yield Work(partial(home_id, settings.home))
    orphans: list[File] = []
    needed: dict[str, frozenset[str] | None] = {}
    cursor = Cursor(None)
    while not cursor.ended:
        page = yield from files.page(settings, after=cursor.after, limit=_PAGE, purpose="batch")
        for file in page.data if cursor.takes(page) else ():
            found = _OUR_FILE.fullmatch(file.filename or "")
            if found is None or found["home"] != home:
                continue
            job_id = found["job"]
            if job_id not in needed:
                needed[job_id] = yield Work(partial(_needed_files, settings, job_id))
            keep = needed[job_id]
            if keep is not None and file.id not in keep:
                orphans.append(file)
    for orphan in orphans if delete else ():
        with suppress(NotFoundError):
            yield from files.delete(settings, orphan.id)
    return orphans


def _needed_files(settings: Settings, job_id: str) -> frozenset[str] | None:
    """The ids of the files that a job still needs; None if that is unknown."""
    try:
        with open_job(settings, job_id, None) as opened:
            units = opened.context.ledger.units()
            return frozenset(unit.file_id for unit in units if unit.file_id and unit.state != "done")
    except OverlayError:
        return None


def recover(settings: Settings) -> Flow[list[Job]]:
    """Rebuild the ledgers of jobs that have none, or a damaged one, from the service's records; returns those jobs.

    A job whose ledger is sound is left as it is. If the job's folder is gone too, its requests come from the
    service, shard by shard: those never sent are lost, and those of several models are no longer interleaved.
    A job without a folder here and without its input files there was deleted, and stays deleted.

    A job of which too little is left, or a batch that cannot be read, is logged and left out. Raises the first
    job's error, such as LedgerError, if none is rebuilt.
    """
    found = yield from _our_batches(settings)
    jobs: list[Job] = []
    problems: list[Exception] = []
    for job_id, ours in sorted(found.items()):
        folder = settings.home / "jobs" / job_id
        if (yield Work(partial(_is_sound, folder))):
            continue
        gone = not (yield Work(partial(_has_requests, folder)))
        try:
            jobs.append((yield from _rebuild(settings, job_id, ours)))
        except (OverlayError, ValueError, TypeError, OverflowError) as error:
            if gone:
                yield Work(partial(shutil.rmtree, folder, ignore_errors=True))
            if not (gone and isinstance(error, FileGoneError)):
                _log.warning("job %s is left out: %s", job_id, error)
                problems.append(error)
    if problems and not jobs:
        raise problems[0]
    return jobs


def _our_batches(settings: Settings) -> Flow[dict[str, list[Batch]]]:
    found: dict[str, list[Batch]] = {}
    cursor = Cursor(None)
    while not cursor.ended:
        page = yield from batches.page(settings, after=cursor.after, limit=_PAGE)
        for batch in page.data if cursor.takes(page) else ():
            mark = mark_of(batch.metadata)
            if mark is None or mark.job is None:
                continue
            created: object = batch.created_at
            if batch.input_file_id and (created is None or isinstance(created, int | float)):
                with suppress(ConfigurationError):
                    found.setdefault(checked_job_id(mark.job), []).append(batch)
            else:
                _log.warning(
                    "batch %s of job %s is left out: it names no input file, or no time", batch.id, mark.job
                )
    return found


def _is_sound(folder: Path) -> bool:
    try:
        view_of(folder)
    except LedgerError:
        return False
    return True


def _has_requests(folder: Path) -> bool:
    """Whether there is anything of a job on this disk that the service may not have."""
    return next((folder / "shards").glob("*.jsonl"), None) is not None


def _rebuild(settings: Settings, job_id: str, ours: list[Batch]) -> Flow[Job]:
    folder = settings.home / "jobs" / job_id
    with ExitStack() as stack:
        yield Work(partial(_take, folder, job_id, stack))
        units: list[Unit] = []
        chosen = _chosen(ours)
        for key, batch in sorted(chosen.items()):
            path = shard_path(folder, *key)
            if not (yield Work(path.exists)):
                yield from files.download(settings, batch.input_file_id or "", path)
            unit: Unit = yield Work(partial(_unit, path, key, batch))
            if unit.refused and any(key[:2] == other[:2] and key[2] < other[2] for other in chosen):
                unit.state = "split"  # too large for the account: its parts have its requests
            units.append(unit)
        units += yield Work(partial(_unsent, folder, {unit.shard for unit in units}))
        units.sort(key=lambda unit: unit.key)
        yield Work(partial(_write, settings, folder, job_id, units, ours))
    job: Job = yield Work(partial(view_of, folder))
    return job


def _take(folder: Path, job_id: str, stack: ExitStack) -> None:
    """Lock the job's folder, and move what is left of its ledger aside."""
    with storage_errors(folder):
        (folder / "shards").mkdir(parents=True, exist_ok=True)
    stack.enter_context(JobLock(folder, job_id))
    for name in ("ledger.db", "ledger.db-journal"):
        with storage_errors(folder), suppress(FileNotFoundError):
            (folder / name).rename(folder / f"{name}.damaged-{time.time():.0f}-{secrets.token_hex(2)}")


def _chosen(ours: list[Batch]) -> dict[UnitKey, Batch]:
    """One batch for each unit: the oldest that was not cancelled, if there is one."""
    chosen: dict[UnitKey, Batch] = {}
    for batch in sorted(ours, key=_preference):
        mark = mark_of(batch.metadata)
        if mark is not None:
            chosen.setdefault(mark.key, batch)
    for shard, generation, part in chosen:
        first = any(
            key[:2] == (shard, generation) and key[2] < part for key in chosen
        )  # a part of a split unit
        if generation and (shard, generation - 1, part) not in chosen and not first:
            mark = mark_of(ours[0].metadata)
            raise LedgerError(
                f"job {mark.job if mark else ''} cannot be rebuilt: the service no longer has the "
                f"batch of shard {shard}, generation {generation - 1}"
            )
    return chosen


def _preference(batch: Batch) -> tuple[bool, bool, int]:
    status = plain_status(batch.status)
    return status == "failed", status in {"cancelling", "cancelled"}, batch.created_at or 0


def _unit(path: Path, key: UnitKey, batch: Batch | None) -> Unit:
    """A unit from the file of its requests."""
    digest = hashlib.sha256()
    unit = Unit(
        shard=key[0],
        generation=key[1],
        part=key[2],
        endpoint=(batch.endpoint if batch is not None else None) or "",
        model=None,
        requests=0,
        shard_requests=0,
        bytes=0,
        tokens=0,
        sha256="",
    )
    for line in _lines(path):
        digest.update(line)
        unit.requests += 1
        unit.bytes += len(line)
        unit.tokens += estimated_tokens(line)
        if unit.requests == 1:
            unit.endpoint, unit.model = _endpoint_and_model(line, unit.endpoint)
    unit.sha256 = digest.hexdigest()
    unit.shard_requests = unit.requests
    if batch is not None:
        unit.state, unit.batch_id, unit.status = "created", batch.id, batch.status
        unit.file_id, unit.file_created_at = batch.input_file_id, batch.created_at
        unit.created_at = float(batch.created_at or 0)
    return unit


def _lines(path: Path) -> Iterator[bytes]:
    with open_lines(path) as file:
        yield from split(file)


def _endpoint_and_model(line: bytes, endpoint: str) -> tuple[str, str | None]:
    value: dict[str, Any] = decode_loosely(line) or {}
    body = value.get("body")
    model = body.get("model") if is_object(body) else None
    return endpoint or str(value.get("url")), model if isinstance(model, str) else None


def _unsent(folder: Path, sent: set[int]) -> list[Unit]:
    """The shards that exist only on this disk."""
    found: list[Unit] = []
    for path in sorted((folder / "shards").glob("*-0.jsonl")):
        shard = int(path.name.partition("-")[0])
        if shard not in sent:
            found.append(_unit(path, (shard, 0, 0), None))
    return found


def _write(settings: Settings, folder: Path, job_id: str, units: list[Unit], ours: list[Batch]) -> None:
    first = {unit.shard: unit for unit in units if unit.generation == unit.part == 0}
    begun: dict[tuple[int, int], int] = {}
    for unit in units:
        unit.shard_requests = begun.setdefault(unit.lineage, unit.requests)
    paths = {shard: shard_path(folder, shard, 0) for shard in first}
    order = folder / "order"
    digest = hashlib.sha256()
    for line in (
        read_in_order(order, paths)
        if order.exists()
        else (line for shard in sorted(paths) for line in _lines(paths[shard]))
    ):
        digest.update(canonical(line))
    batch = ours[0]
    metadata = callers_own(batch.metadata)
    record = JobRecord(
        id=job_id,
        digest=digest.hexdigest(),
        base_url=settings.base_url,
        created_at=float(min(batch.created_at or 0 for batch in ours)),
        requests=sum(unit.requests for unit in first.values()),
        options=JobOptions(metadata=metadata, completion_window=batch.completion_window or "24h"),
    )
    ledger = Ledger(folder / "ledger.db", create=True)
    try:
        with ledger.transaction():
            ledger.save_job(record)
            ledger.save(*units)
    finally:
        ledger.close()
    sync_folder(folder)
