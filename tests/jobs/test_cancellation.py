"""A task that is cancelled anywhere in a job's work leaves it as a crash would: to be gone on with, not locked."""

import asyncio
from contextlib import suppress

import anyio
import pytest
from support.calling import TOKEN
from support.fake_service import FakeService
from support.job_scene import BASE_URL, TWO
from support.job_steps import asynchronously, chats, custom_ids
from support.step_clock import StepClock

from overlay import AsyncClient, JobLockedError, WaitTimeoutError

CUTS = [0.0, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.012, 0.016, 0.02, 0.03, 0.04, 0.05, 0.07]
"""Seconds after which a task is cancelled; where that hits is a matter of chance."""


async def with_scopes(seconds, work):
    with anyio.move_on_after(seconds):
        await work()


async def by_the_loop(seconds, work):
    with suppress(TimeoutError):
        await asyncio.wait_for(work(), seconds)


@pytest.mark.parametrize(
    ("backend", "cut"), [("asyncio", with_scopes), ("asyncio", by_the_loop), ("trio", with_scopes)]
)
def test_a_task_may_be_cancelled_anywhere(backend, cut, tmp_path):
    fake = FakeService(StepClock())
    requests = chats(12)

    async def main():
        async with AsyncClient(
            token=TOKEN, base_url=BASE_URL, transport=fake.transport, home=tmp_path
        ) as client:
            client._driver.settings.clock = fake.clock

            async def work():
                await client.jobs.submit(asynchronously(requests), id="j", limits=TWO)
                for batch in fake.live():
                    fake.expire(batch, 1)
                with suppress(WaitTimeoutError):
                    await client.jobs.wait("j", timeout=100)

            for seconds in CUTS:
                with suppress(JobLockedError):  # a thread that was left behind may not be done yet
                    await cut(seconds, work)
            await until_free(client)
            while not (await client.jobs.retrieve("j")).ended:
                for batch in fake.live():
                    fake.complete(batch)
                with suppress(WaitTimeoutError):
                    await client.jobs.wait("j", timeout=1000)
            return [result async for result in client.jobs.results("j")]

    async def until_free(client):
        for _ in range(500):
            try:
                return await client.jobs.submit(requests, id="j", limits=TWO)
            except JobLockedError:
                await anyio.sleep(0.01)
        raise AssertionError("the job stays locked")

    results = anyio.run(main, backend=backend)
    assert custom_ids(results) == custom_ids(requests)
    assert all(result.ok or result.error.code == "batch_expired" for result in results)
    assert not fake.several_live
    assert not [path for path in (tmp_path / "spool").iterdir() if not path.name.startswith(".")]
