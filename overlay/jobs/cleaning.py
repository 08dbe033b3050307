"""Removing input files that a crash has left at the service.

A file is this home folder's if its name holds the home's id, or if a ledger here knows its id; those of version
0.1, whose names hold no home, are known by the ledger only. A project is shared: what a batch that has not
ended names is not deleted, whoever created the batch.
"""

from __future__ import annotations

import re
from contextlib import suppress
from functools import partial

import attrs

from overlay.errors import InvalidResponseError, JobNotFoundError, NotFoundError, OverlayError
from overlay.flows.steps import Flow, Work
from overlay.jobs.home import home_id
from overlay.jobs.opening import open_job
from overlay.models import File
from overlay.operations import files
from overlay.operations.listing import batch_page
from overlay.pages import Cursor
from overlay.wire.connection import Settings

# A shard's number, generation and part; or, of what a worker uploads, the beginning of its digest.
_OURS = re.compile(
    r"overlay-(?P<home>[0-9a-f]{12})-(?P<job>.+)-(?:\d{5,}-\d+(?:\.\d+)?|x[0-9a-f]{16})\.jsonl"
)
_LEGACY = re.compile(r"overlay-(?P<job>.+)-\d{5,}-\d+\.jsonl")
_PAGE = 100


@attrs.frozen
class _Known:
    """The input files that a job's ledger knows."""

    needed: frozenset[str]
    done: frozenset[str]


def clean(settings: Settings, *, delete: bool = False) -> Flow[list[File]]:
    """Input files at the service that jobs of this home folder uploaded and no longer need; `delete` deletes them.

    Files of other home folders, of other programs, of jobs that another process is working on, and files that a
    batch which has not ended names are left alone. Files of a job that is no longer in this home folder count
    as not needed.

    Raises InvalidResponseError if it cannot be told which batches there are: then nothing is deleted.
    """
    home = yield Work(partial(home_id, settings))
    known: dict[str, _Known | None] = {}
    orphans: list[File] = []
    cursor = Cursor(None)
    while not cursor.ended:
        page = yield from files.page(
            settings, after=cursor.after, limit=_PAGE, purpose=settings.service.purpose
        )
        for file in page.data if cursor.takes(page) else ():
            name = file.filename if isinstance(file.filename, str) else ""
            ours = _OURS.fullmatch(name)
            made_here = ours is not None and ours["home"] == home
            found = ours if made_here else _LEGACY.fullmatch(name)
            if found is None:
                continue
            job_id = found["job"]
            if job_id not in known:
                known[job_id] = yield Work(partial(_known, settings, job_id))
            if _is_orphan(file.id, known[job_id], made_here=made_here):
                orphans.append(file)
    if orphans:
        named = yield from _named_by_live_batches(settings)
        orphans = [file for file in orphans if file.id not in named]
    for orphan in orphans if delete else ():
        with suppress(NotFoundError):
            yield from files.delete(settings, orphan.id)
    return orphans


def _is_orphan(file_id: str, known: _Known | None, *, made_here: bool) -> bool:
    if known is None or file_id in known.needed:
        return False
    return made_here or file_id in known.done


def _known(settings: Settings, job_id: str) -> _Known | None:
    """What a job's ledger knows: nothing if there is no such job here; None if that cannot be told."""
    try:
        with open_job(settings, job_id, None) as opened:
            ledger = opened.context.ledger
            units = ledger.units()
            needed = frozenset(unit.file_id for unit in units if unit.file_id and not unit.over)
            done = {unit.file_id for unit in units if unit.file_id and unit.over}
            done |= {*ledger.litter(), *(lost.file_id for lost in ledger.lost())}
            return _Known(needed, frozenset(done) - needed)
    except JobNotFoundError:
        return _Known(frozenset(), frozenset())
    except OverlayError:
        return None


def _named_by_live_batches(settings: Settings) -> Flow[set[str]]:
    """The input files of all batches that have not ended. Raises InvalidResponseError if some cannot be read."""
    named: set[str] = set()
    cursor = Cursor(None)
    while not cursor.ended:
        page = yield from batch_page(settings, after=cursor.after, limit=_PAGE)
        if cursor.takes(page):
            named |= {batch.input_file_id for batch in page.data if batch.input_file_id and not batch.ended}
    if not cursor.complete:
        raise InvalidResponseError(
            "the service's list of batches cannot be read to its end, so it is unknown which files running batches "
            "need; nothing was deleted"
        )
    return named
