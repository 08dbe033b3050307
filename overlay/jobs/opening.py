"""Opening a job to work on it: locked, its ledger open, and whoever wants to be told."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

import attrs

from overlay.flows.interrupting import explain, going_on
from overlay.flows.steps import Flow, Work, deadline
from overlay.jobs.account import Account
from overlay.jobs.context import JobContext
from overlay.jobs.home import SPOOLING, check_service, checked_job_id, existing, home_id, stored_home
from overlay.jobs.ledger import Ledger
from overlay.jobs.lock import JobLock
from overlay.jobs.merging import remove_fetched, remove_parts
from overlay.jobs.observing import count
from overlay.jobs.records import Unit
from overlay.jobs.services import keeps_metadata
from overlay.jobs.views import EventKind, Job, JobEvent, view
from overlay.progress.showing import Progress
from overlay.wire.connection import Settings

OnChange: TypeAlias = Callable[[JobEvent], object]

_log = logging.getLogger("overlay.jobs")
"""What happens to jobs, for whoever listens; `on_change` is told the same."""


@attrs.define
class OpenJob:
    """A job that is locked and worked on."""

    context: JobContext
    _stack: ExitStack

    def __attrs_post_init__(self) -> None:
        # A task that is cancelled while its thread opens the job never receives it.
        weakref.finalize(self, self._stack.close)

    def view(self) -> Job:
        return view(self.context.record, self.context.ledger.saved())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, KeyboardInterrupt):
            explain(error)
        going_on.set(None)
        self._stack.close()


def _opened(settings: Settings, job_id: str, stack: ExitStack) -> tuple[Path, Ledger]:
    """A job's folder, locked until the stack is closed, and its ledger."""
    if (stored := stored_home(settings)) is not None:
        return stored.open(checked_job_id(job_id), stack, settings.clock)
    folder = existing(settings, job_id)
    try:
        stack.enter_context(JobLock(folder, job_id))
    except FileNotFoundError:  # removed a moment ago
        existing(settings, job_id)
        raise
    ledger = Ledger(folder / "ledger.db")
    stack.callback(ledger.close)
    return folder, ledger


def open_job(
    settings: Settings, job_id: str, on_change: OnChange | None, progress: Progress | None = None
) -> OpenJob:
    """Lock a job and open its ledger. Raises JobNotFoundError, JobLockedError, LedgerError, JobMismatchError."""
    with ExitStack() as stack:
        folder, ledger = _opened(settings, job_id, stack)
        record = ledger.job()
        check_service(record, settings.base_url)
        # Holding the lock means that whoever was writing these is dead.
        remove_parts(folder)
        (folder / SPOOLING).unlink(missing_ok=True)
        remove_fetched(folder, ledger.saved())

        one_at_a_time = threading.Lock()
        until = deadline(settings, None)

        def report(kind: EventKind, unit: Unit | None, message: str) -> None:
            if kind == "outage":
                record.last_error = message  # saved with whatever is saved next
            count(settings, kind, unit)
            _log.log(logging.DEBUG if kind == "progress" else logging.INFO, "%s: %s", job_id, message)
            told = [each for each in (on_change, progress and progress.shows and progress.watch) if each]
            if told:
                with one_at_a_time:
                    job = view(record, ledger.saved())
                    event = JobEvent(kind=kind, job=job, shard=unit.shard if unit else None, message=message)
                    for each in told:
                        each(event)

        account = stack.enter_context(Account(settings, job_id))
        if settings.object_store is not None:
            created = [unit.created_at for unit in ledger.saved() if unit.created_at is not None]
            account.recall(created, settings.clock.time())
        home = home_id(settings)
        noted = keeps_metadata(settings.home, settings.base_url)
        if settings.keeps_metadata is None:
            settings.keeps_metadata = noted
        context = JobContext(settings, folder, ledger, record, account, home, report, until, noted=noted)
        if settings.telemetry is not None:
            context.watched = stack.enter_context(settings.telemetry.watching(job_id))
        if progress is not None and progress.shows:
            context.pauses = progress.pause
        return OpenJob(context, stack.pop_all())
    raise AssertionError("unreachable: the block returns or raises")


def opened_job(
    settings: Settings, job_id: str, on_change: OnChange | None, progress: Progress | None = None
) -> Flow[OpenJob]:
    """`open_job`, off the event loop."""
    opened: OpenJob = yield Work(partial(open_job, settings, job_id, on_change, progress))
    type_it = "" if opened.context.record.elsewhere else f", or type: overlay jobs wait {job_id}"
    going_on.set(
        f"job {job_id}: batches that were created keep running; to go on with it, run the same again{type_it}"
    )
    return opened
