"""One process per job: a lock that the operating system releases when its holder dies.

`fcntl.lockf`, not `flock`: a forked child inherits a `flock`, and would hold the job after its parent died.
A `lockf` does not tell threads of one process apart, so this module does: by what the operating system knows a
file by, its device and inode, because a folder may be renamed while a lock in it is held.

A lock is let go of without waiting for anybody: a finalizer may do it, at any moment, in a thread that is inside
this module already. What cannot be let go of at once is put in a queue, and whoever leaves the module next does it.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections import deque
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

import attrs
import msgspec

from overlay.errors import JobLockedError
from overlay.private import open_private

_Key: TypeAlias = tuple[int, int]
"""Device and inode."""
_CHANCES = 10
"""After that, it is a file system that numbers a file anew each time."""


@attrs.define(eq=False)
class _Held:
    """A lock file that this process has locked."""

    key: _Key
    name: dict[str, Any]
    """Who holds it since when, as written into the file."""
    handles: list[int]
    """The first is locked. The others are of the same file: to close one would release the lock (fcntl(2))."""


_held: dict[_Key, _Held] = {}
_unwanted: deque[_Held] = deque()
"""Those to let go of."""
_guard = threading.Lock()
# A forked child must not inherit the guard from a thread that it does not have.
os.register_at_fork(before=_guard.acquire, after_in_parent=_guard.release, after_in_child=_guard.release)
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class JobLock:
    """The right to change a job, for as long as it is held. Raises JobLockedError on entry if it is taken."""

    def __init__(self, folder: Path, job_id: str, *, name: str = "lock") -> None:
        self._path = folder / name
        self._job_id = job_id
        self._held: _Held | None = None

    def __enter__(self) -> Self:
        try:
            with _guard:
                _let_go()
                self._held = self._take()
        finally:
            _settle()
        return self

    def _take(self) -> _Held:
        mine = {"pid": os.getpid(), "since": datetime.now(UTC).isoformat(timespec="seconds")}
        for chances in reversed(range(_CHANCES)):
            with suppress(FileNotFoundError):
                # Looked at before it is opened: a second handle could not be closed again.
                self._check_ours(_key(self._path.stat()))
            handle = open_private(self._path, os.O_RDWR | os.O_CREAT)
            key = _key(os.fstat(handle))
            try:
                self._check_ours(key)
            except JobLockedError:  # renamed to this place a moment ago
                _held[key].handles.append(handle)
                raise
            try:
                self._lock(handle, mine)
                current = self._is_at_its_place(key)
            except BaseException:
                os.close(handle)
                raise
            if current or not chances:
                held = _held[key] = _Held(key, mine, [handle])
                return held
            os.close(handle)  # its last holder has removed it, and others will lock another
        raise AssertionError("unreachable: the last chance is taken, or raises")

    def _check_ours(self, key: _Key) -> None:
        held = _held.get(key)
        if held is not None and held.name["pid"] == os.getpid():
            raise self._taken(held.name)

    def _is_at_its_place(self, key: _Key) -> bool:
        with suppress(FileNotFoundError):
            return _key(self._path.stat()) == key
        return False

    def _lock(self, handle: int, mine: dict[str, Any]) -> None:
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            raise self._taken(_holder(handle)) from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, msgspec.json.encode(mine), 0)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        held, self._held = self._held, None
        if held is not None:
            _unwanted.append(held)
            _settle()

    def _taken(self, holder: dict[str, Any]) -> JobLockedError:
        pid, since = holder.get("pid"), holder.get("since")
        who = f"process {pid}" if pid else "another process"
        return JobLockedError(
            f"job {self._job_id} is in use by {who}{f', since {since}' if since else ''}; "
            "wait for it, or stop it first",
            job_id=self._job_id,
            pid=pid if isinstance(pid, int) else None,
            since=since if isinstance(since, str) else None,
        )


def _settle() -> None:
    """Let go of what is unwanted, unless somebody is inside: they do it when they leave."""
    while _unwanted and _guard.acquire(blocking=False):
        try:
            _let_go()
        finally:
            _guard.release()


def _let_go() -> None:
    """Let go of what is unwanted. Whatever the disk says, nobody is kept out afterwards."""
    while _unwanted:
        held = _unwanted.popleft()
        if held.name["pid"] == os.getpid():  # a forked child has its parent's handles, but not its locks
            with suppress(OSError):
                # The last holder's name is of no use any more; the file stays, so that no two are ever locked.
                os.ftruncate(held.handles[0], 0)
        for handle in held.handles:
            with suppress(OSError):
                os.close(handle)
        if _held.get(held.key) is held:
            del _held[held.key]


def _key(status: os.stat_result) -> _Key:
    return status.st_dev, status.st_ino


def _holder(handle: int) -> dict[str, Any]:
    try:
        return _decode(os.pread(handle, 4096, 0))
    except msgspec.DecodeError:
        return {}
