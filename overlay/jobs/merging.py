"""From a batch's files to final answers: local work on disk.

The answers to each generation of a shard are joined with its requests. They go to the shard's results, in the
order of its requests; requests that may still succeed also go to the next generation. Doing it again after a crash
gives the same files.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, nullcontext
from functools import partial
from pathlib import Path

from overlay.errors import StorageError, UnclaimedAnswersError
from overlay.jobs.attempts import NEVER_RAN, may_succeed
from overlay.jobs.records import Unit
from overlay.jobs.spool import results_path, shard_name, shard_path
from overlay.lines import BOM, open_lines, replacing, split, storage_errors, sync_folder
from overlay.private import make_folder
from overlay.results.files import join_results
from overlay.results.matching import Match, Unclaimed
from overlay.results.reading import failure_of
from overlay.results.result import Result, failed_result, missing_result
from overlay.results.shapes import GIVEN_UP, MISSING, REFUSED, SHAPELESS, LineError, custom_id_bytes

_SAYS_NOTHING = frozenset({MISSING, GIVEN_UP, REFUSED})
_SAYS_LESS = NEVER_RAN | _SAYS_NOTHING
"""Codes that do not take the place of an earlier answer."""
_FETCHED = re.compile(r"\.?fetched-(\d+)-(\d+)(?:\.(\d+))?-")


def fetched_path(folder: Path, unit: Unit, kind: str) -> Path:
    """Where a file of a unit's answers is kept until they are settled."""
    return folder / f"fetched-{shard_name(*unit.key)}-{kind}.jsonl"


def remove_fetched(folder: Path, units: Iterable[Unit]) -> None:
    """Remove the fetched files, whole or partial, of units that are done."""
    done = {unit.key for unit in units if unit.state == "done"}
    for path in folder.glob("*fetched-*"):
        found = _FETCHED.match(path.name)
        if found is not None and tuple(int(number or 0) for number in found.groups()) in done:
            path.unlink(missing_ok=True)


def remove_parts(folder: Path) -> None:
    """Remove what a dead process was writing; only for the holder of the job's lock."""
    for path in folder.glob("*/.*.part"):
        path.unlink(missing_ok=True)


def never_ran(result: Result) -> bool:
    """Whether a request failed because it was never run."""
    return result.error is not None and result.error.code in NEVER_RAN


def merge(
    folder: Path,
    unit: Unit,
    answers: Sequence[Path],
    *,
    again: bool,
    completed: bool = False,
    match: Match = "custom_id",
    unanswered: LineError | None = None,
) -> Unit | None:
    """Write the results of a generation, count them on the unit, and return the next generation, if any.

    `again` says whether one may follow, `completed` whether the service says that it answered everything. Then,
    where none of its lines is an answer, nothing follows, and `unit.problem` says why; and where lines that name no
    request may be the answers that are missing, UnclaimedAnswersError is raised, and no result is changed.
    `unanswered` is what the result of a request without an answer says, by default that it is missing.

    Raises StorageError if a file of ours is damaged, or the disk fails.
    """
    for name in ("results", "strays"):
        make_folder(folder / name)
    requests = shard_path(folder, *unit.key)
    following = shard_path(folder, unit.shard, unit.generation + 1, unit.part)
    unit.ok = unit.missing = unit.input_tokens = unit.output_tokens = unit.strays = 0
    unit.problem = None
    next_unit = _following(unit)
    digest = hashlib.sha256()
    fresh = folder / "results" / f"{shard_name(*unit.key)}.fresh"
    shapes = _Shapes()
    with ExitStack() as stack:
        lines = split(stack.enter_context(open_lines(requests)))
        refuse = partial(_refuse, folder, unit) if completed else None
        joined = stack.enter_context(join_results(_Ids(requests), answers, match=match, refuse=refuse))
        out = stack.enter_context(replacing(fresh))
        retry = stack.enter_context(replacing(following) if again else nullcontext())
        for found, line in zip(joined, lines, strict=False):
            result = found
            if unanswered is not None and _is_missing(found):
                result = failed_result(found.custom_id or "", unanswered.code or MISSING, unanswered.message)
            with storage_errors(fresh):
                out.write(result.raw.removeprefix(BOM) + b"\n")
            shapes.see(result.error)
            usage = result.usage
            if usage is not None:
                unit.input_tokens += usage.input_tokens or 0
                unit.output_tokens += usage.output_tokens or 0
            if result.ok:
                unit.ok += 1
            elif retry is not None and may_succeed(result):
                with storage_errors(following):
                    retry.write(line)
                digest.update(line)
                next_unit.requests += 1
                next_unit.bytes += len(line)
                next_unit.tokens += unit.tokens_of(len(line))
        if joined.report.total != unit.requests:
            raise StorageError(
                f"{requests}: holds {joined.report.total:,} requests instead of {unit.requests:,}",
                path=requests,
            )
        unit.missing = 0 if unanswered is not None else joined.report.missing
        unit.strays = _keep_strays(folder, unit, map(shapes.passing, joined.strays()))
    _merge_generations(folder, unit, fresh)
    if completed and (reason := shapes.all_wrong):
        unit.problem = f"none of the {shapes.lines:,} lines is an answer, so nothing is sent again: {reason}"
        next_unit.requests = 0
    if not next_unit.requests:
        following.unlink(missing_ok=True)
        return None
    next_unit.sha256 = digest.hexdigest()
    next_unit.inputs = unit.inputs * next_unit.requests // unit.requests
    return next_unit


