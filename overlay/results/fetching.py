"""The files of an ended batch, fetched to disk and joined there with the requests."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from itertools import chain
from pathlib import Path

import attrs

from overlay.errors import (
    APIError,
    BatchFailedError,
    BatchNotEndedError,
    ConfigurationError,
    FileGoneError,
    NoResultsError,
    Problem,
    UnclaimedAnswersError,
)
from overlay.flows.steps import Flow, Sleep, Work, deadline
from overlay.models import Batch, plain_id, says_complete
from overlay.operations.batches import retrieve
from overlay.operations.files import fetch
from overlay.results.answer_files import fetch_answers, fetch_patiently
from overlay.results.files import join_results, read_results, results_in
from overlay.results.following import Lines, Runner, start
from overlay.results.iterables import Opened
from overlay.results.matching import Match, Unclaimed, checked_match
from overlay.statuses import plain_status
from overlay.wire.connection import Settings

_FILES_APPEAR_SECONDS = 10.0
"""How long a completed batch may lack the id of a file that its counts promise."""
_LOOK_SECONDS = 1.0
_ANSWERS = "{}.jsonl"


@attrs.frozen
class ResultsQuery:
    """Which results were asked for."""

    batch_id: str
    requests: Path | None
    ordered: bool
    match: Match
    run: Runner | None
    """Runs flows while results are being read; None if nothing can."""


def open_batch(query: ResultsQuery, settings: Settings, stack: ExitStack) -> Flow[Opened]:
    """Fetch a batch's files into a temporary folder, and start reading them. `stack` cleans up both."""
    folder: Path = yield Work(partial(_folder, stack))
    batch = yield from with_files(settings, query.batch_id)
    if plain_status(batch.status) == "failed" and not (batch.output_file_id or batch.error_file_id):
        raise failed(batch, query.requests)
    stored = _blobs(batch, "output_blob", "error_blob")
    if stored and not (batch.output_file_id or batch.error_file_id):
        raise NoResultsError(
            f"batch {batch.id} wrote its results to your own storage: download {' and '.join(stored)} from there",
            batch_id=batch.id,
        )
    arriving: Lines | None = None
    broken: dict[str, APIError] = {}
    if batch.output_file_id and query.run is not None and not query.ordered:
        path = folder / _ANSWERS.format("output")
        started = yield from start(settings, stack, batch.output_file_id, path, query.run)
        if isinstance(started, APIError):
            broken[batch.output_file_id] = started
        else:
            arriving = started
    answers = yield from fetch_answers(
        batch,
        lambda name: folder / _ANSWERS.format(name),
        partial(fetch_patiently, settings, batch, broken),
        errors_only=arriving is not None,
    )
    if not query.ordered:
        return Opened(chain(results_in(arriving or ()), read_results(answers)), batch)
    requests = query.requests
    if requests is None:
        if not batch.input_file_id:
            blobs = _blobs(batch, "input_blob")
            place = f": its input is in your own storage, {blobs[0]}" if blobs else ""
            raise NoResultsError(
                f"batch {batch.id} names no input file to take the order from{place}; pass requests= (your copy of "
                "it) or ordered=False",
                batch_id=batch.id,
            )
        if not settings.service.gives_input:
            raise NoResultsError(
                f"{settings.service} does not give input files back, and with them the order of the results: pass "
                "requests= (your copy of it) or ordered=False",
                batch_id=batch.id,
            )
        try:
            requests = yield from fetch(settings, batch.input_file_id, folder / "input.jsonl", lasting=False)
        except FileGoneError as error:
            raise FileGoneError(
                f"the input file {batch.input_file_id} is gone, and with it the order of the results: pass "
                "requests= (your copy of it) or ordered=False",
                status_code=error.status_code,
                request_id=error.request_id,
            ) from None
    refuse = partial(_refuse, batch, query.match)
    joined = yield Work(partial(join_results, requests, answers, match=query.match, refuse=refuse))
    stack.push(joined)
    return Opened(joined, batch, joined.report)


