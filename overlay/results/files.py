"""The lines that come out: the files of an ended batch, read as they are or joined with its requests.

A batch leaves up to two files, one for the requests that succeeded and one for those that failed,
neither in the input's order; a request that never ran may be in neither. `read_results` gives the
lines as the files have them, `join_results` one result for each request, in the requests' order.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import filterfalse
from pathlib import Path

from overlay.lines import LINE_BYTES, open_lines, split
from overlay.results.joining import JoinedResults, Refuse
from overlay.results.matching import Match
from overlay.results.result import Result


def read_results(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], *, line_bytes: int = LINE_BYTES
) -> Iterator[Result]:
    """Every answer in the files, in their order, as fast as the disk gives them.

    Blank lines are skipped. A line that cannot be read becomes a failed result with the error code
    `malformed_line`, and so does one longer than `line_bytes`, of which only the beginning is kept.
    Raises StorageError if a file cannot be read.
    """
    for path in [paths] if isinstance(paths, str | os.PathLike) else paths:
        with open_lines(Path(path)) as file:
            yield from results_in(split(file, line_bytes))


def results_in(lines: Iterable[bytes]) -> Iterator[Result]:
    """One answer for each line; blank ones are skipped."""
    return map(Result, filterfalse(bytes.isspace, lines))


def join_results(
    requests: str | os.PathLike[str] | Iterable[str],
    answers: Iterable[str | os.PathLike[str]],
    *,
    line_bytes: int = LINE_BYTES,
    match: Match = "custom_id",
    refuse: Refuse | None = None,
) -> JoinedResults:
    """One result for each request, in the requests' order, whatever the order of the answers.

    `requests` is the input file, or the custom_ids in order; `answers` are the batch's output and error
    file, if any. With `match="order"`, answers that name no request go to the requests without an answer, each in
    their order, if there are as many; if not, `refuse` says whether to go on.

    The answers are indexed at once; raises StorageError if a file cannot be read,
    InvalidInputError if a line of the requests has no custom_id.
    """
    return JoinedResults(requests, answers, line_bytes=line_bytes, match=match, refuse=refuse)
