"""The verbs of `client.jobs`: a table that binds them to flows, as `overlay.client` does for batches and files.

It is loaded when `client.jobs` is first used: with all that a job needs, it would take a quarter of the time that
loading the SDK takes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial as bound
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

from overlay.flows.binding import AsyncResource, Resource, awaiting, blocking, presented_as
from overlay.flows.steps import Flow
from overlay.jobs import (
    cleaning,
    deleting,
    driving,
    estimating,
    giving_up,
    origins,
    preparing,
    pruning,
    reading,
    recovery,
    retrying,
    shard_work,
    verbs,
)
from overlay.jobs.home import existing_job, job_folder
from overlay.jobs.results import AsyncJobResults, Followed, JobResults
from overlay.jobs.views import Job
from overlay.models import plain_id
from overlay.results.iterables import Opened, Opener
from overlay.results.matching import Match
from overlay.wire.connection import Settings

P = ParamSpec("P")


def running(
    submit: Callable[Concatenate[Settings, P], Flow[Job]],
) -> Callable[Concatenate[Any, P], JobResults]:
    """A method that submits a job, waits for it and gives its results, once the first of them is asked for."""

    def method(self: Resource, /, *args: P.args, **kwargs: P.kwargs) -> JobResults:
        followed = Followed()
        return JobResults(self._driver, _opener(submit, followed, args, kwargs), followed)

    return presented_as(method, submit, returned=JobResults)


def arunning(
    submit: Callable[Concatenate[Settings, P], Flow[Job]],
) -> Callable[Concatenate[Any, P], AsyncJobResults]:
    """The same, for `async for`."""

    def method(self: AsyncResource, /, *args: P.args, **kwargs: P.kwargs) -> AsyncJobResults:
        followed = Followed()
        return AsyncJobResults(self._driver, _opener(submit, followed, args, kwargs), followed)

    return presented_as(method, submit, returned=AsyncJobResults)


def _opener(
    submit: Callable[..., Flow[Job]], followed: Followed, args: tuple[Any, ...], options: Mapping[str, Any]
) -> Opener:
    def open_(settings: Settings, stack: ExitStack) -> Flow[Opened]:
        def submitting(**watching: Any) -> Flow[Job]:
            return submit(settings, *args, **{**options, **watching})

        return verbs.open_run(submitting, followed, options, settings, stack)

    return open_


class Jobs(Resource):
    """Any number of requests as one durable job."""

    identify = blocking(preparing.identify)
    estimate = blocking(estimating.estimate)
    submit = blocking(verbs.submit)
    resume = blocking(verbs.resume)
    wait = blocking(verbs.wait)
    retrieve = blocking(reading.retrieve)
    list = blocking(reading.list_jobs)
    cancel = blocking(verbs.cancel)
    give_up = blocking(giving_up.give_up)
    send_again = blocking(giving_up.send_again)
    delete = blocking(deleting.delete)
    clean = blocking(cleaning.clean)
    recover = blocking(recovery.recover)
    sent_before = blocking(origins.sent_before)
    prune = blocking(pruning.prune)
    retry = blocking(retrying.retry)
    failures = blocking(reading.failures)
    submit_uploaded = blocking(driving.submit_uploaded)
    drive = blocking(driving.drive)
    upload_shards = blocking(shard_work.upload_shards)
    do_task = blocking(shard_work.do_task)
    home_id = blocking(reading.own_id)
    run = running(verbs.submit)

    @property
    def home(self) -> str:
        """Where the jobs are: a folder on this machine's disk, or the address of an object store."""
        return self._driver.settings.home_name

    def folder(self, job_id: str) -> Path:
        """Where a job is, or would be, on this machine's disk. What is in it is the SDK's own, and may change."""
        return job_folder(self._driver.settings, job_id)

    def results(self, job_id: str, *, partial: bool = False, match: Match | None = None) -> JobResults:
        """The results of an ended job, one for each request, in the requests' order, from this machine's disk.

        With `partial`, those of any job, as far as they are on this disk: a request without an answer so far gets
        the error code `not_yet`. That needs neither the service nor the job's lock. `match="order"` lets a job end
        whose answers name no request, and is recorded: see `submit`.

        Raises, when iterated, JobNotFoundError and, without `partial`, JobNotEndedError.
        """
        job_id = plain_id(job_id)
        opener = (
            bound(reading.open_results, job_id, whole=False)
            if partial
            else bound(verbs.open_ended, job_id, match=match)
        )
        return JobResults(self._driver, opener, bound(existing_job, self._driver.settings, job_id))


class AsyncJobs(AsyncResource):
    """Any number of requests as one durable job, awaited."""

    identify = awaiting(preparing.identify)
    estimate = awaiting(estimating.estimate)
    submit = awaiting(verbs.submit)
    resume = awaiting(verbs.resume)
    wait = awaiting(verbs.wait)
    retrieve = awaiting(reading.retrieve)
    list = awaiting(reading.list_jobs)
    cancel = awaiting(verbs.cancel)
    give_up = awaiting(giving_up.give_up)
    send_again = awaiting(giving_up.send_again)
    delete = awaiting(deleting.delete)
    clean = awaiting(cleaning.clean)
    recover = awaiting(recovery.recover)
    sent_before = awaiting(origins.sent_before)
    prune = awaiting(pruning.prune)
    retry = awaiting(retrying.retry)
    failures = awaiting(reading.failures)
    submit_uploaded = awaiting(driving.submit_uploaded)
    drive = awaiting(driving.drive)
    upload_shards = awaiting(shard_work.upload_shards)
    do_task = awaiting(shard_work.do_task)
    home_id = awaiting(reading.own_id)
    run = arunning(verbs.submit)

    @property
    def home(self) -> str:
        """Where the jobs are: a folder on this machine's disk, or the address of an object store."""
        return self._driver.settings.home_name

    def folder(self, job_id: str) -> Path:
        """Where a job is, or would be, on this machine's disk. What is in it is the SDK's own, and may change."""
        return job_folder(self._driver.settings, job_id)

    def results(self, job_id: str, *, partial: bool = False, match: Match | None = None) -> AsyncJobResults:
        """As `Jobs.results`, for `async for` and `async with`."""
        job_id = plain_id(job_id)
        opener = (
            bound(reading.open_results, job_id, whole=False)
            if partial
            else bound(verbs.open_ended, job_id, match=match)
        )
        return AsyncJobResults(self._driver, opener, bound(existing_job, self._driver.settings, job_id))
