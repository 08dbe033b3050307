"""A ledger from the batches of a job: which requests each was of, and what was never sent.

Requests that were sent are at the service, in input files; those that were not are only in the shards on this
machine's disk. A file is taken for what a batch's mark says that it is: size and digest must agree.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

from overlay.errors import LedgerError
from overlay.flows.steps import Flow, Work
from overlay.jobs.home import home_id, view_of
from overlay.jobs.identity import canonical
from overlay.jobs.ledger import Ledger
from overlay.jobs.lock import JobLock
from overlay.jobs.rebuilt_units import lines_of, settle_parts, unit_of
from overlay.jobs.records import JobOptions, JobRecord, Unit, UnitKey
from overlay.jobs.repeats import restore
from overlay.jobs.spool import read_in_order, shard_path
from overlay.jobs.views import Job
from overlay.lines import (
    storage_errors,
    sync_folder,
)
from overlay.models import Batch
from overlay.operations import files
from overlay.operations.marks import Mark, callers_own, input_of, mark_of
from overlay.private import make_folder
from overlay.statuses import plain_status
from overlay.wire.connection import Settings


def rebuild(settings: Settings, job_id: str, batches: Sequence[Batch], *, complete: bool) -> Flow[Job]:
    """Write a job's ledger anew, from its batches, all of one origin. `complete` if these are certainly all.

    Raises LedgerError if too little is left, if a file is not what its batch says, or if requests on this disk
    may have been sent with a batch that was not seen.
    """
    folder = settings.home / "jobs" / job_id
    with ExitStack() as stack:
        yield Work(partial(_take, folder, job_id, stack))
        chosen: dict[UnitKey, Batch] = yield Work(partial(_chosen, folder, job_id, batches))
        units: dict[UnitKey, Unit] = {}
        for key, batch in sorted(chosen.items()):
            path = shard_path(folder, *key)
            here: bool = yield Work(path.exists)
            if not here:
                yield from files.download(settings, batch.input_file_id or "", path)
            units[key] = yield Work(partial(_sent, path, key, batch, here=here))
        unsent: list[Unit] = yield Work(partial(settle_parts, folder, units))
        unsent += yield Work(partial(_unsent, folder, units))
        if unsent and not complete:
            raise LedgerError(
                f"job {job_id} cannot be rebuilt now: the service's list of batches cannot be read to its end, so "
                f"shard {unsent[0].shard} may or may not have been sent; try again later",
                path=folder / "ledger.db",
            )
        units |= {unit.key: unit for unit in unsent}
        home: str = yield Work(partial(home_id, settings))
        yield Work(partial(_write, folder, _record(settings, job_id, home, batches), units))
    job: Job = yield Work(partial(view_of, folder))
    return job


def _take(folder: Path, job_id: str, stack: ExitStack) -> None:
    """Lock the job's folder, and move what is left of its ledger aside."""
    with storage_errors(folder):
        for each in (folder, folder / "shards"):
            make_folder(each)
    stack.enter_context(JobLock(folder, job_id))
    for name in ("ledger.db", "ledger.db-journal"):
        with storage_errors(folder), suppress(FileNotFoundError):
            (folder / name).rename(folder / f"{name}.damaged-{time.time():.0f}-{secrets.token_hex(2)}")


def _chosen(folder: Path, job_id: str, batches: Sequence[Batch]) -> dict[UnitKey, Batch]:
    """One batch for each unit: the oldest that was not cancelled, if there is one.

    A job may have been deleted and another been given its name: the requests on this disk tell which batches are
    meant or, without any, the newest batch does.
    """
    marked: dict[UnitKey, list[tuple[Mark, Batch]]] = {}
    for batch in sorted(batches, key=_preference):
        mark = mark_of(batch.metadata)
        if mark is not None:
            marked.setdefault(mark.key, []).append((mark, batch))
    chosen: dict[UnitKey, Batch] = {}
    for key, found in marked.items():
        path = shard_path(folder, *key)
        meant = _input(path) if path.exists() else max(found, key=lambda each: _when(each[1]))[0].input
        fitting = [batch for mark, batch in found if mark.input in {meant, None}]
        if not fitting:
            raise LedgerError(
                f"{path}: not the requests of {found[0][1].id}, which is of job {job_id} by its mark; move the "
                "file away to recover that job, or run these requests under another id",
                path=path,
            )
        chosen[key] = fitting[0]
    for shard, generation, part in chosen:
        earlier = [key[2] for key in chosen if key[:2] == (shard, generation - 1)]
        # A part that a split has made in this generation has none before it: the unit that was split has. A retry
        # of a shard that was split is of the whole shard.
        before = any(other < part for other in earlier) if part else bool(earlier)
        if generation and part not in earlier and not before:
            raise LedgerError(
                f"job {job_id} cannot be rebuilt: the service no longer has the batch of shard {shard}, "
                f"generation {generation - 1}",
                path=folder / "ledger.db",
            )
    return chosen


