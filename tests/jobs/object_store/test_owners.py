"""Only one owner at a time can write the log of a job."""

import threading
from contextlib import ExitStack

import attrs
import pytest
from support.ledgers import JOB, unit
from support.object_store import nobody_renews, opened

from overlay import (
    JobLockedError,
    JobNotFoundError,
)
from overlay.jobs.object_store import lease, log
from overlay.jobs.object_store.homes import StoredHome
from overlay.jobs.object_store.objects import Objects
from overlay.wire.clock import SystemClock


def test_a_second_owner_is_refused_with_who_has_the_job(home):
    home.create(JOB)
    with ExitStack() as stack:
        opened(home, stack)
        with (
            ExitStack() as other,
            pytest.raises(JobLockedError, match=r"in use by process \d+ on .+, since 20") as told,
        ):
            opened(home, other)
        assert told.value.pid
    with ExitStack() as stack:  # and let in at once when it was let go of
        opened(home, stack)


def test_who_was_paused_loses_the_job_and_cannot_commit(home, store, monkeypatch):
    nobody_renews(monkeypatch)
    home.create(JOB)
    with ExitStack() as stack, ExitStack() as other:
        slow = opened(home, stack)
        slow.save(unit(0, 0, state="creating"))
        new = opened(home, other)
        assert [each.state for each in new.units()] == ["creating"]
        for _ in range(2):
            with pytest.raises(JobLockedError, match="taken over"):
                slow.save(unit(0, 0, state="created"))
        assert [each.state for each in new.units()] == ["creating"]
        new.save(unit(0, 0, state="ended"))
    with ExitStack() as stack:
        assert [each.state for each in opened(home, stack).units()] == ["ended"]


def test_a_commit_between_the_lease_and_the_first_commit_is_seen(home, monkeypatch):
    """The owner before woke up just when the lease was taken: whatever it wrote, the new one has it."""
    nobody_renews(monkeypatch)
    home.create(JOB)
    with ExitStack() as stack, ExitStack() as other:
        slow = opened(home, stack)
        restore = log.OwnLog.restore

        def late(self, path):
            restore(self, path)
            monkeypatch.setattr(lease.Lease, "confirm", lambda self: None)
            slow.save(unit(7, 0, state="creating"))

        monkeypatch.setattr(log.OwnLog, "restore", late)
        new = opened(home, other)
        assert [each.shard for each in new.units()] == [7]
        with pytest.raises(JobLockedError):
            slow.save(unit(8, 0))


def test_a_job_that_was_deleted_stops_its_earlier_owner(home, store, monkeypatch):
    nobody_renews(monkeypatch)
    home.create(JOB)
    with ExitStack() as stack:
        slow = opened(home, stack)
        with ExitStack() as other:
            opened(home, other)
            home.remove(JOB.id)
        with pytest.raises(JobLockedError):
            slow.save(unit(0, 0, state="creating"))
    home.remove(JOB.id)
    with ExitStack() as stack, pytest.raises(JobNotFoundError, match="s3://bucket/home"):
        opened(home, stack)
    assert [key for key in store.objects if "/log/" not in key] == []


def test_a_job_half_deleted_is_none(home, store):
    home.create(JOB)
    Objects(home.address).create(f"jobs/{JOB.id}/deleted", b"")
    assert home.job_ids() == []
    with pytest.raises(JobNotFoundError):
        home.copied(JOB.id)
    assert home.create(attrs.evolve(JOB, digest="another"))
    with ExitStack() as stack:
        assert opened(home, stack).job().digest == "another"


def test_the_grace_counts_by_the_new_owners_clock(home):
    """Another machine's clock may be hours ahead or behind."""

    class Ahead(SystemClock):
        def time(self):
            return super().time() + 7200

    home.create(JOB)
    with ExitStack() as stack:
        opened(home, stack).save(
            unit(0, 0, state="creating", creating_at=1.0), unit(1, 0, state="created", creating_at=1.0)
        )
    clock = Ahead()
    with ExitStack() as stack:
        first, second = opened(home, stack, clock=clock).units()
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
                opened(StoredHome(home.address, home.folder / threading.current_thread().name), stack)
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
