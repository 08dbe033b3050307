"""One process per job, and nobody kept out by the dead."""

import fcntl
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from overlay import JobLockedError, StorageError
from overlay.jobs import lock as locks
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
    JobLock(Path(sys.argv[1]), "j", name=[*sys.argv, "lock"][2]).__enter__()
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
        exec(sys.argv.pop())
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


def locked_elsewhere(folder, name="lock"):
    """Who keeps another process out, as that process is told; None where nobody does."""
    command = [sys.executable, "-c", TAKER, str(folder), name]
    said = subprocess.run(command, capture_output=True, check=True).stdout
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


def test_a_file_is_known_wherever_its_folder_has_gone(tmp_path):
    (tmp_path / "hidden").mkdir()
    with JobLock(tmp_path / "hidden", "j"):
        (tmp_path / "hidden").rename(tmp_path / "shown")
        with pytest.raises(JobLockedError) as caught, JobLock(tmp_path / "shown", "j"):
            pass
        assert caught.value.pid == os.getpid()
        assert locked_elsewhere(tmp_path / "shown") == os.getpid()
    assert locked_elsewhere(tmp_path / "shown") is None


@pytest.mark.parametrize("call", ["ftruncate", "close"])
def test_it_is_let_go_of_though_the_disk_refuses(tmp_path, monkeypatch, call):
    done = getattr(os, call)

    def refuses(handle, *rest):
        if call == "close":
            done(handle)
        raise OSError(5, "Input/output error")

    with JobLock(tmp_path, "j"), monkeypatch.context() as patch:
        patch.setattr(os, call, refuses)
        lock = JobLock(tmp_path, "k", name="other")
        if call == "close":
            lock.__enter__()
            lock.__exit__(None, None, None)
    with JobLock(tmp_path, "j"), JobLock(tmp_path, "k", name="other"):
        pass


def test_a_finalizer_may_let_go_of_it_inside_another_lock_of_the_same_thread(tmp_path):
    """What the garbage collector finds, it closes in whatever thread it runs, wherever that is."""
    first = JobLock(tmp_path, "j", name="first").__enter__()
    with locks._guard:  # as while another is taken
        first.__exit__(None, None, None)
    with JobLock(tmp_path, "j", name="second"):  # whoever comes next has it done
        assert locked_elsewhere(tmp_path, "first") is None


def test_a_child_that_lets_go_of_what_its_parent_holds_takes_nothing_from_it(tmp_path):
    with JobLock(tmp_path, "j") as held:
        if os.fork() == 0:
            held.__exit__(None, None, None)
            os._exit(0)
        os.wait()
        assert locked_elsewhere(tmp_path) == os.getpid()


def test_a_lock_file_that_is_removed_while_it_is_waited_for_is_not_taken_for_the_new_one(
    tmp_path, monkeypatch
):
    done, removed = fcntl.lockf, []

    def locking(handle, how):
        done(handle, how)
        if not removed:  # by its holder, in the moment before
            removed.append((tmp_path / "lock").unlink())

    monkeypatch.setattr(fcntl, "lockf", locking)
    with JobLock(tmp_path, "j"):
        assert (tmp_path / "lock").exists()
        assert locked_elsewhere(tmp_path) == os.getpid()
