"""Which files hold results that a job has given out: they may be replaced by newer ones of the same job.

A note in the job's folder names each with its size and time of change. One that somebody has written to since is
no longer the job's own.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeAlias

import msgspec

from overlay.lines import replacing

_Notes: TypeAlias = dict[str, tuple[int, int]]

_decode = msgspec.json.Decoder(_Notes).decode


def is_own_output(folder: Path, path: Path) -> bool:
    """Whether a file is as the job in this folder has written it."""
    try:
        status = path.stat()
    except OSError:
        return False
    return _read(folder).get(os.fspath(path.resolve())) == _seen(status)


def note_output(folder: Path, path: Path, status: os.stat_result) -> None:
    """Note that the job in this folder is about to give a path to a file, of which this is the status."""
    notes = {name: seen for name, seen in _read(folder).items() if Path(name).exists()}
    notes[os.fspath(path.resolve())] = _seen(status)
    with replacing(folder / "outputs") as file:
        file.write(msgspec.json.encode(notes))


def _seen(status: os.stat_result) -> tuple[int, int]:
    return status.st_size, status.st_mtime_ns


def _read(folder: Path) -> _Notes:
    try:
        return _decode((folder / "outputs").read_bytes())
    except (OSError, msgspec.MsgspecError):
        return {}
