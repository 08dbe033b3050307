"""Requests of a job that another of its requests asks, too: sent once, they get its answer in the end.

They are in shards of their own, which no batch has. Beside such a shard's requests is a file that says, for each,
where the request is whose answer it gets.
"""

from __future__ import annotations

from array import array
from functools import partial
from pathlib import Path

from overlay.errors import StorageError
from overlay.flows.steps import Flow, Work
from overlay.jobs.context import JobContext
from overlay.jobs.identity import Place
from overlay.jobs.known_answers import results_at
from overlay.jobs.records import Unit
from overlay.jobs.spool import lines_of, places_path, results_path, reused_path, shard_path
from overlay.lines import replacing, storage_errors
from overlay.private import make_folder
from overlay.results.files import read_results
from overlay.results.result import renamed
from overlay.results.shapes import MISSING, custom_id_bytes


def settle_repeats(context: JobContext) -> Flow[None]:
    """Give repeated requests their answers, once all others are settled."""
    units: list[Unit] = yield Work(context.ledger.units)
    if not all(unit.over for unit in units):
        return
    for unit in units:
        if unit.state == "repeats":
            yield Work(partial(_write, context.folder, unit))
            unit.state = "done"
            yield from context.save(unit)
            context.report(
                "fetched",
                unit,
                f"shard {unit.shard}: {unit.requests:,} requests were repeated, and asked once",
            )


def _write(folder: Path, unit: Unit) -> None:
    """Write a shard's results, and count them on the unit. Doing it again gives the same."""
    path = results_path(folder, unit.shard)
    make_folder(path.parent)
    places = read_places(places_path(folder, unit.shard))
    if len(places) != unit.requests:
        raise StorageError(f"{places_path(folder, unit.shard)}: damaged", path=path)
    unit.ok = unit.missing = 0
    with replacing(path) as out:
        results = results_at(folder, iter(places))
        for line, result in zip(lines_of(shard_path(folder, unit.shard, 0)), results, strict=True):
            name = (custom_id_bytes(line) or b"").decode("utf-8", "replace")
            with storage_errors(path):
                out.write(renamed(result, name).raw + b"\n")
            unit.ok += result.ok
            unit.missing += result.error is not None and result.error.code == MISSING


def read_places(path: Path) -> list[Place]:
    """Where the requests are whose answers a shard of repeated requests gets."""
    with storage_errors(path):
        numbers = array("I", path.read_bytes())
    return [Place(*numbers[at : at + 2]) for at in range(0, len(numbers), 2)]


def restore(folder: Path, unit: Unit) -> Unit:
    """A unit whose ledger is gone, as it was if no batch was ever to have its requests."""
    if places_path(folder, unit.shard).exists():
        unit.state, unit.source, unit.tokens = "repeats", "repeated", 0
    elif reused_path(folder, unit.shard).exists() and results_path(folder, unit.shard).exists():
        unit.state, unit.source, unit.tokens = "done", "reused", 0
        unit.ok = sum(result.ok for result in read_results(results_path(folder, unit.shard)))
    return unit
