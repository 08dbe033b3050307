"""Units from the files of their requests, and the parts that shards were split into, where the ledger is gone.

The batch of a unit that was split has failed, and may be gone from the service. Which parts were planned for
what was never sent stood only in the ledger: what no batch has becomes one new part.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from overlay.costs.tokens import estimated_tokens
from overlay.errors import LedgerError
from overlay.jobs.records import Unit, UnitKey
from overlay.jobs.spool import shard_path
from overlay.lines import decode_loosely, is_object, open_lines, replacing, split

_SHARD = re.compile(r"(\d{5,})-(\d+)(?:\.(\d+))?\.jsonl")


def unit_of(path: Path, key: UnitKey) -> Unit:
    """A unit from the file of its requests."""
    digest = hashlib.sha256()
    unit = Unit(
        shard=key[0],
        generation=key[1],
        part=key[2],
        endpoint="",
        model=None,
        requests=0,
        shard_requests=0,
        bytes=0,
        tokens=0,
        sha256="",
    )
    for line in lines_of(path):
        digest.update(line)
        unit.requests += 1
        unit.bytes += len(line)
        unit.tokens += estimated_tokens(line)
        if unit.requests == 1:
            unit.endpoint, unit.model = _endpoint_and_model(line)
    unit.sha256 = digest.hexdigest()
    unit.shard_requests = unit.requests
    return unit


def lines_of(path: Path) -> Iterator[bytes]:
    """The lines of a file."""
    with open_lines(path) as file:
        yield from split(file)


def _endpoint_and_model(line: bytes) -> tuple[str, str | None]:
    value: dict[str, Any] = decode_loosely(line) or {}
    body = value.get("body")
    model = body.get("model") if is_object(body) else None
    return str(value.get("url")), model if isinstance(model, str) else None


def settle_parts(folder: Path, units: dict[UnitKey, Unit]) -> list[Unit]:
    """Mark the units that were split, and give those that hold what was split off and never sent.

    Raises LedgerError where nothing tells what was split.
    """
    unsent: list[Unit] = []
    for shard, generation in sorted({key[:2] for key in units if key[2]}):
        if generation:
            roots = {
                key[2] for key, unit in units.items() if key[:2] == (shard, generation - 1) and not unit.over
            }
        else:
            roots = {0}
        born = sorted(key[2] for key in units if key[:2] == (shard, generation) and key[2] not in roots)
        if born:
            unsent += _settle(folder, units, (shard, generation), roots, born)
    return unsent


def _settle(
    folder: Path, units: dict[UnitKey, Unit], at: tuple[int, int], roots: Iterable[int], born: Sequence[int]
) -> list[Unit]:
    """The same for the parts that were `born` by splits of `roots`, in one shard and generation."""
    texts = {part: _texts(shard_path(folder, *at, part)) for part in born}
    for part in born:
        unit = units[*at, part]
        if unit.refused and any(texts[part] & texts[later] for later in born if later > part):
            unit.state = "split"
    leaves = [part for part in born if not units[*at, part].over]
    sent = {text for part in leaves for text in texts[part]}
    known: set[bytes] = set()
    unsent: list[Unit] = []
    for root in sorted(roots):
        path = shard_path(folder, *at, root)
        if not path.exists() and at[1] == 0:
            _join(path, [shard_path(folder, *at, part) for part in leaves])
        texts_of_root = _texts(path) if path.exists() else set[bytes]()
        if not texts_of_root & sent:
            continue
        known |= texts_of_root
        whole = units.setdefault((*at, root), unit_of(path, (*at, root)))
        if whole.batch_id is not None and not whole.refused:
            continue
        whole.state = "split"
        if texts_of_root - sent:
            key = (*at, _next_part(folder, at[0]))
            with replacing(shard_path(folder, *key)) as file:
                file.writelines(line for line in lines_of(path) if _text(line) not in sent)
            unsent.append(unit_of(shard_path(folder, *key), key))
    if not sent <= known:
        raise LedgerError(
            f"shard {at[0]}, generation {at[1]}, cannot be rebuilt: it was sent in parts, and the whole is gone",
            path=folder / "ledger.db",
        )
    return unsent


def _text(line: bytes) -> bytes:
    return hashlib.blake2b(line, digest_size=16).digest()


def _texts(path: Path) -> set[bytes]:
    """The lines of a file, each in 16 bytes."""
    return {_text(line) for line in lines_of(path)}


def _join(path: Path, parts: Iterable[Path]) -> None:
    """A shard from its parts. Those that were never sent are lost with the disk that they were on."""
    with replacing(path) as file:
        for part in parts:
            file.writelines(lines_of(part))


def _next_part(folder: Path, shard: int) -> int:
    found = (_SHARD.fullmatch(path.name) for path in (folder / "shards").iterdir())
    return 1 + max(int(name[3] or 0) for name in found if name and int(name[1]) == shard)
