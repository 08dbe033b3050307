"""Where jobs live: a folder each, under its id, with requests, ledger, lock and results.

home/jobs/<id>/ledger.db            what was promised, and what came of it
               lock                 which process works on it
               shards/              the requests, one file per shard and generation
               order                which shard each request went to, where shards interleave
               results/             the answers, one file per shard
               strays/              answers that match no request
home/spool/                         incoming requests, and folders being removed
home/id                             what tells this home folder from others
home/staging/                       what workers of an engine on this machine keep
home/services.json                  what was learned of the services
home/hints/                         what webhooks have told of: see `overlay.operations.hints`
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from contextlib import suppress
from pathlib import Path

import attrs

from overlay.errors import ConfigurationError, JobMismatchError, JobNotFoundError, StorageError
from overlay.jobs.account import remove_job
from overlay.jobs.ledger import Ledger
from overlay.jobs.object_store.homes import StoredHome
from overlay.jobs.records import JobRecord
from overlay.jobs.views import Job, view
from overlay.lines import storage_errors, sync_folder
from overlay.models import plain_id
from overlay.operations.hints import FOLDER as HINTS
from overlay.operations.marks import HOME_ID, new_home
from overlay.private import check_owner, make_file, make_folder
from overlay.wire.connection import Settings

_BLOCK_BYTES = 512
"""What stat(2) counts in."""
_FOLDERS = ("jobs", "spool")
_ENTRIES = frozenset({"accounts.db", "services.json", "id", "staging", HINTS, *_FOLDERS})
SPOOLING = "spooling"
"""The name of the lock of a spool folder."""
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def checked_job_id(job_id: object) -> str:
    """The id, if it is fit for a folder's name here and for a file's name at the service."""
    job_id = plain_id(job_id)
    if isinstance(job_id, str) and _ID.fullmatch(job_id):
        return job_id
    raise ConfigurationError(
        f"{job_id!r:.200} is not a valid job id: use 1 to 64 letters, digits, dots, dashes and underscores, "
        "starting with a letter or digit"
    )


def check_service(record: JobRecord, base_url: str) -> None:
    """Raise JobMismatchError if the job runs elsewhere."""
    if record.base_url != base_url:
        raise JobMismatchError(
            f"job {record.id} runs at {record.base_url}, not at {base_url}", job_id=record.id
        )


def check_here(record: JobRecord | Job) -> None:
    """Raise ConfigurationError if the job's requests and answers are not on this machine."""
    if record.elsewhere:
        raise ConfigurationError(
            f"job {record.id} is of uploaded shards, whose requests and answers its workers keep: run the program "
            "again that submitted it, with the same id, and it goes on"
        )


def check_disk(settings: Settings, what: str) -> None:
    """Raise ConfigurationError for what needs a home on this machine's disk."""
    if settings.object_store is not None:
        raise ConfigurationError(
            f"{what} needs a home folder on a disk, for requests and answers: {settings.object_store} keeps only "
            "ledgers, of jobs whose shards an engine's workers upload; set home= or OVERLAY_HOME to a folder"
        )


def ready(home: Path) -> None:
    """Make the home folder and its own folders, where they are missing: for their owner alone, and on the disk to
    stay, before anything is in them. Raises StorageError if one of them is another user's.
    """
    with storage_errors(home):
        missing = [folder for folder in (home, *home.parents) if not folder.exists()]
        # A folder that holds other things, too, is not ours to close.
        if missing or {entry.name for entry in home.iterdir()} <= _ENTRIES:
            make_folder(home)
        check_owner(home)
        for name in _FOLDERS:
            folder = home / name
            if not folder.exists():
                missing.append(folder)
            make_folder(folder)
        for folder in missing:
            sync_folder(folder.parent)


def stored_home(settings: Settings) -> StoredHome | None:
    """The home, if it is in an object store."""
    return None if settings.object_store is None else StoredHome(settings.object_store, settings.home)


def home_id(settings: Settings) -> str:
    """What tells this home from all others, at the service too: made once, and kept in it."""
    stored = stored_home(settings)
    return stored.id() if stored is not None else id_in(settings.home)


def id_in(home: Path) -> str:
    """The same, of a home folder."""
    path = home / "id"
    with storage_errors(path):
        for _ in range(2):
            with suppress(FileNotFoundError, UnicodeDecodeError):
                found = path.read_text(encoding="ascii").strip()
                if HOME_ID.fullmatch(found):
                    return found
                path.unlink()  # cut short, by a loss of power say: what it was is not to be known
            ready(home)
            fresh = home / f".{secrets.token_hex(8)}.id"
            try:
                with make_file(fresh).open("w", encoding="ascii") as file:
                    file.write(new_home() + "\n")
                    file.flush()
                    os.fsync(file.fileno())
                with suppress(FileExistsError):  # another process was first
                    os.link(fresh, path)
            finally:
                fresh.unlink(missing_ok=True)
            sync_folder(home)
    raise StorageError(f"{path}: cannot be read; delete it", path=path)


def job_folder(settings: Settings, job_id: str) -> Path:
    """Where a job of this id is, or would be. Raises ConfigurationError for what is no id."""
    return settings.home / "jobs" / checked_job_id(job_id)


def existing(settings: Settings, job_id: str) -> Path:
    """The folder of a job. Raises JobNotFoundError."""
    folder = job_folder(settings, job_id)
    if (stored := stored_home(settings)) is not None:
        return stored.copied(folder.name)
    with storage_errors(folder):
        if not folder.is_dir():
            raise JobNotFoundError(f"there is no job {job_id} in {settings.home}", job_id=job_id)
        for each in (settings.home, folder.parent, folder):
            check_owner(each)
    return folder


def job_names(settings: Settings) -> list[str]:
    """What may be jobs in the home, by their ids."""
    if (stored := stored_home(settings)) is not None:
        return stored.job_ids()
    folder = settings.home / "jobs"
    return sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []


def folder_of(settings: Settings, name: str) -> Path:
    """The folder of what `job_names` gave."""
    stored = stored_home(settings)
    return settings.home / "jobs" / name if stored is None else stored.copied(name)


def view_of(folder: Path) -> Job:
    """A job as recorded in its ledger, and what it takes on the disk. Raises LedgerError."""
    ledger = Ledger(folder / "ledger.db")
    try:
        job = view(ledger.job(), ledger.saved())
    finally:
        ledger.close()
    return attrs.evolve(job, disk_bytes=_disk_bytes(folder))


def existing_job(settings: Settings, job_id: str) -> Job:
    """A job as it is on the disk. Raises JobNotFoundError, LedgerError."""
    return view_of(existing(settings, job_id))


def _disk_bytes(folder: Path) -> int:
    """What the files in a folder take on the disk; what cannot be looked at counts for nothing."""
    total = 0
    with suppress(OSError):
        for entry in os.scandir(folder):
            with suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    total += _disk_bytes(Path(entry.path))
                else:
                    total += entry.stat(follow_symlinks=False).st_blocks * _BLOCK_BYTES
    return total


def remove(settings: Settings, folder: Path) -> None:
    """Remove a job."""
    if (stored := stored_home(settings)) is not None:
        stored.remove(folder.name)
    doomed = settings.home / "spool" / secrets.token_hex(8)
    with storage_errors(folder):
        make_folder(doomed.parent)
        folder.rename(doomed)  # in one step: nobody must find half a job
    shutil.rmtree(doomed, ignore_errors=True)
    remove_job(settings.home / "accounts.db", folder.name)
