"""A unit that is too large for its account becomes several, each a part of the shard.

The requests of each part are on the disk, synced, before the ledger says in one transaction that the parts are
there and the whole is not. Doing it again after a crash gives the same parts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from overlay.jobs.ledger import Ledger
from overlay.jobs.records import Unit
from overlay.jobs.spool import shard_path
from overlay.lines import open_lines, replacing, split, storage_errors


def split_unit(folder: Path, ledger: Ledger, unit: Unit, most_tokens: int) -> list[Unit]:
    """Split a unit that has no batch into parts of at most so many estimated tokens, or of one request each.

    Raises StorageError.
    """
    first = 1 + max(other.part for other in ledger.saved() if other.shard == unit.shard)
    parts = list(parts_of(folder, unit, first, most_tokens))
    # What was answered before the split counts for one of them.
    parts[0].shard_requests += unit.shard_requests - unit.requests
    with ledger.transaction():
        ledger.add_litter(unit.file_id)
        unit.state, unit.file_id, unit.file_created_at = "split", None, None
        ledger.save(unit, *parts)
    return parts


def parts_of(folder: Path, unit: Unit, number: int, most_tokens: int) -> Iterator[Unit]:
    """Units of about the same size, numbered from `number`, each of whose requests is on disk once it is given."""
    # Of about the same size: ten requests under a limit of nine are better sent as five and five.
    target = -(-unit.tokens // -(-unit.tokens // max(1, most_tokens)))
    with open_lines(shard_path(folder, *unit.key)) as file:
        lines = split(file)
        line = next(lines, None)
        while line is not None:
            part = _empty(unit, number)
            path = shard_path(folder, *part.key)
            digest = hashlib.sha256()
            with ExitStack() as stack:
                out: BinaryIO = stack.enter_context(replacing(path))
                while line is not None and (
                    not part.requests
                    or part.tokens + unit.tokens_of(len(line)) <= min(target + 1, most_tokens)
                ):
                    with storage_errors(path):
                        out.write(line)
                    digest.update(line)
                    part.requests += 1
                    part.bytes += len(line)
                    part.tokens += unit.tokens_of(len(line))
                    line = next(lines, None)
            part.sha256 = digest.hexdigest()
            part.shard_requests = part.requests
            part.inputs = unit.inputs * part.requests // max(1, unit.requests)
            yield part
            number += 1


def _empty(unit: Unit, part: int) -> Unit:
    return Unit(
        shard=unit.shard,
        generation=unit.generation,
        part=part,
        attempts_from=unit.attempts_from,
        endpoint=unit.endpoint,
        model=unit.model,
        requests=0,
        shard_requests=0,
        bytes=0,
        tokens=0,
        sha256="",
    )
