"""The results of a job, which know their job."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from overlay.flows.drivers import Awaiting, Blocking
from overlay.jobs.views import Job, JobEvent
from overlay.results.iterables import AsyncResults, Opener, Results


@attrs.define
class Followed:
    """A job as it was last seen by whoever works on it."""

    job: Job | None = None

    def see(self, event: JobEvent) -> None:
        """Something happened to it."""
        self.job = event.job


class JobResults(Results):
    """The results of a job, to iterate over, and the job."""

    def __init__(self, driver: Blocking, opener: Opener, followed: Followed | Callable[[], Job]) -> None:
        super().__init__(driver, opener)
        self._followed = followed

    @property
    def job(self) -> Job | None:
        """The job: as last seen while `run` works on it, and as it ended afterwards; None before there is one."""
        return _job_of(self._followed)


class AsyncJobResults(AsyncResults):
    """The same, for `async for` and `async with`."""

    def __init__(self, driver: Awaiting, opener: Opener, followed: Followed | Callable[[], Job]) -> None:
        super().__init__(driver, opener)
        self._followed = followed

    @property
    def job(self) -> Job | None:
        """As `JobResults.job`."""
        return _job_of(self._followed)


def _job_of(followed: Followed | Callable[[], Job]) -> Job | None:
    return followed.job if isinstance(followed, Followed) else followed()
