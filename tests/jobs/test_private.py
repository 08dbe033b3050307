"""What is at home is its owner's alone, whatever the umask, and not reached through links that others planted."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from support.job_steps import chats

from overlay import LedgerError, StorageError
from overlay.jobs import ledger as ledgers
from overlay.private import check_owner

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only the superuser can make files of others")


@pytest.fixture(params=[0o000, 0o022, 0o077, 0o277], ids=oct)
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes(home):
    """The modes of folders and of files."""
    found = {True: set(), False: set()}
    for path in [home, *home.rglob("*")]:
        found[path.is_dir()].add(oct(stat.S_IMODE(path.stat().st_mode)))
    return found


def finished(scene):
    for batch in scene.fake.live():
        if batch.key[-1] == "0":
            scene.fake.expire(batch, 1)
    return scene.finish()


def test_folders_are_0700_and_files_0600(scene, umask):
    home = Path(scene.api.settings.home)
    scene.submit(chats(4, models=2))
    scene.wait(10)
    assert modes(home) == {True: {"0o700"}, False: {"0o600"}}
    assert finished(scene).ok == 4
    assert modes(home) == {True: {"0o700"}, False: {"0o600"}}


def test_so_are_they_when_they_are_rebuilt(scene, umask):
    home = Path(scene.api.settings.home)
    scene.submit(4)
    shutil.rmtree(home)
    assert [job.id for job in scene.jobs.recover("j")] == ["j"]
    assert scene.finish().ok == 4
    assert modes(home) == {True: {"0o700"}, False: {"0o600"}}


def test_a_home_that_others_may_enter_is_closed(scene):
    home = Path(scene.api.settings.home)
    scene.submit(2)
    for path in (home, home / "jobs", home / "spool"):
        path.chmod(0o777)
    scene.submit(2, id="k")
    assert modes(home)[True] == {"0o700"}


def test_a_folder_that_holds_other_things_is_left_as_it_is(connect, tmp_path, scene):
    (tmp_path / "project").mkdir(mode=0o755)
    (tmp_path / "project" / "README").write_text("mine")
    scene.api.settings.home = tmp_path / "project"
    scene.submit(2)
    assert stat.S_IMODE((tmp_path / "project").stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "project" / "jobs").stat().st_mode) == 0o700


def test_a_link_of_ones_own_is_followed(scene, tmp_path):
    (tmp_path / "disk").mkdir()
    home = tmp_path / "link"
    home.symlink_to("disk")
    scene.api.settings.home = home
    scene.submit(2)
    assert scene.finish().ok == 2
    assert (tmp_path / "disk" / "jobs" / "j").is_dir()


def link_of_another(path, target):
    path.symlink_to(target)
    os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


@as_root
@pytest.mark.parametrize("where", ["", "jobs", "spool", "jobs/j", "jobs/j/lock", "jobs/j/ledger.db"])
def test_a_link_that_another_made_is_not_followed_and_is_named(scene, tmp_path, where):
    home = scene.api.settings.home = tmp_path / "home"
    scene.submit(2)
    moved, target = home / where, tmp_path / "target"
    moved.rename(target)
    link_of_another(moved, target)
    before = {path: path.stat().st_mtime_ns for path in target.rglob("*")} if target.is_dir() else None
    with pytest.raises(StorageError, match=rf"a link that user {NOBODY} made") as caught:
        scene.submit(2, id="j" if "j/" in where or where.endswith("j") else "k")
    assert str(moved) in str(caught.value)
    if before is not None:
        assert {path: path.stat().st_mtime_ns for path in target.rglob("*")} == before


IN_ANOTHERS_HOME = """
import os, sys
from overlay import Client, StorageError
with Client(token="t", base_url="http://127.0.0.1:9/v1", home=sys.argv[1]) as client:
    client.jobs  # loaded while Python's own modules can be read
    os.setuid(int(sys.argv[2]))
    for act in (lambda: client.jobs.identify([]), lambda: client.jobs.retrieve("j")):
        try:
            act()
        except StorageError as error:
            print(error)
"""


@as_root
def test_the_home_of_another_user_is_refused(tmp_path):
    home = Path("/tmp") / f"overlay-test-{os.getpid()}"  # where nobody may look, too
    (home / "jobs" / "j").mkdir(parents=True)
    try:
        for path in (home, *home.rglob("*")):
            os.chown(path, 1234, 1234)
        command = [sys.executable, "-c", IN_ANOTHERS_HOME, str(home), str(NOBODY)]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        assert len(said) == 2
        assert all(f"belongs to user 1234, not to you (user {NOBODY})" in line for line in said)
    finally:
        shutil.rmtree(home)


def test_its_own_folders_are_on_the_disk_before_a_job_is(scene, tmp_path, monkeypatch):
    scene.api.settings.home = tmp_path / "new" / "home"
    steps, fsync, rename = [], os.fsync, Path.rename

    def noted(handle):
        steps.append(Path(f"/proc/self/fd/{handle}").readlink())
        fsync(handle)

    def renamed(self, target):
        steps.append(("rename", Path(target)))
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(Path, "rename", renamed)
    scene.submit(2)
    home = tmp_path / "new" / "home"
    published = steps.index(("rename", home / "jobs" / "j"))
    assert {tmp_path, tmp_path / "new", home} <= set(steps[:published])


def test_a_ledger_has_its_bounds(scene, monkeypatch):
    scene.submit(2)
    ledger = Path(scene.api.settings.home) / "jobs" / "j" / "ledger.db"
    opened = ledgers.Ledger(ledger)
    assert opened._db.execute("PRAGMA trusted_schema").fetchone()[0] == 0
    pages = opened._db.execute("PRAGMA max_page_count").fetchone()[0]
    assert pages * opened._db.execute("PRAGMA page_size").fetchone()[0] == ledgers._LARGEST_BYTES
    opened.close()
    monkeypatch.setattr(ledgers, "_LARGEST_BYTES", 1000)
    with pytest.raises(LedgerError, match="larger than any ledger"):
        scene.jobs.retrieve("j")


def test_owners_are_looked_up_where_there_is_nothing(tmp_path):
    with pytest.raises(FileNotFoundError):
        check_owner(tmp_path / "nothing")
