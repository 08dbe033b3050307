"""What a home folder has learned of the services that its jobs run at: for now, whether they keep metadata.

It is a small JSON file, `services.json`. It only saves learning it again: one that is missing or damaged counts as
empty.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from overlay.errors import StorageError
from overlay.lines import is_object, replacing

_NAME = "services.json"
_KEEPS = "keeps_metadata"


def keeps_metadata(home: Path, base_url: str) -> bool | None:
    """Whether a service shows the metadata that batches were created with; None if that is not known yet."""
    known = _read(home).get(base_url)
    found = known.get(_KEEPS) if is_object(known) else None
    return found if isinstance(found, bool) else None


def learn(home: Path, base_url: str, *, keeps: bool) -> None:
    """Note what an answered create has shown. A full disk is no reason to stop: it is learned again."""
    known = _read(home)
    known[base_url] = {_KEEPS: keeps}
    with suppress(StorageError), replacing(home / _NAME) as file:
        file.write(msgspec.json.encode(known))


def _read(home: Path) -> dict[str, Any]:
    known: Any = None
    with suppress(OSError, msgspec.DecodeError, UnicodeDecodeError):
        known = msgspec.json.decode((home / _NAME).read_bytes())
    return known if is_object(known) else {}
