"""Disks that are full, read-only, or hold what they should not."""

import errno
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from support.calling import TOKEN
from support.failing_disks import read_only
from support.job_steps import chat, chats, custom_ids

from overlay import (
    JobLockedError,
    LedgerError,
    StorageError,
    WaitTimeoutError,
)
from overlay.jobs.ledger import Ledger
from overlay.jobs.lock import JobLock

SECRET = "a secret that a customer told"


def test_a_full_disk_stops_a_job_and_loses_nothing(tmp_path):
    """Every file of a job meets the limit, as the limit grows: see the script."""
    command = [sys.executable, "-m", "support.full_disk", str(tmp_path)]
    run = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    stopped = [int(line.split()[1]) for line in run.stdout.splitlines()]
    assert stopped == sorted(stopped, reverse=True)
    assert set(stopped) == {0, 1, 2}


class Disk:
    """Counts what is asked of the disk under a folder, and refuses one of it."""

    def __init__(self, patch, folder):
        self.asked, self.refuse = 0, None
        for owner, names in ((os, ("fsync", "pwrite")), (Path, ("open", "rename", "replace", "mkdir"))):
            for name in names:
                patch.setattr(owner, name, self.refusing(getattr(owner, name), folder))

    def refusing(self, function, folder):
        def act(target, *args, **kwargs):
            if isinstance(target, int) or str(target).startswith(str(folder)):
                self.asked += 1
                if self.asked == self.refuse:
                    raise OSError(errno.ENOSPC, "No space left on device", str(target))
            return function(target, *args, **kwargs)

        return act


@pytest.mark.parametrize("kind", ["blocking"])
def test_wherever_the_disk_refuses_the_job_goes_on_afterwards(scene, monkeypatch):
    home = Path(scene.api.settings.home)
    disk = Disk(monkeypatch, home)
    number, said = 0, []
    while True:
        number += 1
        name = f"j{number}"
        disk.asked, disk.refuse = 0, number
        try:
            to_the_end(scene, name)
        except StorageError as error:
            said.append(str(error))
        disk.refuse = None
        assert not list((home / "spool").glob("[!.]*")), number
        to_the_end(scene, name)
        assert custom_ids(scene.jobs.results(name)) == custom_ids(chats(4, models=2))
        assert all(result.ok for result in scene.jobs.results(name))
        scene.fake.batches.clear()
        if disk.asked < number:
            break
    assert not scene.fake.several_live
    assert len(said) > 20
    assert all("No space left" in message for message in said)


def to_the_end(scene, name):
    scene.jobs.submit(chats(4, models=2), id=name)
    while True:
        for batch in scene.fake.live():
            if batch.key[-1] == "0":
                scene.fake.expire(batch, 1)
            else:
                scene.fake.complete(batch)
        try:
            return scene.jobs.wait(name, timeout=100)
        except WaitTimeoutError:
            pass


@pytest.mark.parametrize("kind", ["blocking"])
def test_a_home_that_cannot_be_written_is_said(scene):
    scene.submit(4)
    scene.fake.complete(scene.fake.live()[0])
    scene.wait(10)
    scene.submit([chat("x")], id="done")
    scene.fake.complete(scene.fake.live()[-1])
    scene.jobs.wait("done")
    sent = len(scene.fake.log)
    with read_only(scene.api.settings.home) as home:
        scene.api.settings.home = home
        for act in (
            lambda: scene.submit(9, id="new"),
            lambda: scene.submit(4),
            lambda: scene.jobs.resume("j"),
            lambda: scene.jobs.wait("j"),
            lambda: scene.jobs.cancel("j"),
            lambda: scene.jobs.delete("done"),
        ):
            with pytest.raises(StorageError, match=r"ermission|readonly") as caught:
                act()
            assert "\n" not in str(caught.value)
        # What there is can be read.
        assert sorted(job.id for job in scene.jobs.list()) == ["done", "j"]
        assert scene.jobs.retrieve("j").ok == 2
        assert custom_ids(scene.jobs.results("done")) == ["x"]
    assert len(scene.fake.log) == sent


@pytest.mark.parametrize("content", [b"", b"x", b"\0" * 9000, None])
def test_a_ledger_that_is_spoilt_or_gone_stops_the_job(scene, content):
    scene.submit(4)
    path = Path(scene.api.settings.home) / "jobs" / "j" / "ledger.db"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    sent = len(scene.fake.log)
    for act in (
        lambda: scene.submit(4),
        lambda: scene.jobs.resume("j"),
        lambda: scene.jobs.wait("j"),
        lambda: scene.jobs.retrieve("j"),
        lambda: scene.jobs.cancel("j"),
        lambda: scene.jobs.delete("j"),
        lambda: list(scene.jobs.results("j")),
    ):
        with pytest.raises(LedgerError):
            act()
    assert scene.jobs.list() == []
    assert len(scene.fake.log) == sent
    # The service has it all.
    assert [job.id for job in scene.jobs.recover()] == ["j"]
    assert scene.finish().ok == 4
    assert len(scene.fake.batches) == 2


def test_a_job_that_another_process_works_on_is_left_to_it(scene):
    scene.submit(4)
    folder = Path(scene.api.settings.home) / "jobs" / "j"
    sent = len(scene.fake.log)
    with JobLock(folder, "j"):
        for act in (
            lambda: scene.submit(4),
            lambda: scene.jobs.resume("j"),
            lambda: scene.jobs.wait("j"),
            lambda: scene.jobs.cancel("j"),
            lambda: scene.jobs.delete("j"),
        ):
            with pytest.raises(JobLockedError, match="job j is in use by") as caught:
                act()
            assert caught.value.pid == os.getpid()
        assert scene.jobs.retrieve("j").requests == 4
    assert len(scene.fake.log) == sent
    assert scene.finish().ok == 4


def test_the_ledger_holds_no_token_and_no_text(scene):
    requests = [chat(f"r{number}", SECRET) for number in range(4)]
    scene.fake.creates += [("lost",), ("accepted", 500)]
    scene.submit(requests, metadata={"run": "7"})
    scene.finish()
    home = Path(scene.api.settings.home)
    folder = home / "jobs" / "j"
    holding = {
        path.name for path in home.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()
    }
    assert holding == {"00001-0.jsonl", "00002-0.jsonl"}
    assert not [path for path in home.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]
    with closing(Ledger(folder / "ledger.db")) as ledger:
        assert ledger.job().options.metadata == {"run": "7"}
        # No custom_id either, which may be somebody's name.
        assert b"r0" not in (folder / "ledger.db").read_bytes()


def test_what_is_at_home_is_its_owners_alone(scene):
    scene.submit(2)
    folder = Path(scene.api.settings.home) / "jobs" / "j"
    assert folder.stat().st_mode & 0o077 == 0
