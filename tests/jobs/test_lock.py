"""One process per job, and nobody kept out by the dead."""

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from overlay import JobLockedError, StorageError
from overlay.jobs.lock import JobLock

HOLDER = """
import os, sys, time
from pathlib import Path
from overlay.jobs.lock import JobLock

lock = JobLock(Path(sys.argv[1]), "j")
lock.__enter__()
if sys.argv[2] == "plain":
    print("held", flush=True)
elif child := os.fork():
    print(child, flush=True)
time.sleep(60)
"""
TAKER = """
import sys
from pathlib import Path
from overlay import JobLockedError
from overlay.jobs.lock import JobLock

try:
    JobLock(Path(sys.argv[1]), "j").__enter__()
except JobLockedError as error:
    print(error.pid)
"""
CHILD = """
import os, sys
from pathlib import Path
from overlay.jobs.lock import JobLock

with JobLock(Path(sys.argv[1]), "j"):
    print(os.getpid(), flush=True)
    if os.fork() == 0:
        exec(sys.argv[2])
    else:
        os.wait()
"""


@pytest.fixture
def holder(tmp_path):
    """Starts a process that holds the lock, and gives it with what it says."""
    started = []

    def start(how="plain"):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(tmp_path), how], stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        return process, process.stdout.readline().strip()

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def locked_elsewhere(folder):
    """Who keeps another process out, as that process is told; None where nobody does."""
    said = subprocess.run([sys.executable, "-c", TAKER, str(folder)], capture_output=True, check=True).stdout
    return int(said) if said else None


def kill(process):
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_a_second_process_is_told_who_holds_it_and_since_when(tmp_path, holder):
    process, _ = holder()
    with pytest.raises(JobLockedError) as caught, JobLock(tmp_path, "j"):
        pass
    assert caught.value.job_id == "j"
    assert caught.value.pid == process.pid
    since = datetime.fromisoformat(caught.value.since)
    assert timedelta(0) <= datetime.now(UTC) - since < timedelta(minutes=1)
    assert str(process.pid) in str(caught.value)
    assert caught.value.since in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_second_thread_is_told_the_same(tmp_path):
    with JobLock(tmp_path, "j"), ThreadPoolExecutor(1) as pool:
        with pytest.raises(JobLockedError) as caught:
            pool.submit(JobLock(tmp_path, "j").__enter__).result()
        assert caught.value.pid == os.getpid()
        assert caught.value.since
        # Looking has not let go of it: another process is still kept out.
        assert locked_elsewhere(tmp_path) == os.getpid()


def test_it_is_free_after_its_holder_was_killed(tmp_path, holder):
    process, _ = holder()
    kill(process)
    with JobLock(tmp_path, "j"):
        pass


def test_a_child_of_the_holder_does_not_keep_it(tmp_path, holder):
    process, said = holder("fork")
    child = int(said)
    kill(process)
    os.kill(child, 0)  # alive
    with JobLock(tmp_path, "j"):
        pass
    os.kill(child, signal.SIGKILL)


def test_a_child_may_not_take_what_its_parent_holds(tmp_path):
    said = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path), TAKER], capture_output=True, check=True, text=True
    ).stdout.split()
    assert len(said) == 2
    assert said[0] == said[1]


def test_it_is_free_when_the_block_is_left_and_can_be_taken_again(tmp_path):
    lock = JobLock(tmp_path, "j")
    for _ in range(3):
        with lock:
            assert locked_elsewhere(tmp_path) == os.getpid()
    with pytest.raises(ZeroDivisionError), JobLock(tmp_path, "j"):
        _ = 1 / 0
    assert locked_elsewhere(tmp_path) is None


def test_a_folder_that_is_renamed_meanwhile_does_not_stay_taken(tmp_path):
    (tmp_path / "before").mkdir()
    with JobLock(tmp_path / "before", "j"):
        (tmp_path / "before").rename(tmp_path / "after")
        (tmp_path / "before").mkdir()
    with JobLock(tmp_path / "before", "j"), JobLock(tmp_path / "after", "j"):
        pass


def test_of_many_threads_one_gets_it(tmp_path):
    barrier = threading.Barrier(8)

    def take(_):
        barrier.wait()
        try:
            with JobLock(tmp_path, "j"):
                barrier.wait()
                return 1
        except JobLockedError:
            barrier.wait()
            return 0

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(take, range(8))) == 1


def test_a_holder_that_could_not_write_its_name_keeps_nobody_out(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(OSError, match="No space left"):
            JobLock(tmp_path, "j").__enter__()
    assert locked_elsewhere(tmp_path) is None
    with JobLock(tmp_path, "j"):
        pass


def test_who_holds_it_may_be_unreadable(tmp_path, holder):
    holder()
    (tmp_path / "lock").write_bytes(b"\xff{")
    with pytest.raises(JobLockedError, match="another process") as caught, JobLock(tmp_path, "j"):
        pass
    assert caught.value.pid is None
    assert caught.value.since is None


def test_a_folder_that_refuses_is_a_storage_error_of_the_job(api, tmp_path):
    # What the lock meets on the disk reaches the caller typed.
    folder = api.settings.home = tmp_path / "home"
    (folder / "jobs" / "j").mkdir(parents=True)
    (folder / "jobs" / "j" / "lock").mkdir()
    with pytest.raises(StorageError):
        api.jobs.resume("j")
