"""The ledger: kept through everything, or refused by name; never a promise that is not on the disk."""

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import attrs
import pytest
from support.ledgers import JOB, UNITS, contents, unit, written

from overlay import LedgerError, StorageError
from overlay.jobs.ledger import Ledger
from overlay.jobs.migrations import MIGRATIONS
from overlay.jobs.records import LostFile


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "ledger.db"
    written(path).close()
    return path


def test_what_was_written_is_read(path):
    assert contents(path) == (JOB, UNITS)


def test_a_record_of_the_same_key_takes_the_place_of_the_old_one(path):
    ledger = Ledger(path)
    ledger.save(unit(1, 1, state="creating"))
    ledger.save_job(attrs.evolve(JOB, state="cancelled"))
    assert [each.state for each in ledger.units()] == ["created", "done", "creating"]
    assert ledger.job().state == "cancelled"
    ledger.close()


def test_small_notes_are_kept(path):
    ledger = Ledger(path)
    ledger.spend("batch_1", "refused")
    ledger.spend("batch_1", "duplicate")
    ledger.add_litter("file-1", None, "", "file-2", "file-1")
    ledger.remove_litter("file-2")
    ledger.lose(LostFile("file-3", None, 4, 2))
    ledger.close()
    ledger = Ledger(path)
    assert ledger.spent() == {"batch_1": "refused"}
    assert ledger.litter() == ["file-1"]
    assert ledger.lost() == [LostFile("file-3", None, 4, 2)]
    ledger.close()


def test_the_journal_is_not_wal_and_every_commit_is_synced(path):
    ledger = Ledger(path)
    assert ledger._db.execute("PRAGMA journal_mode").fetchone()[0] == "delete"
    assert ledger._db.execute("PRAGMA synchronous").fetchone()[0] == 3
    ledger.close()


def test_a_transaction_is_all_or_nothing(path):
    ledger = Ledger(path)
    with suppress(ZeroDivisionError), ledger.transaction():
        ledger.save(unit(7))
        ledger.spend("batch_7", "refused")
        _ = 1 / 0
    ledger.close()
    ledger = Ledger(path)
    assert ledger.units() == UNITS
    assert not ledger.spent()
    ledger.close()


def test_a_commit_that_failed_is_not_taken_for_one_that_is_under_way(path):
    # Two processes: the reader keeps the writer from committing, which leaves a transaction open in SQLite.
    ledger = Ledger(path)
    ledger._db.execute("PRAGMA busy_timeout=0")
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM unit").fetchone()
    with pytest.raises(StorageError, match="locked"):
        ledger.save(unit(7))
    reader.execute("COMMIT")
    reader.close()
    ledger.save(unit(8))
    ledger.close()
    assert [each.shard for each in contents(path)[1]] == [0, 1, 1, 8]


def test_threads_share_it(path):
    ledger = Ledger(path)
    barrier = threading.Barrier(4)

    def work(number):
        barrier.wait()
        for generation in range(5):
            with ledger.transaction():
                ledger.save(unit(100 + number, generation))
                ledger.spend(f"batch_{number}_{generation}", "refused")
            assert len(ledger.units()) >= generation

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert len(ledger.units()) == len(UNITS) + 20
    assert len(ledger.spent()) == 20
    ledger.close()


def test_one_of_an_older_version_is_brought_up_to_date(tmp_path, monkeypatch):
    path = tmp_path / "ledger.db"
    with monkeypatch.context() as patch:
        patch.setattr("overlay.jobs.ledger.MIGRATIONS", MIGRATIONS[:1])
        patch.setattr(Ledger, "_put", _put_of_version_1)
        written(path).close()
    assert version(path) == 1
    assert contents(path) == (JOB, UNITS)
    assert version(path) == len(MIGRATIONS)
    assert contents(path) == (JOB, UNITS)


def _put_of_version_1(self, table, row):
    values = attrs.asdict(row)
    if table == "job":
        del (
            values["swept"],
            values["home"],
            values["last_error"],
            values["counted_by"],
            values["checked"],
            values["second_tries"],
            values["source"],
            values["uploaded"],
            values["told"],
            values["notified"],
        )
        values["options"] = '{"metadata": {"run": "7"}, "max_attempts": 5, "grace": 12.5}'
    else:
        for name in (
            "part",
            "adopted",
            "nonce",
            "looks",
            "problem",
            "inputs",
            "trouble",
            "attempts_from",
            "source",
            "staged",
        ):
            del values[name]
    marks = ", ".join(f":{name}" for name in values)
    self._db.execute(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", values)


def test_a_migration_that_fails_leaves_the_older_version(path, monkeypatch):
    def broken(db):
        db.execute("CREATE TABLE more (x)")
        raise sqlite3.IntegrityError("no")

    monkeypatch.setattr("overlay.jobs.ledger.MIGRATIONS", [*MIGRATIONS, broken])
    for _ in range(2):
        with pytest.raises(LedgerError):
            Ledger(path)
    monkeypatch.undo()
    assert contents(path) == (JOB, UNITS)


def version(path):
    db = sqlite3.connect(path)
    found = db.execute("PRAGMA user_version").fetchone()[0]
    db.close()
    return found


def test_one_of_a_newer_version_is_not_touched(path):
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version=99")
    db.close()
    before = path.read_bytes()
    with pytest.raises(LedgerError, match=r"newer version .*99.*upgrade"):
        Ledger(path)
    assert path.read_bytes() == before


def test_what_was_rolled_back_is_not_taken_for_saved(path):
    ledger = Ledger(path)
    first = ledger.units()[0]
    first.state = "ended"
    assert ledger.units()[0].state == ledger.saved()[0].state == "created"
    with pytest.raises(KeyError):
        _rolled_back(ledger, first)
    assert ledger.units() == UNITS
    ledger.save(first, unit(0, 1))
    assert [each.key for each in ledger.saved()] == [(0, 0, 0), (0, 1, 0), (1, 0, 0), (1, 1, 0)]
    assert ledger.units() == contents(path)[1]
    ledger.close()


def _rolled_back(ledger, changed):
    with ledger.transaction():
        ledger.save(changed)
        assert ledger.units()[0] == changed
        raise KeyError