def with_files(settings: Settings, batch_id: str) -> Flow[Batch]:
    """An ended batch, once it names the files that its counts promise, if it ever does.

    Raises BatchNotEndedError, and NoResultsError if a completed batch still names no file at all.
    """
    until = deadline(settings, _FILES_APPEAR_SECONDS)
    while True:
        batch = yield from retrieve(settings, batch_id)
        if not batch.ended:
            raise BatchNotEndedError(
                f"batch {batch.id} is {batch.status}: wait for it to end before reading its results",
                batch_id=batch.id,
                status=batch.status,
            )
        if not _lacks_files(batch):
            break
        if until.left <= 0:
            if says_complete(batch) and not (batch.output_file_id or batch.error_file_id):
                raise NoResultsError(_nothing_to_fetch(batch), batch_id=batch.id)
            break
        yield Sleep(_LOOK_SECONDS)
    return batch


def _nothing_to_fetch(batch: Batch) -> str:
    return f"batch {batch.id} is {batch.status} but names no result file; ask the service's support"


def _blobs(batch: Batch, *names: str) -> list[str]:
    """The places in a storage of the user's own that a batch names; Azure has them."""
    found = (batch.additional_properties.get(name) for name in names)
    return [place for place in found if isinstance(place, str) and place]


def _lacks_files(batch: Batch) -> bool:
    """Whether a completed batch has not yet named the files its results must be in."""
    if not says_complete(batch) or _blobs(batch, "output_blob", "error_blob"):
        return False
    counts = batch.request_counts
    if not (batch.output_file_id or batch.error_file_id):
        return True
    return counts is not None and bool(
        (counts.completed and not batch.output_file_id) or (counts.failed and not batch.error_file_id)
    )


def failed(batch: Batch, requests: Path | None) -> BatchFailedError:
    """The error for a batch that was refused as a whole, with the reasons by line of the user's own file."""
    entries = (batch.errors.data if batch.errors is not None else None) or []
    problems = [
        Problem(entry.line, f"{entry.message or 'no message'} ({entry.code or 'no code'})")
        for entry in entries
    ]
    place = str(requests) if requests is not None else f"input file {batch.input_file_id}"
    return batch_failed(batch.id, place, problems)


def batch_failed(batch_id: str, place: str, problems: Sequence[Problem]) -> BatchFailedError:
    """The error for a batch whose requests, at `place`, have these problems."""
    shown = "; ".join(str(problem) for problem in problems[:3]) or "the service gives no reason"
    more = f" (and {len(problems) - 3:,} more)" if len(problems) > 3 else ""  # noqa: PLR2004 - those shown
    return BatchFailedError(
        f"batch {batch_id} failed, nothing ran: {place}: {shown}{more}", batch_id=batch_id, problems=problems
    )


def _folder(stack: ExitStack) -> Path:
    folder = tempfile.mkdtemp(prefix="overlay-")
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def results_query(
    batch_id: str,
    requests: str | os.PathLike[str] | None,
    *,
    ordered: bool,
    match: Match,
    run: Runner | None = None,
) -> ResultsQuery:
    """Raises ConfigurationError."""
    checked_match(match)
    if match == "order" and not ordered:
        raise ConfigurationError(
            'match="order" puts answers to their requests, which ordered=False does not read'
        )
    return ResultsQuery(plain_id(batch_id), None if requests is None else Path(requests), ordered, match, run)


def _refuse(batch: Batch, match: Match, found: Unclaimed) -> UnclaimedAnswersError | None:
    """What to say where no answer names a request, or where those that name none are not as many as are missing."""
    lines = len(found.entries)
    counts = f"{lines:,} answers name no request of the input, and {found.missing:,} requests have no answer"
    if match == "order":
        if not lines:
            return None
        advice = "they cannot be matched by order, as they are not as many"
    elif says_complete(batch) and found.may_be_missed and found.missing == found.requests:
        advice = (
            'if the service keeps the order of the requests, match="order" (`--match order`) matches them by it'
            if lines == found.missing
            else "is this the input of that batch?"
        )
    else:
        return None  # the report says how many there are
    return UnclaimedAnswersError(
        f"batch {batch.id}: {counts}: {advice}; ordered=False (`--unordered`) gives them as they are",
        missing=found.missing,
        unclaimed=lines,
    )
