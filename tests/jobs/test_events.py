"""What a job says of itself, and what becomes of it when whoever listens fails, or leaves."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import get_args

import pytest
from support.job_scene import TWO
from support.job_steps import chats, custom_ids

from overlay import Job, JobEvent
from overlay.jobs.views import EventKind
from overlay.server import Silence

KINDS = frozenset(get_args(EventKind))


def test_events_are_typed(scene):
    scene.fake.creates += [("lost",), ("accepted", 500)]
    scene.submit(12, max_enqueued_tokens=200)
    for batch in scene.fake.live():
        scene.fake.expire(batch, 1)
    scene.finish()
    assert (
        {"uploaded", "created", "progress", "fetched", "resubmitted", "outage", "ended"}
        <= set(scene.kinds)
        <= KINDS
    )
    for event in scene.events:
        assert isinstance(event, JobEvent)
        assert isinstance(event.job, Job)
        assert event.shard in {None, 1, 2, 3, 4, 5, 6}
        assert str(event) == f"j: {event.message}"
        assert "\n" not in event.message
    assert scene.kinds[-1] == "ended"
    assert scene.events[-1].job.ended
    done = [event.job.ok for event in scene.events]
    assert done == sorted(done)


def test_events_come_one_at_a_time(scene):
    busy, most = threading.Lock(), []

    def listen(event):
        most.append(busy.acquire(blocking=False))
        time.sleep(0.001)
        busy.release()

    scene.submit(40, on_change=listen)
    for batch in scene.fake.live():
        scene.fake.complete(batch)
    scene.jobs.wait("j", on_change=listen)
    assert len(most) > 80
    assert all(most)


def test_who_listens_may_ask(scene):
    seen = []
    scene.submit(4, on_change=lambda event: seen.append(event.job.requests))
    assert seen == [4] * 6


class DeafError(Exception):
    pass


@pytest.mark.parametrize("at_once", [1, 3])
def test_a_listener_that_raises_does_no_harm(scene, at_once):
    """Its error reaches the caller, time and again, and the job goes on as if nothing had been."""
    heard, deaf_to = [], set()

    def listen(event):
        heard.append(event)
        key = (event.kind, event.shard, event.job.ok)
        if key not in deaf_to and len(heard) % at_once == 0:
            deaf_to.add(key)
            raise DeafError

    scene.fake.creates += [None, ("lost",), ("accepted", 502)]
    raised = 0
    for _ in range(200):
        try:
            job = scene.submit(6, on_change=listen, delete_files=True)
            if job.ended:
                break
            for batch in scene.fake.live():
                scene.fake.expire(batch, 1)
            if scene.jobs.wait("j", timeout=600, on_change=listen).ended:
                break
        except DeafError:
            raised += 1
        except TimeoutError:
            pass
    assert raised >= 5
    job = scene.jobs.retrieve("j")
    assert (job.ended, job.ok, job.missing, job.duplicates_cancelled) == (True, 6, 0, 0)
    assert custom_ids(scene.jobs.results("j")) == [f"r{number}" for number in range(6)]
    assert not scene.fake.several_live
    scene.submit(6)
    assert all(file.deleted_at is not None for file in scene.fake.files.values())


SCRIPTS = {
    "blocking": """
with Client(**options) as client:
    client.jobs.submit(chats(20), id="j", limits=TWO)
""",
    "asyncio": """
import asyncio
async def main():
    async with AsyncClient(**options) as client:
        await client.jobs.submit(chats(20), id="j", limits=TWO)
asyncio.run(main())
""",
    "trio": """
import trio
async def main():
    async with AsyncClient(**options) as client:
        await client.jobs.submit(chats(20), id="j", limits=TWO)
trio.run(main)
""",
}
OPTIONS = """
import sys
sys.path.insert(0, sys.argv[3])
from support.job_scene import TWO
from support.job_steps import chats
from overlay import AsyncClient, Client
options = {"token": "t", "base_url": sys.argv[1], "home": sys.argv[2]}
"""


def test_ctrl_c_ends_the_process_in_the_middle_of_uploads(kind, service, tmp_path, connect):
    silence = service.faults.add("POST /files", Silence(), times=None)
    code = OPTIONS + SCRIPTS[kind]
    command = [
        sys.executable,
        "-c",
        code,
        service.base_url,
        str(tmp_path / "home"),
        str(Path(__file__).parents[1]),
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    try:
        until(lambda: service.count("POST", "/files") == 4)
        process.send_signal(signal.SIGINT)
        # A second, and what a busy machine takes to end a process.
        _, said = process.communicate(timeout=10)
    finally:
        process.kill()
        process.wait()
    assert b"KeyboardInterrupt" in said
    assert process.returncode != 0
    assert service.count("POST", "/files") == 4
    # Nothing is lost: the next process goes on.
    service.faults.remove(silence)
    api = connect(service.base_url)
    assert sum(result.ok for result in api.jobs.run(chats(20), id="j", limits=TWO)) == 20


@pytest.mark.parametrize("kind", ["blocking"])
def test_ctrl_c_in_a_process_that_goes_on_stops_the_work(api, service, kind):
    silence = service.faults.add("POST /files", Silence(seconds=1.5), times=None)
    main = threading.main_thread().ident

    def interrupt():
        until(lambda: service.count("POST", "/files") == 4)
        signal.pthread_kill(main, signal.SIGINT)

    helper = threading.Thread(target=interrupt)
    helper.start()
    with pytest.raises(KeyboardInterrupt):
        api.jobs.submit(chats(20), id="j", limits=TWO)
    helper.join()
    service.faults.remove(silence)
    for thread in threading.enumerate():
        if thread.name == "overlay":
            thread.join(10)
    assert service.count("POST", "/files") <= 4
    assert service.count("POST", "/batches") == 0
    assert sum(result.ok for result in api.jobs.run(chats(20), id="j", limits=TWO)) == 20


def until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_job_tells_what_it_is(scene):
    job = scene.submit(5)
    assert repr(job).startswith("Job(id='j', ")
    assert "shards" not in repr(job)
    told = job.to_dict()
    assert told["id"] == "j"
    assert [shard["number"] for shard in told["shards"]] == [1, 2, 3]
