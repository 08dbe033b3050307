"""The log of a job's ledger: commits in order, each an object, and snapshots so that not all of them are read."""

from __future__ import annotations

import logging
import secrets
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import msgspec

from overlay.errors import LedgerError, StorageError
from overlay.jobs.changes import Change
from overlay.jobs.ledger import Ledger
from overlay.jobs.migrations import MIGRATIONS
from overlay.jobs.object_store.lease import Lease
from overlay.jobs.object_store.objects import Objects
from overlay.jobs.object_store.replay import Entry, replay
from overlay.lines import storage_errors
from overlay.private import make_file

SNAPSHOT_EVERY = 500
"""Commits between two snapshots: whoever opens the ledger reads no more of them."""
_SNAPSHOTS_KEPT = 2
_READ_AT_ONCE = 8
_log = logging.getLogger("overlay.jobs")
_read_entry = msgspec.json.Decoder(Entry).decode


class JobLog:
    """The log of one job, for its reader."""

    def __init__(self, objects: Objects, job_id: str) -> None:
        self._objects = objects
        self.folder = f"jobs/{job_id}"
        self.last: int = 0
        """The number of the last commit that was read or written; they count from 1."""
        self._snapshot: int = 0

    def entry_key(self, number: int) -> str:
        return f"{self.folder}/log/{number:012}"

    def restore(self, path: Path) -> None:
        """Make the ledger at `path` as it was last committed. Raises LedgerError, StorageError."""
        snapshots = self._objects.keys(f"{self.folder}/snapshots")
        for key in reversed(snapshots):
            try:
                self._restore(path, int(key.rpartition("/")[2]), self._image(key))
            except LedgerError as error:
                _log.warning("the snapshot %s is left out: %s", key, error)
            else:
                return
        self._restore(path, 0, None)

    def _restore(self, path: Path, number: int, image: bytes | None) -> None:
        fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        try:
            with storage_errors(path):
                make_file(fresh)
                if image is not None:
                    fresh.write_bytes(image)
            self.last = self._snapshot = number
            replay(fresh, self._following())
            Ledger(fresh).close()  # which looks at all of it
            with storage_errors(path):
                fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)

    def _image(self, key: str) -> bytes:
        found = self._objects.read(key)
        try:
            return b"" if found is None else zlib.decompress(found.data)
        except zlib.error as error:
            raise LedgerError(f"{key}: {error}") from error

    def _following(self) -> Iterator[Entry]:
        """The commits after the last one known, without a gap."""
        keys = self._objects.keys(f"{self.folder}/log", after=self.entry_key(self.last))
        with ThreadPoolExecutor(_READ_AT_ONCE) as threads:
            for key, found in zip(keys, threads.map(self._objects.read, keys), strict=True):
                if found is None or key != self.entry_key(self.last + 1):
                    raise LedgerError(
                        f"{self.folder}/log: commit {self.last + 1:,} is missing: was it deleted?"
                    )
                self.last += 1
                yield entry_of(key, found.data)


class OwnLog(JobLog):
    """The log of one job, for its owner: the journal of its ledger."""

    def __init__(self, objects: Objects, job_id: str, lease: Lease) -> None:
        super().__init__(objects, job_id)
        self._lease = lease
        self.image: Callable[[], bytes] | None = None
        """Gives the ledger as it is, for snapshots."""

    def take_over(self, path: Path) -> None:
        """Make the ledger at `path`, and the log this owner's. Raises JobLockedError, LedgerError, StorageError."""
        self.restore(path)
        while not self._put([]):
            # The owner before was only slow, and has written another commit meanwhile.
            replay(path, self._following())

    def append(self, changes: list[Change]) -> None:
        if not self._put(changes):
            raise self._lease.taken_over()
        # Where a job was deleted meanwhile, its log is gone, and any number is free.
        self._lease.confirm()

    def _put(self, changes: list[Change]) -> bool:
        data = packed(changes)
        if self._objects.create(self.entry_key(self.last + 1), data) is None:
            return False
        self.last += 1
        return True

    def appended(self) -> None:
        if self.image is None or self.last - self._snapshot < SNAPSHOT_EVERY:
            return
        self._snapshot = self.last
        with suppress(StorageError):  # the log has it all
            data = zlib.compress(self.image())
            self._objects.create(f"{self.folder}/snapshots/{self.last:012}", data)
            old = self._objects.keys(f"{self.folder}/snapshots")[:-_SNAPSHOTS_KEPT]
            self._objects.delete(*old)


def packed(changes: list[Change]) -> bytes:
    """A commit, as it is kept."""
    entry = Entry(id=secrets.token_hex(8), version=len(MIGRATIONS), changes=changes)
    return zlib.compress(msgspec.json.encode(entry))


def entry_of(key: str, data: bytes) -> Entry:
    try:
        return _read_entry(zlib.decompress(data))
    except (zlib.error, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise LedgerError(f"{key}: damaged: {error}") from error
