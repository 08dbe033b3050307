"""Incoming requests: checked, split and on disk before anything is sent.

They are dealt out to shards, each small enough to be one batch of one model and one endpoint. `order` records which
shard each request went to, so that results can be given in the order of the requests; the bodies are only in the
shards. Memory does not grow with the number of requests: duplicate custom_ids are found by an index on disk.
"""

from __future__ import annotations

import hashlib
import os
from array import array
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import BinaryIO, TypeAlias

import attrs
import msgspec

from overlay.costs.estimate import Tally
from overlay.costs.tokens import CountedBy, TokenCounter
from overlay.errors import InvalidInputError, Problem, StorageError
from overlay.jobs.identity import Earlier, Place, canonical, identity
from overlay.jobs.records import Source, Unit
from overlay.jobs.seen_ids import SeenIds
from overlay.lines import BUFFER_BYTES, open_lines, split, storage_errors
from overlay.private import make_file, make_folder
from overlay.requests.checks import InputCheck, custom_id_of, inputs_of
from overlay.requests.request import Request
from overlay.results.result import Result, renamed
from overlay.services import Limits, ServiceProfile

_Group: TypeAlias = tuple[str, str | None, Source]
"""What the requests of a shard have in common: endpoint, model, and where their answers are from."""


def shard_path(folder: Path, shard: int, generation: int, part: int = 0) -> Path:
    """Where the requests of a shard's generation, or of a part of it, are in a job's folder."""
    return folder / "shards" / f"{shard_name(shard, generation, part)}.jsonl"


def shard_name(shard: int, generation: int, part: int) -> str:
    """What its files are called."""
    return f"{shard:05}-{generation}.{part}" if part else f"{shard:05}-{generation}"


def results_path(folder: Path, shard: int) -> Path:
    """Where a shard's answers are in a job's folder, one line per request, in the order of its requests."""
    return folder / "results" / f"{shard:05}.jsonl"


def places_path(folder: Path, shard: int) -> Path:
    """Where it is said, for each request of a shard of repeated ones, which shard and line it repeats."""
    return folder / "shards" / f"{shard:05}.repeats"


def notes_path(folder: Path) -> Path:
    """Where the digests of requests are that are only compared with those of a job."""
    return folder / "notes"


def reused_path(folder: Path, shard: int) -> Path:
    """An empty file, beside a shard whose answers are from earlier jobs."""
    return folder / "shards" / f"{shard:05}.reused"


@attrs.frozen
class Spooled:
    """What has been put on disk."""

    units: list[Unit]
    requests: int
    digest: str
    counted_by: CountedBy
    """How their tokens were estimated."""


class _Check(InputCheck):
    """The rules for one line, without those for a whole file: shards may differ in model and endpoint."""

    custom_id = ""
    url = ""
    line_model: str | None = None
    inputs = 0

    def _compare(self, custom_id: str, url: str, model: str | None) -> None:
        if not custom_id:
            self.report('"custom_id" is empty')
        self.custom_id, self.url, self.line_model = custom_id, url, model
        self.inputs = 0

    def _count_inputs(self, given: msgspec.Raw) -> None:
        self.inputs = inputs_of(given)


class _Writer:
    """A shard being filled."""

    def __init__(
        self, folder: Path | None, number: int, endpoint: str, model: str | None, source: Source = None
    ) -> None:
        """Without a folder, it is only counted."""
        self._file: BinaryIO | None = None
        self._beside: BinaryIO | None = None
        if folder is not None:
            self._file = _new_file(shard_path(folder, number, 0))
            if source == "reused":
                make_file(reused_path(folder, number))
                self._beside = _new_file(results_path(folder, number))
            elif source == "repeated":
                self._beside = _new_file(places_path(folder, number))
        self._digest = hashlib.sha256()
        self.unit = Unit(
            shard=number,
            generation=0,
            endpoint=endpoint,
            model=model,
            requests=0,
            shard_requests=0,
            bytes=0,
            tokens=0,
            sha256="",
            source=source,
        )

    def write(self, line: bytes, inputs: int, tokens: int) -> None:
        if self._file is not None:
            self._file.write(line)
            self._digest.update(line)
        self.unit.inputs += inputs
        self.unit.requests += 1
        self.unit.bytes += len(line)
        self.unit.tokens += tokens

    def settle(self, found: Result | Place, custom_id: str) -> None:
        """Note the answer of the request just written, or where it will be."""
        if self._beside is None:
            return
        if isinstance(found, Result):
            self._beside.write(renamed(found, custom_id).raw + b"\n")
        else:
            self._beside.write(array("I", (found.shard, found.number)).tobytes())

    def close(self) -> Unit:
        unit = self.unit
        for file in self._files():
            file.flush()
            os.fsync(file.fileno())
            file.close()
        if self._file is not None:
            unit.sha256 = self._digest.hexdigest()
        unit.shard_requests = unit.requests
        if unit.source == "reused":
            unit.state, unit.ok = "done", unit.requests
        elif unit.source == "repeated":
            unit.state = "repeats"
        return unit

    def abandon(self) -> None:
        for file in self._files():
            with suppress(OSError):  # a failed write has already been reported
                file.close()

    def _files(self) -> list[BinaryIO]:
        return [file for file in (self._file, self._beside) if file is not None]


