"""Not yet is not never: a file that was uploaded a moment ago, and cannot be used so far.

Some services take a file in first, and say so in its status; others answer a create as if there was no file until
it has reached all of them. Either passes. But a mistyped id never does, so only a file that is young is waited
for: one that this client uploaded a minute ago at most, or whose own record says so by the service's clock.
"""

from __future__ import annotations

import logging
import re

from overlay.errors import APIError, APIStatusError, InvalidInputError, NotFoundError, Problem
from overlay.flows.steps import Deadline, Flow, Sleep, deadline
from overlay.models import File
from overlay.operations.adopting import service_time
from overlay.operations.caps import limit_of
from overlay.operations.files import retrieve
from overlay.wire import retry
from overlay.wire.connection import Settings

_log = logging.getLogger("overlay")

YOUNG_SECONDS = 60.0
"""How old a file may be that is not found yet, and how long it is waited for."""
_TAKEN_IN_SECONDS = 1800.0
"""How long a file is waited for whose status says that it is not ready: hundreds of megabytes take minutes."""
_SAID_AFTER = 60.0
_PAUSE, _LONGEST_PAUSE, _GROWTH = 1.0, 15.0, 1.5
_NOT_READY = frozenset(
    {"importing", "in_progress", "pending", "processing", "queued", "running", "uploading", "validating"}
)
_BROKEN = frozenset({"error", "failed", "invalid", "rejected"})
_REFUSALS = frozenset({400, 404, 422})
_WITHOUT_WORDS = frozenset({404, 422})
"""Refusals that are taken to be about the file, whatever they say, unless they name something else."""
_OF_FILES = frozenset({"file", "file_id", "input_file", "input_file_id", "input_files"})
_LOCATION = re.compile(r'"loc"\s*:\s*\[([^\]]*)\]')
"""Where validation errors of many Python servers say which parameter is wrong."""


def is_not_ready(status: object) -> bool:
    """Whether a file's status says that it cannot be used yet."""
    return isinstance(status, str) and status.strip().lower() in _NOT_READY


def until_ready(settings: Settings, file_id: str) -> Flow[None]:
    """Wait for a file that this client uploaded, if it was not ready then.

    Raises InvalidInputError if the service could not take it in.
    """
    _, status = settings.uploaded.get(file_id, (0.0, None))
    if not is_not_ready(status):
        return
    try:
        yield from _taken_in(settings, file_id)
    except APIStatusError as error:
        if retry.is_transient(error):
            raise
        # A token that may not read files may still create batches of them: the create tells.


def _taken_in(settings: Settings, file_id: str) -> Flow[None]:
    until, told = deadline(settings, _TAKEN_IN_SECONDS), deadline(settings, _SAID_AFTER)
    pause, said = _PAUSE, False
    while True:
        record = yield from _record(settings, file_id)
        status = (record.status or "").strip().lower() if record is not None else "pending"
        if record is not None and status in _BROKEN:
            why = f": {record.status_details}" if isinstance(record.status_details, str) else ""
            reason = (
                f"the service could not take in file {file_id} ({record.status}){why}; nothing was created"
            )
            raise InvalidInputError(None, [Problem(None, reason)])
        if not is_not_ready(status) or until.left <= 0:
            return
        if told.left <= 0 and not said:
            _log.warning("file %s is still %s; waiting until the service has taken it in", file_id, status)
            said = True
        yield Sleep(min(pause, max(until.left, 0.05)))
        pause = min(_LONGEST_PAUSE, pause * _GROWTH)


def _record(settings: Settings, file_id: str) -> Flow[File | None]:
    """The service's record of a file; None if it shows none yet. Raises what is no matter of time."""
    try:
        record = yield from retrieve(settings, file_id)
    except NotFoundError:
        if not _is_ours(settings, file_id):
            raise
        return None
    return record


class Youth:
    """Whether a create that was refused may be waiting for its file."""

    def __init__(self, settings: Settings, file_id: str) -> None:
        self._settings = settings
        self._file_id = file_id
        self._patience: Deadline | None = None
        self._pause = _PAUSE

    def passes(self, error: APIError) -> Flow[bool]:
        """Wait a moment, if the refusal may be about a file that is young; False if it is about something else.

        Raises InvalidInputError if the service could not take the file in.
        """
        if not isinstance(error, APIStatusError) or not _may_be_about_the_file(error):
            return False
        if self._patience is None:
            if not (yield from is_young(self._settings, self._file_id, unseen=True)):
                return False
            self._patience = deadline(self._settings, YOUNG_SECONDS)
        if self._patience.left <= 0:
            return False
        yield Sleep(min(self._pause, max(self._patience.left, 0.05)))
        self._pause = min(_LONGEST_PAUSE, self._pause * _GROWTH)
        return True


def is_young(settings: Settings, file_id: str, *, unseen: bool) -> Flow[bool]:
    """Whether a file was uploaded a moment ago, or is not ready: then it is waited for until it is.

    `unseen` is the answer for a file that this client uploaded a moment ago, and of which no record is to be had.
    """
    try:
        record = yield from retrieve(settings, file_id)
    except APIError:
        return unseen and _is_ours(settings, file_id)
    if is_not_ready(record.status):
        yield from _taken_in(settings, file_id)
        return True
    return _is_ours(settings, file_id) or _is_young_by_its_record(settings, record)


def _is_ours(settings: Settings, file_id: str) -> bool:
    """Whether this client uploaded the file a moment ago."""
    at, _ = settings.uploaded.get(file_id, (None, None))
    return at is not None and settings.clock.monotonic() - at <= YOUNG_SECONDS


def _is_young_by_its_record(settings: Settings, record: File) -> bool:
    now = service_time(settings, settings.clock.monotonic())
    if now is None or record.created is None:
        return False
    return abs((now - record.created).total_seconds()) <= YOUNG_SECONDS


def _may_be_about_the_file(error: APIStatusError) -> bool:
    """Whether nothing in a refusal names something else that is wrong."""
    if error.status_code not in _REFUSALS or limit_of(error) is not None:
        return False
    if error.param:
        return error.param.rpartition(".")[2] in _OF_FILES
    places = _LOCATION.findall(error.body)
    if places:
        return any(name in place for place in places for name in ('"input_file', '"file'))
    return error.status_code in _WITHOUT_WORDS or "file" in str(error).lower()
