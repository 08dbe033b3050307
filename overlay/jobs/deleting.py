"""Removing a job from this machine, and what it has at the service."""

from __future__ import annotations

import logging
from contextlib import suppress
from functools import partial

from overlay.errors import APIError, ConflictError, JobNotEndedError, LedgerError, NotFoundError
from overlay.flows.steps import Flow, Work
from overlay.jobs.context import JobContext
from overlay.jobs.home import existing, remove, stored_home
from overlay.jobs.lock import JobLock
from overlay.jobs.opening import opened_job
from overlay.jobs.records import Unit
from overlay.operations.adopting import search
from overlay.operations.batches import cancel
from overlay.operations.files import delete as delete_file
from overlay.wire.connection import Settings

_log = logging.getLogger("overlay")


def delete(
    settings: Settings, job_id: str, *, files: bool = False, force: bool = False
) -> Flow[tuple[str, ...]]:
    """Remove a job's requests, ledger and results from this machine; with `files`, its files at the service, too.

    With `force`, whatever its state: its batches are cancelled. Where a create went unanswered, its batch is looked
    for once, and its input file is deleted, so that a batch which comes later can only fail. What cannot be
    cancelled or deleted stays at the service, and may be billed. A ledger that cannot be read goes, too.

    Returns the ids of the job's batches and files that stay at the service, except for batches that have ended.

    Raises, without `force`, JobNotEndedError if its batches may still be running: cancel it, or wait for it, first.
    """
    try:
        with (yield from opened_job(settings, job_id, None)) as opened:
            left = yield from _let_go(opened.context, files=files, force=force)
            yield Work(partial(remove, settings, opened.context.folder))
            return left
    except LedgerError as error:
        if not force:
            raise
        _log.warning("%s; job %s is removed, and its batches and files stay as they are", error, job_id)
    yield Work(partial(_remove_unread, settings, job_id))
    return ()


def _let_go(context: JobContext, *, files: bool, force: bool) -> Flow[tuple[str, ...]]:
    job_id = context.record.id
    units: list[Unit] = yield Work(context.ledger.units)
    live = [unit for unit in units if unit.live]
    if live and not force:
        shards = ", ".join(sorted({str(unit.shard) for unit in live}))
        raise JobNotEndedError(
            f"job {job_id} has running batches (shards {shards}); cancel it or wait for it first, or "
            "delete it by force",
            job_id=job_id,
        )
    names = [unit.batch_id for unit in live if unit.batch_id]
    fenced: set[str] = set()
    for unit in live:
        if unit.state in {"creating", "fencing"}:
            names += yield from _unanswered(context, unit, fenced)
    running: list[str] = []
    for batch_id in names:
        if not (yield from _cancelled(context.settings, batch_id)):
            running.append(batch_id)  # noqa: PERF401 - a comprehension cannot yield
    litter: list[str] = yield Work(context.ledger.litter)
    known = dict.fromkeys([*(unit.file_id for unit in units if unit.file_id), *litter])
    for file_id in fenced:
        known.pop(file_id, None)
    if not files:
        return (*running, *known)
    for file_id in known:
        with suppress(NotFoundError):
            yield from delete_file(context.settings, file_id)
    return tuple(running)


def _unanswered(context: JobContext, unit: Unit, fenced: set[str]) -> Flow[list[str]]:
    """The batches that are proven to be of a create without an answer, as far as the list shows them by now.

    Its input file is deleted first, and then added to `fenced`.
    """
    settings, file_id = context.settings, unit.file_id or ""
    try:
        yield from delete_file(settings, file_id)
        fenced.add(file_id)
    except NotFoundError:
        fenced.add(file_id)
    except APIError as error:
        _log.warning("file %s could not be deleted: %s", file_id, error)
    try:
        given = yield Work(context.given)
        found = yield from search(settings, context.sought(unit, given), grace=0, needed=1)
    except APIError as error:
        _log.warning(
            "the batch of shard %s, whose create went unanswered, was not found: %s", unit.shard, error
        )
        return []
    if not found.ours:
        why = found.obstacle or "if the service made one, it is not in its list so far"
        _log.warning(
            "the batch of shard %s, whose create went unanswered, was not found: %s", unit.shard, why
        )
    return [batch.id for batch in found.ours if not batch.ended]


def _cancelled(settings: Settings, batch_id: str) -> Flow[bool]:
    try:
        yield from cancel(settings, batch_id)
    except ConflictError:
        return True  # it has ended
    except APIError as error:
        _log.warning("batch %s could not be cancelled: %s", batch_id, error)
        return False
    return True


def _remove_unread(settings: Settings, job_id: str) -> None:
    if (stored := stored_home(settings)) is not None:
        stored.remove_unread(job_id)
        return
    folder = existing(settings, job_id)
    with JobLock(folder, job_id):
        remove(settings, folder)
