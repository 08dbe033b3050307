"""Ledgers in an object store: each commit is there before it counts, and only one owner can write."""

import functools
import itertools
import json
import random
import sys
import threading
import zlib
from collections import Counter
from contextlib import ExitStack, suppress

import attrs
import msgspec
import pyarrow as pa
import pytest
from support.ledgers import JOB, unit
from support.local_engine import LocalEngine
from support.object_store import ObjectStore

from overlay import (
    Chat,
    Client,
    ConfigurationError,
    JobLockedError,
    JobMismatchError,
    JobNotFoundError,
    LedgerError,
    StorageError,
    UploadedShard,
)
from overlay.engines.running import run
from overlay.jobs import ledger as ledgers
from overlay.jobs.object_store import homes, lease, log, objects, replay
from overlay.jobs.object_store.homes import StoredHome
from overlay.jobs.object_store.objects import Objects
from overlay.server import Limits, Service
from overlay.wire.clock import SystemClock

ROWS = 24
TABLE = pa.table({"id": range(ROWS), "text": [f"text {n}" for n in range(ROWS)]})
QUICK = {"poll": 0.01, "grace": 0.1}
LEASE = 0.3


@pytest.fixture
def store(monkeypatch):
    store = ObjectStore()
    monkeypatch.setattr(lease, "LEASE_SECONDS", LEASE)
    monkeypatch.setattr(objects, "_PAUSE", 0.001)
    monkeypatch.setattr(objects, "_RETRIES", {"max_retries": 0})
    with store.serving() as address:
        for name, value in {
            "AWS_ENDPOINT_URL": address,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
        }.items():
            monkeypatch.setenv(name, value)
        objects.objects_at.cache_clear()
        yield store
    objects.objects_at.cache_clear()


@pytest.fixture
def home(store, tmp_path):
    return StoredHome("s3://bucket/home", tmp_path / "copies")


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


def test_a_put_on_a_condition_says_for_sure_whether_it_was_made(store):
    place = Objects("s3://bucket/home")
    for fault in ("refused", "failed", "answer lost"):
        faults = iter([fault])
        store.fault = lambda method, key, faults=faults: next(faults, None) if method == "PUT" else None
        version = place.create(f"a {fault}", b"first")
        assert version is not None
        assert place.create(f"a {fault}", b"second") is None
        faults = iter([fault])
        store.fault = lambda method, key, faults=faults: next(faults, None) if method == "PUT" else None
        changed = place.replace(f"a {fault}", b"third", version)
        assert changed not in (None, version)
        assert place.replace(f"a {fault}", b"fourth", version) is None
        assert place.read(f"a {fault}").data == b"third"
    assert place.replace("nothing", b"data", version) is None
    place.delete("a failed", "nothing")
    assert place.read("a failed") is None


def test_what_never_gets_an_answer_is_a_storage_error(store, monkeypatch):
    monkeypatch.setattr(objects, "_PATIENCE", 0.05)
    store.fault = lambda method, key: "failed"
    with pytest.raises(StorageError, match="s3://bucket/home/id"):
        Objects("s3://bucket/home").create("id", b"data")


def test_the_address_must_be_one(tmp_path):
    make = functools.partial(Client, token="sk-x", base_url="http://127.0.0.1:1/v1")
    for address in (
        "gs://bucket/jobs",
        "s3:///jobs",
        "s3://bucket?x=1",
        tmp_path.__class__("s3://bucket/jobs"),
    ):
        with pytest.raises(ConfigurationError, match="not a place for jobs"):
            make(home=address)
    with make(home="s3://bucket/jobs/") as client:
        assert client.jobs.home == "s3://bucket/jobs"


def test_the_extra_is_named_where_it_is_missing(store, monkeypatch):
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(ConfigurationError, match=r"\[object-store\]"):
        Objects("s3://bucket/home").read("id")


def opened(home, stack, job_id="j", clock=None):
    return home.open(job_id, stack, clock or SystemClock())[1]