def _preference(batch: Batch) -> tuple[bool, bool, float]:
    status = plain_status(batch.status)
    return status == "failed", status in {"cancelling", "cancelled"}, _when(batch)


def _when(batch: Batch) -> float:
    return batch.created.timestamp() if batch.created is not None else 0.0


def _input(path: Path) -> tuple[int, str]:
    """What a mark would say of a file."""
    digest = hashlib.sha256()
    size = 0
    for line in lines_of(path):
        digest.update(line)
        size += len(line)
    return input_of(size, digest.hexdigest())


def _sent(path: Path, key: UnitKey, batch: Batch, *, here: bool) -> Unit:
    """A unit that has a batch. Raises LedgerError if its file, fetched unless it was `here`, is another."""
    unit = unit_of(path, key)
    mark = mark_of(batch.metadata)
    if not _agrees(unit, mark, batch):
        if not here:
            path.unlink(missing_ok=True)
        raise LedgerError(
            f"{batch.id} says that it is shard {unit.shard} of job {mark.job if mark else ''}, but input file "
            f"{batch.input_file_id} has other requests ({unit.requests:,}, {unit.bytes:,} bytes)",
            path=path,
        )
    unit.endpoint = batch.endpoint or unit.endpoint
    unit.state, unit.batch_id, unit.status = "created", batch.id, batch.status
    unit.file_id, unit.file_created_at = batch.input_file_id, int(_when(batch)) or None
    unit.created_at = _when(batch)
    unit.nonce = mark.nonce if mark else None
    return unit


def _agrees(unit: Unit, mark: Mark | None, batch: Batch) -> bool:
    """Whether a file is what its batch's mark says. Version 0.1 did not say: the number of requests has to do."""
    if mark is not None and mark.input is not None:
        return mark.input == input_of(unit.bytes, unit.sha256)
    counts = batch.request_counts
    return counts is None or not counts.total or counts.total == unit.requests


def _unsent(folder: Path, units: Mapping[UnitKey, Unit]) -> list[Unit]:
    """The shards that exist only on this disk."""
    known = {key[0] for key in units}
    found = sorted(int(path.name.partition("-")[0]) for path in (folder / "shards").glob("*-0.jsonl"))
    unsent = [unit_of(shard_path(folder, shard, 0), (shard, 0, 0)) for shard in found if shard not in known]
    return [restore(folder, unit) for unit in unsent]


def _record(settings: Settings, job_id: str, home: str, batches: Sequence[Batch]) -> JobRecord:
    """A job as far as its batches tell."""
    first = batches[0]
    return JobRecord(
        id=job_id,
        digest="",
        base_url=settings.base_url,
        created_at=min(map(_when, batches)),
        requests=0,
        options=JobOptions(
            metadata=callers_own(first.metadata), completion_window=first.completion_window or "24h"
        ),
        home=home,
    )


def _write(folder: Path, record: JobRecord, units: Mapping[UnitKey, Unit]) -> None:
    ordered = [units[key] for key in sorted(units)]
    begun: dict[tuple[int, int], int] = {}
    for unit in ordered:
        unit.shard_requests = begun.setdefault(unit.lineage, unit.requests)
    first = [unit for unit in ordered if unit.generation == unit.part == 0]
    paths = {unit.shard: shard_path(folder, *unit.key) for unit in first}
    order = folder / "order"
    digest = hashlib.sha256()
    for line in (
        read_in_order(order, paths)
        if order.exists()
        else (line for shard in sorted(paths) for line in lines_of(paths[shard]))
    ):
        digest.update(canonical(line))
    record.digest, record.requests = digest.hexdigest(), sum(unit.requests for unit in first)
    ledger = Ledger(folder / "ledger.db", create=True)
    try:
        with ledger.transaction():
            ledger.save_job(record)
            ledger.save(*ordered)
    finally:
        ledger.close()
    sync_folder(folder)
