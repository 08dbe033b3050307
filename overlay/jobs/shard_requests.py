"""The requests of a shard, on their way from a worker to the service and back."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path

from overlay.errors import APIError, StorageError
from overlay.flows.steps import Flow, Work, deadline, pause
from overlay.jobs.merging import verify
from overlay.jobs.records import Unit
from overlay.jobs.spool import shard_path
from overlay.jobs.troubles import concerns_one, is_final
from overlay.jobs.uploaded import Place, ShardTask, UploadedShard, facts_of
from overlay.lines import open_lines, split
from overlay.models import File
from overlay.operations import files
from overlay.private import make_folder
from overlay.results.shapes import custom_id_bytes
from overlay.wire.connection import Settings
from overlay.wire.retry import asked_wait, is_transient, jitter

_PATIENCE = 600.0
"""For how many seconds an upload is tried that the service cannot take now."""


def bring(settings: Settings, task: ShardTask, unit: Unit, folder: Path, place: Place) -> Flow[None]:
    """Bring a shard's requests to its folder: their copy or, where that is lost, the input file itself."""
    path = shard_path(folder, *unit.key)

    def copy() -> None:
        make_folder(path.parent)
        place.fetch(unit.sha256, path)
        verify(folder, unit)

    try:
        yield Work(copy)
    except StorageError as error:
        if not concerns_one(error):
            raise
        if not (yield from _download(settings, task, unit, folder)):
            raise StorageError(
                f"the requests of this shard are gone, here and at the service, and can only be given up: {error}",
                path=error.path,
            ) from None
        yield Work(partial(place.keep, unit.sha256, path))


def _download(settings: Settings, task: ShardTask, unit: Unit, folder: Path) -> Flow[bool]:
    """Fetch a shard's input file from the service; whether it is there, and the one."""
    if task.file_id is None:
        return False
    path = shard_path(folder, *unit.key)
    try:
        yield Work(partial(path.unlink, missing_ok=True))
        yield from files.fetch_measured(settings, task.file_id, path, lasting=False)
        yield Work(partial(verify, folder, unit))
    except APIError as error:
        if not is_final(error):
            raise
        return False
    except StorageError as error:
        if not concerns_one(error):
            raise
        return False
    return True


def file_name(home: str, job_id: str, unit: Unit) -> str:
    """What a shard's file is called at the service: by it, `clean` knows whose it is."""
    return f"overlay-{home}-{job_id}-x{unit.sha256[:16]}.jsonl"


def upload(settings: Settings, path: Path, unit: Unit, name: str, place: Place) -> Flow[UploadedShard]:
    """Upload a shard, and keep a copy of it."""
    first, last = yield Work(partial(_ends, path))
    # Before it is sent: a batch whose requests nobody has any more could not be joined.
    yield Work(partial(place.keep, unit.sha256, path))
    sent = yield from _patiently(settings, partial(files.upload, settings, path, filename=name))
    return UploadedShard(
        file_id=sent.id,
        file_created_at=sent.created_at,
        first_key=first,
        last_key=last,
        **facts_of(unit),
    )


def _patiently(settings: Settings, send: Callable[[], Flow[File]]) -> Flow[File]:
    """Through an outage: a partition that fails is computed anew."""
    until, attempt = deadline(settings, _PATIENCE), 0
    while True:
        try:
            return (yield from send())
        except APIError as error:
            if until.left <= 0 or not is_transient(error):
                raise
            why, wait = str(error), max(asked_wait(error), jitter(attempt))
        yield from pause(why, min(until.left, wait))
        attempt += 1


def _ends(path: Path) -> tuple[str, str]:
    """The custom_ids of the first and the last request."""
    with open_lines(path) as file:
        lines = split(file)
        first = next(lines)
        last = deque(lines, maxlen=1)
    return _id(first), _id(last[0] if last else first)


def _id(line: bytes) -> str:
    return (custom_id_bytes(line) or b"").decode("utf-8", "replace")
