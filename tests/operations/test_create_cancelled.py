"""A create that is cancelled on its way: the next call for the same finds out first what became of it."""

import asyncio
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial

import pytest
from support.calling import ENDPOINT, TOKEN, FakeClock, advancing, somebody_uploads

from overlay import AsyncClient, UnknownOutcomeError
from overlay.server import Accept, Delay, LateAccept, Pace, Reject, Service, Silence

CREATE = "POST /batches"


@pytest.fixture
def service():
    with Service(pace=Pace(in_progress=3600)) as service:
        yield service


@pytest.fixture
def file_id(service):
    return somebody_uploads(service)


def scenario(service, file_id, steps):
    """Run steps, which are given a function that creates, with a client whose time passes at once."""

    async def run():
        async with AsyncClient(token=TOKEN, base_url=service.base_url) as client:
            client._driver.settings.clock = FakeClock(advancing(service))
            await steps(partial(client.batches.create, input_file_id=file_id, endpoint=ENDPOINT))

    asyncio.run(run())


async def cancelled(service, create, *, before=CREATE):
    """A create that is cancelled as soon as the service has got it."""
    method, path = before.split()
    seen = service.count(method, path)
    task = asyncio.create_task(create())
    await asyncio.to_thread(wait_until, lambda: service.count(method, path) > seen)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert task.cancelled()


def wait_until(so):
    while not so():
        time.sleep(0.005)
    time.sleep(0.05)  # what is counted is being done


def ids(service):
    return [each["id"] for each in service.batches()]


@pytest.mark.parametrize("times", [1, 3])
def test_the_next_call_adopts_what_the_cancelled_one_has_made(service, file_id, times):
    async def steps(create):
        service.faults.add(CREATE, Accept(Silence()))
        for _ in range(times):
            await cancelled(service, create, before=CREATE if not ids(service) else "GET /batches")
            # The calls after the first are cancelled while they search.
            service.faults.add("GET /batches", Silence())
        service.faults.clear()
        assert (await create()).id == ids(service)[0]
        assert service.count("POST", "/batches") == 1
        # The question is answered: another call is another batch.
        assert (await create()).id == ids(service)[0]
        assert len(ids(service)) == 2

    scenario(service, file_id, steps)


def test_a_call_for_something_else_is_a_batch_of_its_own(service, file_id):
    async def steps(create):
        service.faults.add(CREATE, Accept(Silence()))
        await cancelled(service, create)
        other = await create(metadata={"run": "7"})
        same = await create()
        assert ids(service) == [other.id, same.id]

    scenario(service, file_id, steps)


def test_what_comes_late_is_waited_for(service, file_id):
    async def steps(create):
        service.faults.add(CREATE, LateAccept(100.0, then=Silence()))
        await cancelled(service, create)
        assert (await create()).id == ids(service)[0]
        assert service.count("POST", "/batches") == 1

    scenario(service, file_id, steps)


def test_what_does_not_show_up_is_an_unknown_outcome_and_no_second_create(service, file_id):
    async def steps(create):
        service.faults.add(CREATE, Silence())
        await cancelled(service, create)
        with pytest.raises(UnknownOutcomeError, match="cancelled"):
            await create(grace=30)
        assert service.count("POST", "/batches") == 1
        # Now the caller knows, and decides.
        assert (await create()).id == ids(service)[0]

    scenario(service, file_id, steps)


def test_a_list_that_is_refused_does_not_settle_the_question(service, file_id):
    async def steps(create):
        service.faults.add(CREATE, Accept(Silence()))
        await cancelled(service, create)
        service.faults.add("GET /batches", Reject(403), times=2)
        for _ in range(2):
            with pytest.raises(Exception, match="cancelled"):
                await create()
        assert (await create()).id == ids(service)[0]
        assert service.count("POST", "/batches") == 1

    scenario(service, file_id, steps)


def test_a_call_that_is_cancelled_between_two_tries_has_made_nothing(service, file_id):
    """Nothing was created, so there is nothing to look for."""

    async def steps(create):
        service.faults.add(CREATE, Reject(429, headers={"Retry-After": "60"}))
        blocked = asyncio.Event()

        class Waiting(FakeClock):
            async def asleep(self, seconds):
                blocked.set()
                await asyncio.sleep(60)

        settings = create.func.__self__._driver.settings
        clock, settings.clock = settings.clock, Waiting()
        task = asyncio.create_task(create())
        await blocked.wait()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        settings.clock = clock
        assert (await create()).id == ids(service)[0]
        assert service.count("GET", "/batches") == 0

    scenario(service, file_id, steps)


def test_many_that_are_cancelled_and_called_again_make_one_batch_each(service, file_id):
    async def steps(create):
        service.faults.add(CREATE, Delay(after=0.3), times=None)
        wishes = [partial(create, metadata={"call": str(number)}) for number in range(12)]
        for wish in wishes:
            await cancelled(service, wish)
        await asyncio.to_thread(wait_until, lambda: service.count("POST", "/batches") == len(wishes))
        found = await asyncio.gather(*(wish() for wish in wishes))
        assert {batch.id for batch in found} == set(ids(service))
        assert service.count("POST", "/batches") == len(wishes)

    scenario(service, file_id, steps)


INTERRUPTED = """
import os, signal, sys, threading, time
from overlay import Client
from overlay.wire.clock import SystemClock

with Client(token="t", base_url=sys.argv[1]) as client:
    wish = {"input_file_id": sys.argv[2], "endpoint": "/v1/chat/completions"}
    threading.Timer(0.7, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        client.batches.create(**wish)
    except KeyboardInterrupt:
        print(client.batches.create(**wish).id)
"""


def test_ctrl_c_leaves_the_same_question(service, file_id):
    service.faults.add(CREATE, Accept(Silence()))
    said = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, service.base_url, file_id],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.split() == ids(service)
