"""A home in an object store: its id, its jobs, and a copy of a job's ledger on this machine to work with."""

from __future__ import annotations

import shutil
import threading
from contextlib import ExitStack
from pathlib import Path

import attrs

from overlay.errors import JobNotFoundError, LedgerError
from overlay.jobs.ledger import Ledger, job_changes
from overlay.jobs.object_store.lease import Lease
from overlay.jobs.object_store.log import JobLog, OwnLog, packed
from overlay.jobs.object_store.objects import Objects, objects_at
from overlay.jobs.records import JobRecord
from overlay.operations.marks import HOME_ID, new_home
from overlay.private import make_folder
from overlay.wire.clock import Clock

LEDGER = "ledger.db"
_open: dict[tuple[Path, str], Path] = {}
"""The folders of jobs that this process works on, by the folder for copies and the job's id."""
_guard = threading.Lock()


@attrs.frozen
class StoredHome:
    """A home in an object store, and the folder on this machine for copies of it."""

    address: str
    folder: Path

    @property
    def _objects(self) -> Objects:
        return objects_at(self.address)

    def id(self) -> str:
        """What tells this home from others. Raises StorageError."""
        objects = self._objects
        while (found := objects.read("id")) is None:
            objects.create("id", f"{new_home()}\n".encode())
        name = found.data.decode("ascii", "replace").strip()
        if not HOME_ID.fullmatch(name):
            raise LedgerError(f"{self.address}/id is not the id of a home; is this address one?")
        return name

    def create(self, record: JobRecord) -> bool:
        """Begin a job's log; False if there is one."""
        if self._is_deleted(record.id):
            self.remove(record.id)
        log = JobLog(self._objects, record.id)
        data = packed(job_changes(record))
        return self._objects.create(log.entry_key(1), data) is not None

    def job_ids(self) -> list[str]:
        """The ids of the jobs that there are."""
        return [name for name in self._objects.folders("jobs") if self._exists(name)]

    def copied(self, job_id: str) -> Path:
        """A folder with a copy of a job's ledger, to be read. Raises JobNotFoundError, LedgerError."""
        with _guard:
            working = _open.get((self.folder, job_id))
        if working is not None:
            return working
        folder = self.folder / "copies" / job_id
        make_folder(folder.parent)
        make_folder(folder)
        self._known(job_id)
        JobLog(self._objects, job_id).restore(folder / LEDGER)
        return folder

    def open(self, job_id: str, stack: ExitStack, clock: Clock) -> tuple[Path, Ledger]:
        """Take a job over, until the stack is closed: its folder on this machine, and its ledger, whose changes go
        to the store first. Raises JobNotFoundError, JobLockedError, LedgerError, StorageError.
        """
        self._known(job_id)
        lease = stack.enter_context(Lease(self._objects, job_id))
        self._known(job_id)  # it may have been deleted while the lease was another's
        # One of its own: an owner that was paused may still have another copy open.
        folder = self.folder / f"owner-{lease.owner[:12]}" / job_id
        make_folder(folder.parent)
        stack.callback(shutil.rmtree, folder.parent, ignore_errors=True)
        make_folder(folder)
        log = OwnLog(self._objects, job_id, lease)
        log.take_over(folder / LEDGER)
        with _guard:
            _open[self.folder, job_id] = folder
        stack.callback(_closed, self.folder, job_id, folder)
        ledger = Ledger(folder / LEDGER, journal=log)
        stack.callback(ledger.close)
        log.image = ledger.image
        _restamp(ledger, clock.time())
        return folder, ledger

    def remove(self, job_id: str) -> None:
        """Delete all of a job. Whoever deletes holds its lease, unless another process died while it did."""
        objects, folder = self._objects, f"jobs/{job_id}"
        if not self._is_deleted(job_id):
            objects.create(f"{folder}/deleted", b"")
        for part in ("snapshots", "log"):
            objects.delete(*objects.keys(f"{folder}/{part}"))
        objects.delete(f"{folder}/lease", f"{folder}/deleted")

    def remove_unread(self, job_id: str) -> None:
        """Delete a job whose ledger cannot be read. Raises JobNotFoundError, JobLockedError."""
        self._known(job_id)
        with Lease(self._objects, job_id):
            self.remove(job_id)

    def _is_deleted(self, job_id: str) -> bool:
        return self._objects.read(f"jobs/{job_id}/deleted") is not None

    def _exists(self, job_id: str) -> bool:
        first = JobLog(self._objects, job_id).entry_key(1)
        return self._objects.read(first) is not None and not self._is_deleted(job_id)

    def _known(self, job_id: str) -> None:
        if not self._exists(job_id):
            raise JobNotFoundError(f"there is no job {job_id} in {self.address}", job_id=job_id)


def _closed(home: Path, job_id: str, folder: Path) -> None:
    with _guard:
        if _open.get((home, job_id)) == folder:
            del _open[home, job_id]


def _restamp(ledger: Ledger, now: float) -> None:
    """Count the grace of creates that went unanswered from now, since it was begun by another machine's clock."""
    unknown = [unit for unit in ledger.units() if unit.state in {"creating", "fencing"}]
    for unit in unknown:
        unit.creating_at, unit.looks = now, 0
    if unknown:
        ledger.save(*unknown)
