"""One process per job: a lock that the operating system releases when its holder dies.

`fcntl.lockf`, not `flock`: a forked child inherits a `flock`, and would hold the job after its parent died.
A `lockf` does not tell threads of one process apart, so this module does.
"""

from __future__ import annotations

import fcntl
import os
import threading
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from overlay.errors import JobLockedError

_held: dict[str, dict[str, Any]] = {}
_held_guard = threading.Lock()
# A forked child must not inherit the guard from a thread that it does not have.
os.register_at_fork(
    before=_held_guard.acquire, after_in_parent=_held_guard.release, after_in_child=_held_guard.release
)
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class JobLock:
    """The right to change a job, for as long as it is held. Raises JobLockedError on entry if it is taken."""

    def __init__(self, folder: Path, job_id: str, *, name: str = "lock") -> None:
        self._path = folder / name
        self._job_id = job_id
        self._key = ""
        self._handle = -1

    def __enter__(self) -> Self:
        key = str(self._path.resolve())  # the folder may be renamed while it is held
        mine = {"pid": os.getpid(), "since": datetime.now(UTC).isoformat(timespec="seconds")}
        with _held_guard:
            holder = _held.get(key)
            # The file is not opened to look: closing it again would release this process's lock (fcntl(2)).
            if holder is not None and holder["pid"] == os.getpid():
                raise self._taken(holder)
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                self._lock(handle, mine)
            except BaseException:
                os.close(handle)
                raise
            _held[key] = mine
        self._key, self._handle = key, handle
        return self

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
        with _held_guard:
            # The last holder's name is of no use any more; the file stays, so that no two are ever locked.
            os.ftruncate(self._handle, 0)
            os.close(self._handle)
            _held.pop(self._key, None)

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


def _holder(handle: int) -> dict[str, Any]:
    try:
        return _decode(os.pread(handle, 4096, 0))
    except msgspec.DecodeError:
        return {}
