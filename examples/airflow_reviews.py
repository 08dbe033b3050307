"""Airflow: submit in one task, wait in a deferred one, read in a third.

A job is a folder, so that whatever process comes next goes on with it: set OVERLAY_HOME to a folder that workers
and triggerers share, and OPENAI_API_KEY for both. Airflow runs tasks again, and so no task calls `batches.create`:
the job's ledger does, once, however often `submit` is called with the same id.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.sdk import BaseOperator, dag, task
from airflow.triggers.base import BaseTrigger, TriggerEvent

from overlay import AsyncClient, Client, JobLockedError, Request, WaitTimeoutError


class JobTrigger(BaseTrigger):
    """Works on a job, in the triggerer, until it has ended."""

    def __init__(self, job_id: str, poll: float = 60.0) -> None:
        super().__init__()
        self.job_id = job_id
        self.poll = poll

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{type(self).__module__}.{type(self).__name__}", {"job_id": self.job_id, "poll": self.poll}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        async with AsyncClient() as client:
            while True:
                try:
                    job = await client.jobs.wait(self.job_id, timeout=self.poll)
                except WaitTimeoutError:
                    continue
                except JobLockedError:  # another triggerer has it
                    await asyncio.sleep(self.poll)
                    continue
                yield TriggerEvent({"ok": job.ok, "failed": job.failed})
                return


class WaitForJob(BaseOperator):
    """Frees its worker until a job has ended, and returns how many of its requests succeeded and failed."""

    template_fields = ("job_id",)

    def __init__(self, *, job_id: str, poll: float = 60.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.job_id = job_id
        self.poll = poll

    def execute(self, context: Any) -> None:
        self.defer(trigger=JobTrigger(self.job_id, self.poll), method_name="report")

    def report(self, context: Any, event: dict[str, int]) -> dict[str, int]:
        return event


@task
def submit(job_id: str, reviews: list[str]) -> str:
    """Again with the same id and the same reviews, it goes on with the job that there is."""
    requests = [
        Request.chat(str(number), model="gpt-4o-mini", prompt=f"Is this review friendly? {text}")
        for number, text in enumerate(reviews)
    ]
    with Client() as client:
        return client.jobs.submit(requests, id=job_id).id


@task
def read(job_id: str) -> list[str | None]:
    with Client() as client:
        return [result.text if result.ok else None for result in client.jobs.results(job_id)]


@dag(schedule=None, dag_id="reviews")
def reviews() -> None:
    job_id = "reviews-{{ ds_nodash }}"
    submitted = submit(job_id, ["I loved it.", "Never again."])
    waiting = WaitForJob(task_id="wait", job_id=job_id)
    submitted >> waiting >> read(job_id)


reviews()
