"""Who works on a job: an object that its owner renews.

A clock is never compared with another machine's: whoever wants the job watches the lease for as long as one lasts,
by its own clock, and takes it if it was not renewed. Two owners at a time do no harm, since only one of them can
write the log; the lease is what keeps them from trying.
"""

from __future__ import annotations

import logging
import os
import platform
import secrets
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Self

import msgspec

from overlay.errors import JobLockedError, StorageError
from overlay.jobs.object_store.objects import Found, Objects

LEASE_SECONDS = 30.0
"""How long a lease lasts that is not renewed. It is renewed three times as often."""
_log = logging.getLogger("overlay.jobs")


class _Holder(msgspec.Struct, frozen=True, kw_only=True):
    owner: str | None
    """None once it was let go of."""
    host: str = ""
    pid: int = 0
    since: str = ""
    renewals: int = 0

    @property
    def name(self) -> str:
        return f"process {self.pid} on {self.host}"


_read_holder = msgspec.json.Decoder(_Holder).decode
_NOBODY = _Holder(owner=None)


class Lease:
    """The right to work on a job. Raises, on entry, JobLockedError with who has it; and StorageError."""

    def __init__(self, objects: Objects, job_id: str) -> None:
        self._objects = objects
        self._job_id = job_id
        self._key = f"jobs/{job_id}/lease"
        since = datetime.now(UTC).isoformat(timespec="seconds")
        self._mine = _Holder(owner=secrets.token_hex(16), host=platform.node(), pid=os.getpid(), since=since)
        self._version = ""
        self._renewed = 0.0
        self._lost: JobLockedError | None = None
        self._guard = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep_renewing, name=f"lease of {job_id}", daemon=True)

    @property
    def owner(self) -> str:
        """What tells this holder from all others, before and after."""
        return self._mine.owner or ""

    def __enter__(self) -> Self:
        while True:
            found = self._objects.read(self._key)
            if found is not None:
                found = self._after_silence(found)
            began = time.monotonic()
            text = msgspec.json.encode(self._mine)
            version = (
                self._objects.create(self._key, text)
                if found is None
                else self._objects.replace(self._key, text, found.version)
            )
            if version is not None:  # otherwise somebody was faster: look again
                self._version, self._renewed = version, began
                self._thread.start()
                return self

    def _after_silence(self, found: Found) -> Found | None:
        """The lease once it was not renewed for as long as it lasts, or was let go of. Raises JobLockedError."""
        holder = _holder(found)
        if holder.owner is None:
            return found
        _log.info(
            "%s: %s may be working on it; watching it for %g s", self._job_id, holder.name, LEASE_SECONDS
        )
        until = time.monotonic() + LEASE_SECONDS
        while time.monotonic() < until:
            time.sleep(min(1.0, LEASE_SECONDS / 10))
            again = self._objects.read(self._key)
            if again is None or _holder(again).owner is None:
                return again
            if again.version != found.version:
                raise self._taken(_holder(again))
        return found

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        with self._guard, suppress(StorageError):
            if self._lost is None:
                renewals = self._mine.renewals + 1
                nobody = msgspec.structs.replace(self._mine, owner=None, renewals=renewals)
                self._objects.replace(self._key, msgspec.json.encode(nobody), self._version)

    def confirm(self) -> None:
        """Raise JobLockedError if the lease is another's by now."""
        if self._lost is None and time.monotonic() - self._renewed > LEASE_SECONDS / 2:
            self._renew()
        if self._lost is not None:
            raise self._lost

    def _keep_renewing(self) -> None:
        while not self._ended.wait(LEASE_SECONDS / 3):
            # Who cannot reach the store cannot commit either; the log tells in the end.
            with suppress(StorageError, JobLockedError):
                self._renew()

    def _renew(self) -> None:
        with self._guard:
            while self._lost is None and not self._ended.is_set():
                self._mine = msgspec.structs.replace(self._mine, renewals=self._mine.renewals + 1)
                began = time.monotonic()
                version = self._objects.replace(self._key, msgspec.json.encode(self._mine), self._version)
                if version is not None:
                    self._version, self._renewed = version, began
                    return
                found = self._objects.read(self._key)
                holder = _NOBODY if found is None else _holder(found)
                if found is None or holder.owner != self._mine.owner:
                    self._lost = self.taken_over(holder.name if holder.owner else "another process")
                    return
                self._version = found.version  # an answer was lost, not the lease

    def _taken(self, holder: _Holder) -> JobLockedError:
        return JobLockedError(
            f"job {self._job_id} is in use by {holder.name}, since {holder.since}; wait for it, or stop it first",
            job_id=self._job_id,
            pid=holder.pid,
            since=holder.since,
        )

    def taken_over(self, by: str = "another process") -> JobLockedError:
        """What stops an owner that has lost the job."""
        return JobLockedError(
            f"job {self._job_id} was taken over by {by} while this one was not heard of; it goes on there",
            job_id=self._job_id,
            pid=None,
            since=None,
        )


def _holder(found: Found) -> _Holder:
    try:
        return _read_holder(found.data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _Holder(owner="unknown", host="an unknown machine")