def _new_file(path: Path) -> BinaryIO:
    return make_file(path).open("wb", buffering=BUFFER_BYTES)


class Spool:
    """A job's folder while its requests come in. With `keep=False` they are only checked and hashed,
    and with `counts=True` dealt out to shards that are counted and not written.
    """

    def __init__(
        self,
        folder: Path,
        limits: Limits,
        service: ServiceProfile,
        *,
        max_tokens: int | None,
        source: Path | None,
        keep: bool,
        counts: bool = False,
        bodies: bool = False,
        tally: Tally | None = None,
        earlier: Earlier | None = None,
        note: Callable[[bytes, str], bytes] | None = None,
    ) -> None:
        self._folder = folder
        self._limits = limits
        self._one_model = service.one_model
        self._max_tokens = max_tokens
        self._source = source
        self._keep = keep
        self._counts = counts
        self._tokens = TokenCounter()
        self._tally = tally
        self._earlier = earlier
        self._note = note
        of_lines = attrs.evolve(limits, requests=None, bytes=None, embedding_inputs=None)
        self._check = _Check(limits=of_lines, service=service, bodies=bodies)
        self._digest = hashlib.sha256()
        self._writers: dict[_Group, _Writer] = {}
        self._units: list[Unit] = []
        self._groups: set[_Group] = set()
        with storage_errors(folder):
            make_folder(folder / "shards")
            if earlier is not None:
                make_folder(folder / "results")
            self._order: BinaryIO = make_file(folder / "order").open("wb")
            self._seen = SeenIds(folder / "seen")
            self._notes = make_file(notes_path(folder)).open("wb") if note is not None else None

    def add(self, requests: Sequence[Request | bytes]) -> int:
        """Add requests, or lines of a file, and return how many bytes the longest has.

        Problems are kept until `finish`.
        """
        accepted: list[tuple[bytes, str, str, str | None, int]] = []
        ids: list[tuple[bytes, int]] = []
        longest = 1
        for request in requests:
            line = self._line(request)
            if line is None:
                continue
            longest = max(longest, len(line))
            before = self._check.count
            self._check.feed(line)
            check = self._check
            if check.count == before:
                self._check_size(len(line), check.inputs)
            if check.count > before:
                # Its id counts all the same: another line may have it, too.
                if name := custom_id_of(line):
                    ids.append((_short(name), check.requests))
                continue
            self._digest.update(canonical(line))
            if self._notes is not None and self._note is not None:
                with storage_errors(self._folder):
                    self._notes.write(self._note(line, check.custom_id))
            accepted.append((line, check.custom_id, check.url, check.line_model, check.inputs))
            ids.append((_short(check.custom_id), check.requests))
        self._note_ids(ids)
        if (self._keep or self._counts) and not self._check.count:
            with storage_errors(self._folder):
                self._deal(accepted)
        return longest

    def _line(self, request: object) -> bytes | None:
        if isinstance(request, bytes):
            return request if request.endswith(b"\n") else request + b"\n"
        try:
            if isinstance(request, Request):
                return request.to_line()
            reason = f"not a Request, but {type(request).__name__}"
        except InvalidInputError as error:
            reason = error.reason
        self._check.requests += 1
        self._check.report(reason)
        return None

    def _check_size(self, size: int, inputs: int) -> None:
        """A request that no batch can hold."""
        most = self._limits.bytes
        if most is not None and size > most:
            self._check.report(f"{size:,} bytes; a batch may have {most:,}")
        most = self._limits.embedding_inputs
        if most is not None and inputs > most:
            self._check.report(f"{inputs:,} texts to embed; a batch may have {most:,}")

    def _note_ids(self, ids: list[tuple[bytes, int]]) -> None:
        for place, first in self._seen.add(ids):
            reason = f'"custom_id" is already used by request {first:,}'
            self._check.report(reason, line=place, same_as=first)

    def _deal(self, accepted: Iterable[tuple[bytes, str, str, str | None, int]]) -> None:
        order = array("I")
        for line, custom_id, endpoint, model, inputs in accepted:
            found: Result | Place | None = None
            name = b""
            if self._earlier is not None:
                name = identity(line, endpoint)
                found = self._earlier.find(name)
            source: Source = None if found is None else "reused" if isinstance(found, Result) else "repeated"
            group: _Group = endpoint, model if self._one_model else None, source
            writer = self._writers.get(group)
            tokens = self._tokens.count(line, model) if found is None else 0
            if writer is None or self._is_full(writer, len(line), inputs, tokens):
                if writer is not None:
                    self._units.append(writer.close())
                self._groups.add(group)
                number = len(self._units) + len(self._writers) + (writer is None)
                writer = self._writers[group] = _Writer(self._folder if self._keep else None, number, *group)
            if found is not None:
                writer.settle(found, custom_id)
            elif self._earlier is not None:
                self._earlier.add(name, Place(writer.unit.shard, writer.unit.requests))
            writer.write(line, inputs, tokens)
            if self._tally is not None and found is None:
                self._tally.add(line, endpoint=endpoint, model=model, tokens=tokens)
            order.append(writer.unit.shard)
        self._order.write(order.tobytes())

    @property
    def warnings(self) -> list[Problem]:
        """What may be wrong with lines: the first hundred."""
        return self._check.warnings

    @property
    def warned(self) -> int:
        return self._check.warned

    def _is_full(self, writer: _Writer, size: int, inputs: int, tokens: int) -> bool:
        unit, limits = writer.unit, self._limits
        return (
            (limits.requests is not None and unit.requests + 1 > limits.requests)
            or (limits.bytes is not None and unit.bytes + size > limits.bytes)
            or (limits.embedding_inputs is not None and unit.inputs + inputs > limits.embedding_inputs)
            or (self._max_tokens is not None and unit.tokens + tokens > self._max_tokens)
        )

    def finish(self) -> Spooled:
        """Sync it to disk. Raises InvalidInputError with every problem."""
        if not self._check.requests:
            self._check.report("there are no requests", whole_file=True)
        self._check.problems.sort(
            key=lambda problem: problem.line or 0
        )  # duplicates were found in a second pass
        self._check.raise_problems(self._source)
        with storage_errors(self._folder):
            self._units += [writer.close() for writer in self._writers.values()]
            self._writers.clear()
            self._order.flush()
            os.fsync(self._order.fileno())
            self.close()
            if len(self._groups) == 1:
                # The shards follow one another: their own order is the order.
                (self._folder / "order").unlink()
        units = sorted(self._units, key=lambda unit: unit.shard)
        return Spooled(units, self._check.requests, self._digest.hexdigest(), self._tokens.counted_by)

    def close(self) -> None:
        """Close what is open."""
        for file in (self._order, self._notes):
            with suppress(OSError):
                if file is not None:
                    file.close()
        self._seen.close()
        for writer in self._writers.values():
            writer.abandon()


def _short(custom_id: str) -> bytes:
    """A custom_id as the index of those seen keeps it."""
    return hashlib.blake2b(custom_id.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def lines_of(path: Path) -> Generator[bytes]:
    """The lines of a file, closed before the last is given, so that few of many shards are open."""
    held = b""
    with open_lines(path) as file:
        for line in split(file):
            if held:
                yield held
            held = line
    if held:
        yield held


def read_in_order(
    order: Path, shards: Mapping[int, Path], read: Callable[[Path], Generator[bytes]] = lines_of
) -> Generator[bytes]:
    """The lines of several shards' files, one per request, in the order of the requests."""
    with ExitStack() as stack:
        sources: dict[int, Generator[bytes]] = {}
        numbers = array("I")
        file = stack.enter_context(open_lines(order))
        while chunk := file.read(numbers.itemsize * 65536):
            numbers = array("I", chunk)
            for number in numbers:
                source = sources.get(number)
                if source is None:
                    source = sources[number] = read(shards[number])
                    stack.callback(source.close)
                line = next(source, None)
                if line is None:
                    raise StorageError(f"{shards[number]}: lines are missing at the end", path=shards[number])
                yield line
