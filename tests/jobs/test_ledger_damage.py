"""Ledgers that a disk, a crash or a person has spoilt: refused by name, or as they were."""

import random
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import attrs
import pytest
from support.failing_disks import read_only
from support.ledgers import JOB, UNITS, contents, unit, written

from overlay import LedgerError, StorageError
from overlay.jobs import ledger as ledgers
from overlay.jobs.ledger import Ledger
from overlay.jobs.records import LostFile


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "ledger.db"
    written(path).close()
    return path


def test_one_that_is_gone_is_not_made_anew(tmp_path):
    with pytest.raises(LedgerError, match=r"gone.*recover"):
        Ledger(tmp_path / "ledger.db")
    assert not (tmp_path / "ledger.db").exists()


@pytest.mark.parametrize("content", [b"", b"hello", b"SQLite format 3\0", b"\0" * 8192, b"x" * 100_000])
def test_what_is_not_sqlite_is_refused_and_left_as_it_is(tmp_path, content):
    path = tmp_path / "ledger.db"
    path.write_bytes(content)
    with pytest.raises(LedgerError, match=str(path)) as caught:
        contents(path)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == content


def test_a_database_of_something_else_is_refused(tmp_path):
    path = tmp_path / "ledger.db"
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE job (x)")
    db.close()
    with pytest.raises(LedgerError, match="not a ledger"):
        Ledger(path)


def test_a_flipped_byte_is_found_or_does_no_harm(path):
    sound = path.read_bytes()
    chosen = random.Random(6).sample(range(len(sound)), 400)
    used = [place for place in range(0, len(sound), 7) if sound[place]]
    refused = 0
    for place in [*chosen, *used]:
        damaged = bytearray(sound)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        try:
            assert contents(path) == (JOB, UNITS), place
        except LedgerError:
            refused += 1
        for name in ("ledger.db-journal", "ledger.db-wal", "ledger.db-shm"):
            path.with_name(name).unlink(missing_ok=True)
    assert refused > 50


def test_a_record_that_was_changed_by_others_is_refused(path):
    db = sqlite3.connect(path)
    db.execute("UPDATE unit SET state = 'planned' WHERE shard = 0")  # which would be paid for again
    db.commit()
    db.close()
    with pytest.raises(LedgerError, match=r"damaged.*recover"):
        contents(path)


READ = {
    "spent": Ledger.spent,
    "lost": Ledger.lost,
    "litter": Ledger.litter,
}
CHANGES = {
    "spent": "why = 'other'",
    "lost": "shard = 7",
    "litter": "file_id = 'file-2'",
}


@pytest.mark.parametrize("table", READ)
def test_every_table_is_sealed(path, table):
    ledger = Ledger(path)
    ledger.spend("batch_9", "refused")
    ledger.lose(LostFile("file-9", 1_750_000_000, 1, 0))
    ledger.add_litter("file-9")
    before = READ[table](ledger)
    assert before
    ledger.close()
    db = sqlite3.connect(path)
    db.execute(f"UPDATE {table} SET {CHANGES[table]}")
    db.commit()
    db.close()
    with closing(Ledger(path)) as opened:
        with pytest.raises(LedgerError, match=r"checksum.*recover"):
            READ[table](opened)
        for name, read in READ.items():
            assert name == table or read(opened)


def test_what_was_written_before_there_were_seals_is_sealed_on_the_way(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(ledgers, "MIGRATIONS", ledgers.MIGRATIONS[:4])
        row = attrs.asdict  # without the columns of later versions, which are NULL
        known = lambda thing: {name: value for name, value in row(thing).items() if value is not None}  # noqa: E731
        patch.setattr(ledgers.attrs, "asdict", known)
        ledger = written(tmp_path / "ledger.db")
        ledger._db.execute("INSERT INTO spent VALUES ('batch_9', 'refused')")
        ledger._db.execute("INSERT INTO lost VALUES ('file-9', NULL, 1, 0, 0)")
        ledger.close()
    with closing(Ledger(tmp_path / "ledger.db")) as ledger:
        assert ledger.spent() == {"batch_9": "refused"}
        assert ledger.lost() == [LostFile("file-9", None, 1, 0)]
        for table in READ:
            seals = ledger._db.execute(f"SELECT seal FROM {table}").fetchall()
            assert all(seal is not None for (seal,) in seals)
        assert ledger.job() == JOB


@pytest.mark.parametrize("kept", [0.1, 0.3, 0.5, 0.7, 0.8])
def test_one_that_was_cut_is_refused(path, kept):
    sound = path.read_bytes()
    path.write_bytes(sound[: int(len(sound) * kept)])
    with pytest.raises(LedgerError):
        contents(path)


def test_one_without_its_job_is_refused(tmp_path):
    Ledger(tmp_path / "ledger.db", create=True).close()
    with pytest.raises(LedgerError, match="0 jobs"):
        contents(tmp_path / "ledger.db")


def test_one_that_cannot_be_written_can_be_read(path):
    with read_only(path.parent) as folder:
        assert contents(folder / path.name) == (JOB, UNITS)
        ledger = Ledger(folder / path.name)
        with pytest.raises(StorageError, match="readonly") as caught:
            ledger.save(unit(7))
        ledger.close()
        assert not isinstance(caught.value, LedgerError)  # nothing is wrong with the ledger


FILLING = """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from support.ledgers import contents, unit
from overlay import StorageError
from overlay.jobs.ledger import Ledger

path = Path(sys.argv[1])
ledger = Ledger(path)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
kept = 0
try:
    for number in range(1000, 3000):
        ledger.save(unit(number))
        kept += 1
except StorageError as error:
    assert type(error) is StorageError, error
    # What follows is not kept in memory as if it were on the disk.
    try:
        ledger.save(unit(9999))
        kept += 1
    except StorageError:
        pass
ledger.close()
print(kept)
"""


def test_a_full_disk_is_said_and_loses_nothing(path):
    limit = path.stat().st_size + 40_000
    said = subprocess.run(
        [sys.executable, "-c", FILLING, str(path), str(Path(__file__).parents[1]), str(limit)],
        capture_output=True,
        text=True,
        check=True,
    )
    kept = int(said.stdout)
    assert 10 < kept < 2000
    job, units = contents(path)
    assert job == JOB
    assert len(units) == len(UNITS) + kept


def test_a_write_that_was_interrupted_is_taken_back(path, tmp_path):
    # What a power loss leaves: the file half changed, and the journal that says how it was.
    ledger = Ledger(path)
    copies = tmp_path / "copies"
    copies.mkdir()
    with ledger.transaction():
        ledger.save(*(unit(number) for number in range(1000, 1400)))
        ledger._db.execute("PRAGMA cache_spill=1")
        for file in tmp_path.glob("ledger.db*"):
            shutil.copy(file, copies)
    ledger.close()
    assert (copies / "ledger.db-journal").exists()
    assert contents(copies / "ledger.db") == (JOB, UNITS)
