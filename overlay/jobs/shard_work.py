"""What workers do for a job of uploaded shards: flows of (rows, service) that cost nothing to repeat.

None of them creates a batch. Done twice, they leave a file at the service that no batch names, which `clean` knows
by its name, and a file in the workers' place that no ledger names.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Literal

import attrs

from overlay.errors import (
    APIError,
    FileGoneError,
    NotFoundError,
    OverlayError,
    StorageError,
    UnclaimedAnswersError,
)
from overlay.flows.steps import Flow, Work
from overlay.jobs.home import checked_job_id
from overlay.jobs.merging import fetched_path, merge
from overlay.jobs.preparing import Requests, spool_folder, take_in
from overlay.jobs.records import Unit
from overlay.jobs.shard_requests import bring, file_name, upload
from overlay.jobs.splitting import parts_of
from overlay.jobs.spool import results_path, shard_path
from overlay.jobs.troubles import concerns_one
from overlay.jobs.uploaded import Place, ShardOutcome, ShardTask, UploadedShard
from overlay.lines import open_lines, split
from overlay.models import Batch, says_complete
from overlay.operations import files
from overlay.results.answer_files import fetch_answers, is_absent, may_appear_for
from overlay.results.fetching import with_files
from overlay.results.files import read_results
from overlay.results.result import Result
from overlay.results.shapes import GIVEN_UP, LineError, custom_id_bytes
from overlay.services import Limits
from overlay.wire.connection import Settings
from overlay.wire.retry import is_transient


def upload_shards(
    settings: Settings,
    requests: Requests,
    *,
    id: str,  # noqa: A002 - as `submit` has it
    home: str,
    place: Place,
    limits: Limits | None = None,
    max_enqueued_tokens: int | None = None,
) -> Flow[list[UploadedShard]]:
    """Check requests, split them as `submit` does, upload the shards for the job `id` of the home folder whose id
    is `home`, and keep a copy of each in `place`. No batch is created.

    Raises InvalidInputError with every bad request, with nothing sent; StorageError; what the service refuses.
    """
    job_id = checked_job_id(id)
    with ExitStack() as stack:
        folder: Path = yield Work(partial(spool_folder, settings, stack))
        spooled = yield from take_in(
            settings.service,
            requests,
            folder,
            stack,
            limits=limits,
            max_tokens=max_enqueued_tokens,
            keep=True,
        )
        sent: list[UploadedShard] = []
        for unit in spooled.units:
            path = shard_path(folder, *unit.key)
            sent.append((yield from upload(settings, path, unit, file_name(home, job_id, unit), place)))
    return sent


def do_task(
    settings: Settings,
    task: ShardTask,
    *,
    id: str,  # noqa: A002 - as `submit` has it
    home: str,
    place: Place,
) -> Flow[ShardOutcome]:
    """Do what the ledger of the job `id`, in the home folder whose id is `home`, wants done for a shard.

    Raises FileGoneError, UnclaimedAnswersError, StorageError, and what the service refuses.
    """
    job_id = checked_job_id(id)
    with ExitStack() as stack:
        folder: Path = yield Work(partial(spool_folder, settings, stack))
        unit = _first_generation(task)
        try:
            yield from bring(settings, task, unit, folder, place)
        except StorageError as error:
            if not (_lets_go(task) and concerns_one(error)):
                raise
            return attrs.evolve(_nothing_of(task), missing=task.requests, problem=str(error))
        outcome = _nothing_of(task)
        left: list[Unit] = [unit]
        if task.kind == "split":
            left = yield Work(lambda: list(parts_of(folder, unit, 1, task.most_tokens or unit.tokens)))
        elif task.kind == "join":
            outcome, left = yield from _join(settings, task, unit, folder, place)
        sent: list[UploadedShard] = []
        for each in left:
            path = shard_path(folder, *each.key)
            sent.append((yield from upload(settings, path, each, file_name(home, job_id, each), place)))
    return attrs.evolve(outcome, uploaded=sent)


def _nothing_of(task: ShardTask) -> ShardOutcome:
    return ShardOutcome(shard=task.shard, generation=task.generation, part=task.part)


def _first_generation(task: ShardTask) -> Unit:
    """The shard as a folder of its own has it."""
    return Unit(
        shard=0,
        generation=0,
        endpoint=task.endpoint,
        model=task.model,
        requests=task.requests,
        shard_requests=task.requests,
        bytes=task.size,
        tokens=task.tokens,
        inputs=task.inputs,
        sha256=task.sha256,
        batch_id=task.batch_id,
    )


def _lets_go(task: ShardTask) -> bool:
    """Whether what is lost counts as missing: otherwise a job that is cancelled, or given up, would never end."""
    return task.kind == "join" and (not task.whole or task.given_up is not None)


class _LateError(Exception):
    """A result file that is not there yet. Waiting for it here would hold up a worker."""


def _join(
    settings: Settings, task: ShardTask, unit: Unit, folder: Path, place: Place
) -> Flow[tuple[ShardOutcome, list[Unit]]]:
    try:
        batch, answers = (yield from _answers(settings, task, unit, folder)) if task.batch_id else (None, [])
    except _LateError as late:
        return attrs.evolve(_nothing_of(task), error=str(late), scope="passing"), []
    given_up = None if task.given_up is None else LineError(GIVEN_UP, f"given up: {task.given_up}")
    settle = partial(
        merge,
        folder,
        unit,
        answers,
        again=task.again and given_up is None,
        completed=task.whole and batch is not None and says_complete(batch),
        match=task.match,
        unanswered=given_up,
    )
    try:
        following: Unit | None = yield Work(settle)
    except UnclaimedAnswersError as error:
        raise _as_elsewhere(error, task) from None
    staged = yield Work(partial(place.write, _final(folder, following)))
    result_files = [each for each in (batch.output_file_id, batch.error_file_id) if each] if batch else []
    outcome = attrs.evolve(
        _nothing_of(task),
        ok=unit.ok,
        missing=unit.missing if following is None else 0,
        strays=unit.strays,
        input_tokens=unit.input_tokens,
        output_tokens=unit.output_tokens,
        problem=unit.problem,
        staged=staged,
        result_files=result_files,
    )
    return outcome, [] if following is None else [following]


def _answers(
    settings: Settings, task: ShardTask, unit: Unit, folder: Path
) -> Flow[tuple[Batch | None, list[Path]]]:
    def get(file_id: str, path: Path) -> Flow[bool | None]:
        try:
            return (yield from files.fetch_measured(settings, file_id, path, lasting=False))
        except FileGoneError as error:
            if task.given_up is None and is_absent(error) and may_appear_for(settings, batch) > 0:
                raise _LateError(f"waiting for its results to appear: {error}") from None
            if not _lets_go(task):
                raise
            return None

    try:
        batch = yield from with_files(settings, task.batch_id or "")
    except NotFoundError:
        if task.given_up is None:
            raise
        return None, []
    answers = yield from fetch_answers(batch, partial(fetched_path, folder, unit), get)
    return batch, answers


def _as_elsewhere(error: UnclaimedAnswersError, task: ShardTask) -> UnclaimedAnswersError:
    return UnclaimedAnswersError(
        f"{error.unclaimed:,} answers of {task.batch_id} name no request, and {error.missing:,} requests have no "
        "answer; nothing is sent again, as the answers were paid for; if the service keeps the order of the "
        "requests, run it again with match='order'",
        missing=error.missing,
        unclaimed=error.unclaimed,
        path=error.path,
    )


def _final(folder: Path, following: Unit | None) -> Iterator[Result]:
    """The results of the requests that are not sent again."""
    results = read_results(results_path(folder, 0))
    if following is None:
        yield from results
        return
    with open_lines(shard_path(folder, *following.key)) as file:
        again = (custom_id_bytes(line) for line in split(file))
        waiting = next(again, None)
        for result in results:
            if waiting is not None and custom_id_bytes(result.raw) == waiting:
                waiting = next(again, None)
            else:
                yield result


def failed_task(task: ShardTask, error: OverlayError) -> ShardOutcome:
    """What a worker tells the ledger's owner where it could not do a task."""
    scope: Literal["passing", "shard", "everything"] = "shard" if concerns_one(error) else "everything"
    if isinstance(error, APIError) and is_transient(error):
        scope = "passing"
    return attrs.evolve(_nothing_of(task), error=f"{type(error).__name__}: {error}", scope=scope)
