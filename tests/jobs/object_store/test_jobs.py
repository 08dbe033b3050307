"""Whole jobs whose ledger is in an object store."""

import functools
import itertools
import json
import random
import zlib
from collections import Counter
from contextlib import ExitStack, suppress

import pyarrow as pa
import pytest
from support.local_engine import LocalEngine
from support.object_store import nobody_renews

from overlay import (
    Chat,
    Client,
    ConfigurationError,
    JobLockedError,
    JobMismatchError,
    JobNotFoundError,
    UploadedShard,
)
from overlay.engines.running import run
from overlay.jobs.object_store import homes
from overlay.jobs.object_store.homes import StoredHome
from overlay.server import Limits, Service

ROWS = 24
TABLE = pa.table({"id": range(ROWS), "text": [f"text {n}" for n in range(ROWS)]})
QUICK = {"poll": 0.01, "grace": 0.1}


def sometimes(chance, seed=1):
    """Faults of all kinds for puts, by chance."""
    rng = random.Random(seed)

    def fault(method, key):
        return (
            rng.choice(["refused", "failed", "answer lost"])
            if method == "PUT" and rng.random() < chance
            else None
        )

    return fault


class Answering:
    """Counts how often each text is asked; those that end in 7 fail at first."""

    def __init__(self):
        self.asked = Counter()

    def __call__(self, line):
        text = line["body"]["messages"][-1]["content"]
        self.asked[text] += 1
        if text.endswith("7") and self.asked[text] == 1:
            return 500, {"error": {"message": "try again"}}
        return {"choices": [{"message": {"content": json.dumps(text)}}]}

    def check(self):
        """Everything was asked once, and what failed in a way that may pass, twice."""
        wanted = {f"text {n}": 1 + (n % 10 == 7) for n in range(ROWS)}
        assert self.asked == wanted


@pytest.fixture
def asked():
    return Answering()


@pytest.fixture
def make(asked, store, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-worker")
    with Service(asked, limits=Limits(live_batches=5)) as service:
        yield functools.partial(Client, base_url=service.base_url, home="s3://bucket/home")


def go(make, tmp_path, **options):
    options = {"client": make, "staging": str(tmp_path / "staging"), **QUICK, **options}
    engine = LocalEngine(TABLE, rows=2)
    return run(engine, TABLE.schema, Chat("m", "{text}"), key="id", id="reviews", options=options)


def test_a_job_goes_on_wherever_its_driver_stopped(make, asked, store, tmp_path):
    """Whatever the store does, and whatever was the last thing that a driver did."""

    class Killed(BaseException):
        pass

    store.fault = sometimes(0.1)
    for deaths in itertools.count():
        events = itertools.count()

        def dies(event, events=events, last=deaths % 3):
            if next(events) == last:
                raise Killed

        with suppress(Killed):
            answered = go(make, tmp_path, on_change=dies)
            break
    assert deaths > 8
    assert len(answered.paths) > 5
    asked.check()
    store.fault = lambda method, key: None
    with make() as client:
        (job,) = client.jobs.list()
        assert job == client.jobs.retrieve("reviews")
        assert (job.ended, job.requests, job.failed) == (True, ROWS, 0)
        assert client.jobs.clean() == [] or client.jobs.clean(delete=True)
        assert client.jobs.clean() == []
        client.jobs.delete("reviews", files=True)
        assert client.jobs.list() == []
    # No token, no text of a row, and no answer is in the store.
    assert not any(b"sk-worker" in data or b"text " in data for data in map(_plain, store.objects.values()))


def _plain(data):
    try:
        return zlib.decompress(data)
    except zlib.error:
        return data


def test_a_driver_that_wakes_up_creates_nothing(make, asked, store, tmp_path, monkeypatch):
    nobody_renews(monkeypatch)
    row = UploadedShard(
        sha256="0" * 64,
        endpoint="/v1/chat/completions",
        model="m",
        requests=1,
        size=9,
        tokens=1,
        file_id="f",
        file_created_at=1,
    )
    with make() as client:
        created = []
        monkeypatch.setattr(
            "overlay.jobs.context.JobContext.send",
            lambda context, unit, attempt, patient: created.append(unit),
        )
        begin = homes.StoredHome.open

        def overtaken(self, job_id, stack, clock):
            folder, ledger = begin(self, job_id, stack, clock)
            with ExitStack() as other:
                begin(StoredHome(self.address, tmp_path / "other"), job_id, other, clock)
            return folder, ledger

        monkeypatch.setattr(homes.StoredHome, "open", overtaken)
        with pytest.raises(JobLockedError, match="taken over"):
            client.jobs.submit_uploaded([row], id="reviews", digest="d")
    assert created == []


def test_what_needs_a_disk_says_so(make, store):
    with make() as client:
        for call in (
            lambda: client.jobs.submit([], id="x"),
            lambda: client.jobs.map([{"a": 1}], Chat("m", "{a}")),
            lambda: client.jobs.prune(older_than=0),
            client.jobs.recover,
        ):
            with pytest.raises(ConfigurationError, match="needs a home folder on a disk"):
                call()
        assert client.jobs.list() == []
        with pytest.raises(JobNotFoundError, match="s3://bucket/home"):
            client.jobs.retrieve("nothing")
        # The same home for whoever comes next.
        with make() as other:
            assert other.jobs.home_id() == client.jobs.home_id()


def test_another_job_under_the_same_id_is_refused(make, store, tmp_path):
    go(make, tmp_path)
    with pytest.raises(JobMismatchError):
        run(
            LocalEngine(TABLE, rows=5),
            TABLE.schema,
            Chat("another", "{text}"),
            key="id",
            id="reviews",
            options={"client": make, "staging": str(tmp_path / "staging"), **QUICK},
        )
