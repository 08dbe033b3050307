"""Where a shard's requests are among all of a job's, for messages that a person can act on."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Mapping, Sequence
from itertools import count
from pathlib import Path

from overlay.jobs.records import Unit
from overlay.jobs.spool import shard_path
from overlay.lines import open_lines, split
from overlay.results.shapes import custom_id_bytes


def positions(
    folder: Path, units: Sequence[Unit], unit: Unit, lines: Collection[int]
) -> dict[int, tuple[int, str]]:
    """For lines of a unit's file, the request's place in the job and its custom_id; both count from 1."""
    ids = _custom_ids(shard_path(folder, *unit.key), lines)
    numbers = _numbers(shard_path(folder, unit.shard, 0), ids)
    order = folder / "order"
    if order.exists():
        among_all = _nth(order, unit.shard, set(numbers.values()))
    else:
        whole = [each for each in units if each.generation == each.part == 0]
        before = sum(each.requests for each in whole if each.shard < unit.shard)
        among_all = {number: before + number for number in numbers.values()}
    return {
        line: (among_all[numbers[name]], name.decode("utf-8", "replace"))
        for line, name in ids.items()
        if numbers.get(name) in among_all
    }


def _custom_ids(path: Path, lines: Collection[int]) -> dict[int, bytes]:
    with open_lines(path) as file:
        return {
            number: custom_id_bytes(line) or b""
            for number, line in enumerate(split(file), 1)
            if number in lines
        }


def _numbers(path: Path, ids: Mapping[int, bytes]) -> dict[bytes, int]:
    """Their lines in the shard's first file, which has all of its requests."""
    wanted = set(ids.values())
    with open_lines(path) as file:
        named = ((custom_id_bytes(line) or b"", number) for number, line in enumerate(split(file), 1))
        return {name: number for name, number in named if name in wanted}


def _nth(order: Path, shard: int, wanted: Collection[int]) -> dict[int, int]:
    """The positions at which a shard's number occurs for the n-th time."""
    found: dict[int, int] = {}
    place, seen = count(1), 0
    shards = array("I")
    with open_lines(order) as file:
        while chunk := file.read(shards.itemsize * 65536):
            for number, at in zip(array("I", chunk), place, strict=False):
                seen += number == shard
                if number == shard and seen in wanted:
                    found[seen] = at
    return found