class _Shapes:
    """Whether there is any line that the service meant: an answer, or a failure that it speaks of."""

    def __init__(self) -> None:
        self.lines = 0
        self._first: LineError | None = None
        self._others = False

    def see(self, error: LineError | None) -> None:
        """The error of a result; a missing one has no line."""
        if error is not None and error.code == MISSING:
            return
        self.lines += 1
        if error is None or error.code not in SHAPELESS:
            self._others = True
        elif self._first is None:
            self._first = error

    def passing(self, stray: Result) -> Result:
        """Look at a line that names no request."""
        if not self._others:
            self.see(failure_of(stray.raw))
        return stray

    @property
    def all_wrong(self) -> str:
        """What is wrong with the first, if all are."""
        return "" if self._others or self._first is None else str(self._first)


def _refuse(folder: Path, unit: Unit, found: Unclaimed) -> UnclaimedAnswersError | None:
    """Keep lines that may be the answers that are missing, and say what can be done about them."""
    if not found.may_be_missed:
        return None
    lines = _keep_strays(folder, unit, found.results())
    path = _strays_path(folder, unit)
    advice = (
        "if the service keeps the order of the requests, match them by it: "
        f'`overlay jobs resume {folder.name} --match order`, or client.jobs.wait({folder.name!r}, match="order")'
        if lines == found.missing
        else "they cannot be matched by order, as they are not as many"
    )
    return UnclaimedAnswersError(
        f"job {folder.name}, shard {unit.shard}: {lines:,} answers of {unit.batch_id} name no request, and "
        f"{found.missing:,} requests have no answer; nothing is sent again, as the answers were paid for; they are "
        f"kept in {path}; {advice}; to end the job without them, cancel it",
        missing=found.missing,
        unclaimed=lines,
        path=path,
    )


class _Ids:
    """The custom_ids of a shard, in order, as often as they are asked for."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __iter__(self) -> Iterator[str]:
        with open_lines(self._path) as file:
            for line in split(file):
                yield (custom_id_bytes(line) or b"").decode()


def _following(unit: Unit) -> Unit:
    return Unit(
        shard=unit.shard,
        generation=unit.generation + 1,
        part=unit.part,
        attempts_from=unit.attempts_from,
        endpoint=unit.endpoint,
        model=unit.model,
        requests=0,
        shard_requests=unit.shard_requests,
        bytes=0,
        tokens=0,
        sha256="",
    )


def _strays_path(folder: Path, unit: Unit) -> Path:
    return folder / "strays" / f"{shard_name(*unit.key)}.jsonl"


def _keep_strays(folder: Path, unit: Unit, strays: Iterator[Result]) -> int:
    path = _strays_path(folder, unit)
    count = 0
    with replacing(path) as file:
        for stray in strays:
            file.write(stray.raw + b"\n")
            count += 1
    if not count:
        path.unlink()
    return count


def _merge_generations(folder: Path, unit: Unit, fresh: Path) -> None:
    """Replace earlier answers by this generation's where these are better."""
    target = results_path(folder, unit.shard)
    if unit.generation == 0 and not unit.part:
        fresh.replace(target)
        sync_folder(target.parent)
        return
    if not target.exists():
        _write_unanswered(folder, unit.shard, target)
    unit.missing = 0
    with open_lines(target) as old, open_lines(fresh) as new, replacing(target) as merged:
        later = split(new)
        line = next(later, b"")
        for kept in split(old):
            if line and custom_id_bytes(line) == custom_id_bytes(kept):
                kept, line = _better(kept, line), next(later, b"")  # noqa: PLW2901 - the better of two
                unit.missing += _code(kept) == MISSING
            merged.write(kept)
        if line:
            raise StorageError(f"{target}: does not hold the requests of {fresh}", path=target)
    fresh.unlink()


def _write_unanswered(folder: Path, shard: int, target: Path) -> None:
    """Results in which no request of a shard has an answer yet: the first of its parts is merged into these."""
    with open_lines(shard_path(folder, shard, 0)) as requests, replacing(target) as file:
        for line in split(requests):
            file.write(missing_result((custom_id_bytes(line) or b"").decode()).raw + b"\n")


def _better(earlier: bytes, later: bytes) -> bytes:
    """The later answer, unless it only says that there was none and the earlier one says more."""
    return earlier if _code(later) in _SAYS_LESS and _code(earlier) not in _SAYS_NOTHING else later


def _is_missing(result: Result) -> bool:
    return result.error is not None and result.error.code == MISSING


def _code(line: bytes) -> str | None:
    error = Result(line).error
    return error.code if error is not None else None


def verify(folder: Path, unit: Unit) -> Path:
    """The file of a unit's requests, once it has been checked against the ledger."""
    path = shard_path(folder, *unit.key)
    digest = hashlib.sha256()
    with storage_errors(path), path.open("rb") as file:
        while chunk := file.read(1024 * 1024):
            digest.update(chunk)
    if digest.hexdigest() != unit.sha256:
        raise StorageError(f"{path}: changed since it was spooled; the job cannot continue", path=path)
    return path