def test_what_was_committed_is_there_for_the_next_owner(home, monkeypatch):
    monkeypatch.setattr(log, "SNAPSHOT_EVERY", 4)
    assert home.create(JOB)
    assert not home.create(JOB)
    wanted = []
    for number in range(10):
        with ExitStack() as stack:
            ledger = opened(home, stack, JOB.id)
            assert ledger.units() == wanted
            ledger.save(unit(number, 0, state="created"))
            with ledger.transaction():
                ledger.add_litter(f"file-{number}", "file-x")
                ledger.remove_litter("file-x")
                ledger.spend(f"batch-{number}", "refused")
            with pytest.raises(ZeroDivisionError), ledger.transaction():
                ledger.save(unit(99, 0, tokens=1 // 0))
            wanted = ledger.units()
            assert wanted[-1].shard == number
    with ExitStack() as stack:
        ledger = opened(home, stack, JOB.id)
        assert ledger.litter() == [f"file-{number}" for number in range(10)]
        assert len(ledger.spent()) == 10
        assert ledger.job() == JOB
    place = Objects(home.address)
    assert len(place.keys(f"jobs/{JOB.id}/snapshots")) == 2
    # Each owner's first commit, and two more: none was ever written twice, and none is missing.
    assert len(place.keys(f"jobs/{JOB.id}/log")) == 1 + 3 * 10 + 1
    assert home.job_ids() == [JOB.id]


@pytest.mark.parametrize("damage", [b"nothing of the kind", zlib.compress(b"nor this"), b""])
def test_a_damaged_snapshot_is_made_anew_from_the_log(home, store, monkeypatch, damage):
    monkeypatch.setattr(log, "SNAPSHOT_EVERY", 2)
    home.create(JOB)
    with ExitStack() as stack:
        ledger = opened(home, stack, JOB.id)
        for number in range(5):
            ledger.save(unit(number, 0))
        wanted = ledger.units()
    for key in [key for key in store.objects if "/snapshots/" in key]:
        store.objects[key] = damage
    with ExitStack() as stack:
        assert opened(home, stack, JOB.id).units() == wanted


def test_a_missing_or_damaged_commit_is_an_error(home, store):
    home.create(JOB)
    with ExitStack() as stack:
        ledger = opened(home, stack, JOB.id)
        for number in range(3):
            ledger.save(unit(number, 0))
    whole = dict(store.objects)
    key = next(key for key in store.objects if key.endswith("0003"))
    strange = msgspec.json.encode(
        {"id": "x", "owner": "y", "version": 11, "changes": [["drop", "sqlite_master", {"name": "x"}]]}
    )
    for damaged in (None, b"damaged", zlib.compress(b"{}"), zlib.compress(strange)):
        store.objects = dict(whole)
        if damaged is None:
            del store.objects[key]
        else:
            store.objects[key] = damaged
        with ExitStack() as stack, pytest.raises(LedgerError):
            opened(home, stack, JOB.id)
        with pytest.raises(LedgerError):
            home.copied(JOB.id)


def test_logs_of_other_versions(home, store, monkeypatch):
    with monkeypatch.context() as earlier:
        for module in (ledgers, replay, log):
            earlier.setattr(module, "MIGRATIONS", ledgers.MIGRATIONS[:-1])
        known = attrs.asdict
        fields = lambda row: {name: value for name, value in known(row).items() if value is not None}  # noqa: E731
        earlier.setattr(ledgers.attrs, "asdict", fields)
        earlier.setattr(log, "SNAPSHOT_EVERY", 2)
        home.create(JOB)
        with ExitStack() as stack:
            ledger = opened(home, stack, JOB.id)
            for number in range(3):
                ledger.save(unit(number, 0))
    with ExitStack() as stack:
        ledger = opened(home, stack, JOB.id)
        assert [each.shard for each in ledger.units()] == [0, 1, 2]
        ledger.save(attrs.evolve(unit(1, 0), staged="answers/x.parquet"))
    with ExitStack() as stack:
        assert opened(home, stack, JOB.id).units()[1].staged == "answers/x.parquet"
    with monkeypatch.context() as earlier:
        for module in (ledgers, replay, log):
            earlier.setattr(module, "MIGRATIONS", ledgers.MIGRATIONS[:-1])
        with ExitStack() as stack, pytest.raises(LedgerError, match=r"newer version.*upgrade"):
            opened(home, stack, JOB.id)


def test_a_second_owner_is_refused_with_who_has_the_job(home):
    home.create(JOB)
    with ExitStack() as stack:
        opened(home, stack, JOB.id)
        with (
            ExitStack() as other,
            pytest.raises(JobLockedError, match=r"in use by process \d+ on .+, since 20") as told,
        ):
            opened(home, other, JOB.id)
        assert told.value.pid
    with ExitStack() as stack:  # and let in at once when it was let go of
        opened(home, stack, JOB.id)


def paused(monkeypatch):
    """From now on nobody renews a lease."""
    monkeypatch.setattr(lease.Lease, "_keep_renewing", lambda self: None)


def test_who_was_paused_loses_the_job_and_cannot_commit(home, store, monkeypatch):
    paused(monkeypatch)
    home.create(JOB)
    with ExitStack() as stack, ExitStack() as other:
        slow = opened(home, stack, JOB.id)
        slow.save(unit(0, 0, state="creating"))
        new = opened(home, other, JOB.id)
        assert [each.state for each in new.units()] == ["creating"]
        for _ in range(2):
            with pytest.raises(JobLockedError, match="taken over"):
                slow.save(unit(0, 0, state="created"))
        assert [each.state for each in new.units()] == ["creating"]
        new.save(unit(0, 0, state="ended"))
    with ExitStack() as stack:
        assert [each.state for each in opened(home, stack, JOB.id).units()] == ["ended"]


def test_a_commit_between_the_lease_and_the_first_commit_is_seen(home, monkeypatch):
    """The owner before woke up just when the lease was taken: whatever it wrote, the new one has it."""
    paused(monkeypatch)
    home.create(JOB)
    with ExitStack() as stack, ExitStack() as other:
        slow = opened(home, stack, JOB.id)
        restore = log.OwnLog.restore

        def late(self, path):
            restore(self, path)
            monkeypatch.setattr(lease.Lease, "confirm", lambda self: None)
            slow.save(unit(7, 0, state="creating"))

        monkeypatch.setattr(log.OwnLog, "restore", late)
        new = opened(home, other, JOB.id)
        assert [each.shard for each in new.units()] == [7]
        with pytest.raises(JobLockedError):
            slow.save(unit(8, 0))


def test_a_job_that_was_deleted_stops_its_earlier_owner(home, store, monkeypatch):
    paused(monkeypatch)
    home.create(JOB)
    with ExitStack() as stack:
        slow = opened(home, stack, JOB.id)
        with ExitStack() as other:
            opened(home, other, JOB.id)
            home.remove(JOB.id)
        with pytest.raises(JobLockedError):
            slow.save(unit(0, 0, state="creating"))
    home.remove(JOB.id)
    with ExitStack() as stack, pytest.raises(JobNotFoundError, match="s3://bucket/home"):
        opened(home, stack, JOB.id)
    assert [key for key in store.objects if "/log/" not in key] == []


def test_a_job_half_deleted_is_none(home, store):
    home.create(JOB)
    Objects(home.address).create(f"jobs/{JOB.id}/deleted", b"")
    assert home.job_ids() == []
    with pytest.raises(JobNotFoundError):
        home.copied(JOB.id)
    assert home.create(attrs.evolve(JOB, digest="another"))
    with ExitStack() as stack:
        assert opened(home, stack, JOB.id).job().digest == "another"


def test_the_grace_counts_by_the_new_owners_clock(home):
    """Another machine's clock may be hours ahead or behind."""

    class Ahead(SystemClock):
        def time(self):
            return super().time() + 7200

    home.create(JOB)
    with ExitStack() as stack:
        opened(home, stack, JOB.id).save(
            unit(0, 0, state="creating", creating_at=1.0), unit(1, 0, state="created", creating_at=1.0)
        )
    clock = Ahead()
    with ExitStack() as stack:
        first, second = opened(home, stack, JOB.id, clock).units()
    assert abs(first.creating_at - clock.time()) < 60
    assert second.creating_at == 1.0


def test_owners_race_and_one_has_it(home):
    home.create(JOB)
    outcomes = []
    together = threading.Barrier(4)
    over = threading.Event()

    def race():
        together.wait()
        with ExitStack() as stack:
            try:
                opened(StoredHome(home.address, home.folder / threading.current_thread().name), stack, JOB.id)
            except JobLockedError:
                outcomes.append("refused")
            else:
                outcomes.append("owner")
                over.wait(10)
            if outcomes.count("refused") == 3:
                over.set()

    threads = [threading.Thread(target=race) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["owner", "refused", "refused", "refused"]


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
    paused(monkeypatch)
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
