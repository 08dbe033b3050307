"""The log of a ledger: each commit is there before it counts, and is there for the next owner."""

import zlib
from contextlib import ExitStack

import attrs
import msgspec
import pytest
from support.ledgers import JOB, unit
from support.object_store import begun, opened

from overlay import (
    LedgerError,
)
from overlay.jobs import ledger as ledgers
from overlay.jobs.object_store import log, replay
from overlay.jobs.object_store.objects import Objects


def test_what_was_committed_is_there_for_the_next_owner(home, monkeypatch):
    monkeypatch.setattr(log, "SNAPSHOT_EVERY", 4)
    assert home.create(JOB)
    assert not home.create(JOB)
    wanted = []
    for number in range(10):
        with ExitStack() as stack:
            ledger = opened(home, stack)
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
        ledger = opened(home, stack)
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
    wanted = begun(home, commits=5)
    for key in [key for key in store.objects if "/snapshots/" in key]:
        store.objects[key] = damage
    with ExitStack() as stack:
        assert opened(home, stack).units() == wanted


def test_a_missing_or_damaged_commit_is_an_error(home, store):
    begun(home, commits=3)
    whole = dict(store.objects)
    key = next(key for key in store.objects if key.endswith("0003"))
    strange = msgspec.json.encode(
        {"id": "x", "version": 11, "changes": [["drop", "sqlite_master", {"name": "x"}]]}
    )
    for damaged in (None, b"damaged", zlib.compress(b"{}"), zlib.compress(strange)):
        store.objects = dict(whole)
        if damaged is None:
            del store.objects[key]
        else:
            store.objects[key] = damaged
        with ExitStack() as stack, pytest.raises(LedgerError):
            opened(home, stack)
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
        begun(home, commits=3)
    with ExitStack() as stack:
        ledger = opened(home, stack)
        assert [each.shard for each in ledger.units()] == [0, 1, 2]
        ledger.save(attrs.evolve(unit(1, 0), staged="answers/x.parquet"))
    with ExitStack() as stack:
        assert opened(home, stack).units()[1].staged == "answers/x.parquet"
    with monkeypatch.context() as earlier:
        for module in (ledgers, replay, log):
            earlier.setattr(module, "MIGRATIONS", ledgers.MIGRATIONS[:-1])
        with ExitStack() as stack, pytest.raises(LedgerError, match=r"newer version.*upgrade"):
            opened(home, stack)
