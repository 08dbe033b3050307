"""Jobs by the beginning of their ids."""

from __future__ import annotations

from contextlib import suppress

from overlay.client import Client
from overlay.errors import ConfigurationError

_SHOWN = 10


def whole_id(client: Client, typed: str) -> str:
    """The id of the one job on this disk whose id begins so; what was typed, if there is none.

    Raises ConfigurationError if several do.
    """
    folder = client.jobs.folder(typed)
    if folder.exists():
        return typed
    found: list[str] = []
    with suppress(OSError):
        found = sorted(entry.name for entry in folder.parent.iterdir() if entry.name.startswith(typed))
    if len(found) > 1:
        more = f" and {len(found) - _SHOWN:,} more" if len(found) > _SHOWN else ""
        raise ConfigurationError(
            f"{len(found):,} jobs begin with {typed!r}: {', '.join(found[:_SHOWN])}{more}; type more of it"
        )
    return found[0] if found else typed
