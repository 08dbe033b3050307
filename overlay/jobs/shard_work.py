"""What workers do for a job of uploaded shards: flows of (rows, service) that cost nothing to repeat.

None of them creates a batch. Done twice, they leave a file at the service that no batch names, which `clean` knows
by its name, and a file in the workers' place that no ledger names.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Literal

import attrs

from overlay.errors import APIError, FileGoneError, NotFoundError, OverlayError, UnclaimedAnswersError
from overlay.flows.steps import Flow, Work, deadline, pause
from overlay.jobs.home import checked_job_id
from overlay.jobs.merging import fetched_path, merge, verify
from overlay.jobs.preparing import Requests, spool_folder, take_in
from overlay.jobs.records import Unit
from overlay.jobs.splitting import parts_of
from overlay.jobs.spool import results_path, shard_path
from overlay.jobs.troubles import concerns_one
from overlay.jobs.uploaded import Place, ShardOutcome, ShardTask, UploadedShard, facts_of
from overlay.lines import open_lines, split
from overlay.models import Batch, File, says_complete
from overlay.operations import files
from overlay.private import make_folder
from overlay.results.answer_files import fetch_answers
from overlay.results.fetching import with_files
from overlay.results.files import read_results
from overlay.results.result import Result
from overlay.results.shapes import GIVEN_UP, LineError, custom_id_bytes
from overlay.services import Limits
from overlay.wire.connection import Settings
from overlay.wire.retry import asked_wait, is_transient, jitter

_PATIENCE = 600.0
"""For how many seconds an upload is tried that the service cannot take now."""


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
            sent.append((yield from _upload(settings, path, unit, _name(home, job_id, unit), place)))
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
        yield Work(partial(_bring, folder, unit, place))
        outcome = _nothing_of(task)
        left: list[Unit] = [unit]
        if task.kind == "split":
            left = yield Work(lambda: list(parts_of(folder, unit, 1, task.most_tokens or unit.tokens)))
        elif task.kind == "join":
            outcome, left = yield from _join(settings, task, unit, folder, place)
        sent: list[UploadedShard] = []
        for each in left:
            path = shard_path(folder, *each.key)
            sent.append((yield from _upload(settings, path, each, _name(home, job_id, each), place)))
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


def _bring(folder: Path, unit: Unit, place: Place) -> None:
    make_folder(folder / "shards")
    place.fetch(unit.sha256, shard_path(folder, *unit.key))
    verify(folder, unit)


def _name(home: str, job_id: str, unit: Unit) -> str:
    """What a shard's file is called at the service: by it, `clean` knows whose it is."""
    return f"overlay-{home}-{job_id}-x{unit.sha256[:16]}.jsonl"


def _upload(settings: Settings, path: Path, unit: Unit, name: str, place: Place) -> Flow[UploadedShard]:
    first, last = yield Work(partial(_ends, path))
    # Before it is sent: a batch whose requests nobody has any more could not be joined.
    yield Work(partial(place.keep, unit.sha256, path))
    sent = yield from _patiently(settings, partial(files.upload, settings, path, filename=name))
    return UploadedShard(
        file_id=sent.id,
        file_created_at=sent.created_at,
        first_key=first,
        last_key=last,
        **facts_of(unit),
    )


def _patiently(settings: Settings, upload: Callable[[], Flow[File]]) -> Flow[File]:
    """Through an outage: a partition that fails is computed anew."""
    until, attempt = deadline(settings, _PATIENCE), 0
    while True:
        try:
            return (yield from upload())
        except APIError as error:
            if until.left <= 0 or not is_transient(error):
                raise
            why, wait = str(error), max(asked_wait(error), jitter(attempt))
        yield from pause(why, min(until.left, wait))
        attempt += 1


def _ends(path: Path) -> tuple[str, str]:
    """The custom_ids of the first and the last request."""
    with open_lines(path) as file:
        lines = split(file)
        first = next(lines)
        last = deque(lines, maxlen=1)
    return _id(first), _id(last[0] if last else first)


def _id(line: bytes) -> str:
    return (custom_id_bytes(line) or b"").decode("utf-8", "replace")


def _join(
    settings: Settings, task: ShardTask, unit: Unit, folder: Path, place: Place
) -> Flow[tuple[ShardOutcome, list[Unit]]]:
    batch, answers = (yield from _answers(settings, task, unit, folder)) if task.batch_id else (None, [])
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
        except FileGoneError:
            if task.given_up is None and task.whole:
                raise
            return None  # in a job that was cancelled, or given up, what is gone counts as missing

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
