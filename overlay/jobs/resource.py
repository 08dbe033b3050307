"""The verbs of `client.jobs`: a table that binds them to flows, as `overlay.client` does for batches and files.

It is loaded when `client.jobs` is first used: with all that a job needs, it would take a quarter of the time that
loading the SDK takes.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any, Concatenate, ParamSpec

from overlay.flows.binding import AsyncResource, Resource, awaiting, blocking, presented_as
from overlay.flows.steps import Flow
from overlay.jobs import cleaning, origins, preparing, recovery, verbs
from overlay.jobs.views import Job
from overlay.results.iterables import AsyncResults, Opened, Opener, Results
from overlay.wire.connection import Settings

P = ParamSpec("P")


def running(
    submit: Callable[Concatenate[Settings, P], Flow[Job]],
) -> Callable[Concatenate[Any, P], Results]:
    """A method that submits a job, waits for it and gives its results, once the first of them is asked for."""

    def method(self: Resource, /, *args: P.args, **kwargs: P.kwargs) -> Results:
        return Results(self._driver, _opener(submit, *args, **kwargs))

    return presented_as(method, submit, returned=Results)


def arunning(
    submit: Callable[Concatenate[Settings, P], Flow[Job]],
) -> Callable[Concatenate[Any, P], AsyncResults]:
    """The same, for `async for`."""

    def method(self: AsyncResource, /, *args: P.args, **kwargs: P.kwargs) -> AsyncResults:
        return AsyncResults(self._driver, _opener(submit, *args, **kwargs))

    return presented_as(method, submit, returned=AsyncResults)


def _opener(submit: Callable[..., Flow[Job]], *args: Any, **kwargs: Any) -> Opener:
    def open_(settings: Settings, stack: ExitStack) -> Flow[Opened]:
        return verbs.open_run(submit(settings, *args, **kwargs), kwargs.get("on_change"), settings, stack)

    return open_


class Jobs(Resource):
    """Any number of requests as one durable job."""

    identify = blocking(preparing.identify)
    submit = blocking(verbs.submit)
    resume = blocking(verbs.resume)
    wait = blocking(verbs.wait)
    retrieve = blocking(verbs.retrieve)
    list = blocking(verbs.list_jobs)
    cancel = blocking(verbs.cancel)
    delete = blocking(verbs.delete)
    clean = blocking(cleaning.clean)
    recover = blocking(recovery.recover)
    sent_before = blocking(origins.sent_before)
    run = running(verbs.submit)

    def results(self, job_id: str) -> Results:
        """The results of an ended job, one for each request, in the requests' order, from this machine's disk.

        Raises, when iterated, JobNotFoundError and JobNotEndedError.
        """
        return Results(self._driver, partial(verbs.open_results, job_id))


class AsyncJobs(AsyncResource):
    """Any number of requests as one durable job, awaited."""

    identify = awaiting(preparing.identify)
    submit = awaiting(verbs.submit)
    resume = awaiting(verbs.resume)
    wait = awaiting(verbs.wait)
    retrieve = awaiting(verbs.retrieve)
    list = awaiting(verbs.list_jobs)
    cancel = awaiting(verbs.cancel)
    delete = awaiting(verbs.delete)
    clean = awaiting(cleaning.clean)
    recover = awaiting(recovery.recover)
    sent_before = awaiting(origins.sent_before)
    run = arunning(verbs.submit)

    def results(self, job_id: str) -> AsyncResults:
        """As `Jobs.results`, for `async for` and `async with`."""
        return AsyncResults(self._driver, partial(verbs.open_results, job_id))
