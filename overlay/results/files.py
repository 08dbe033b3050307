"""The lines that come out: the files of an ended batch, read as they are or joined with its requests.

A batch leaves up to two files, one for the requests that succeeded and one for those that failed,
neither in the input's order; a request that never ran may stand in neither. `read_results` gives the
lines as the files have them, `join_results` one result for each request, in the requests' order.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import filterfalse
from pathlib import Path
from typing import BinaryIO

from overlay.errors import InvalidResponseError
from overlay.lines import LINE_BYTES, MIB, open_lines, split, storage_errors
from overlay.results.joining import JoinedResults, JoinReport
from overlay.results.result import Result
from overlay.results.shapes import LineError, Usage, decode_loosely

__all__ = [
    "JoinReport",
    "JoinedResults",
    "LineError",
    "Result",
    "Usage",
    "check_complete",
    "check_last_line",
    "join_results",
    "read_results",
    "results_in",
]


def read_results(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], *, line_bytes: int = LINE_BYTES
) -> Iterator[Result]:
    """Every answer in the files, in their order, as fast as the disk gives them.

    Blank lines are passed over. A line that cannot be read is a failed result with the error code
    `malformed_line`, and so is one longer than `line_bytes`, of which only the beginning is kept.
    Raises StorageError where a file cannot be read.
    """
    for path in [paths] if isinstance(paths, str | os.PathLike) else paths:
        with open_lines(Path(path)) as file:
            yield from results_in(split(file, line_bytes))


def results_in(lines: Iterable[bytes]) -> Iterator[Result]:
    """The answers that lines are; blank ones are passed over."""
    return map(Result, filterfalse(bytes.isspace, lines))


def join_results(
    requests: str | os.PathLike[str] | Iterable[str],
    answers: Iterable[str | os.PathLike[str]],
    *,
    line_bytes: int = LINE_BYTES,
) -> JoinedResults:
    """One result for each request, in the requests' order, whatever the order of the answers.

    `requests` is the input file, or the custom_ids in order; `answers` are the batch's output and error
    file, as far as there are any. The answers are indexed at once; raises StorageError where a file
    cannot be read, InvalidInputError where a line of the requests has no custom_id.
    """
    return JoinedResults(requests, answers, line_bytes=line_bytes)


def check_complete(path: str | os.PathLike[str]) -> None:
    """Make sure that a downloaded file was not cut: its last line must be a JSON object.

    An empty file passes. Raises InvalidResponseError, or StorageError where the file cannot be read.
    """
    path = Path(path)
    with open_lines(path) as file, storage_errors(path):
        last = _last_line(file)
    check_last_line(path.name, last)


def check_last_line(name: str, line: bytes) -> None:
    """Make sure that the last line of a file is whole. Raises InvalidResponseError."""
    # A line too long to be read is not judged here: reading the results flags it.
    if line and len(line) <= LINE_BYTES and decode_loosely(line) is None:
        raise InvalidResponseError(f"{name}: the last line is not whole; the download was cut")


def _last_line(file: BinaryIO) -> bytes:
    """The last line that is not blank, or the end of it where it is longer than LINE_BYTES."""
    tail = b""
    begin, step = file.seek(0, os.SEEK_END), MIB
    while begin > 0 and b"\n" not in tail and len(tail) <= LINE_BYTES:
        end, begin = begin, max(0, begin - step)
        file.seek(begin)
        tail = (file.read(end - begin) + tail).rstrip()
        step *= 2
    return tail.rpartition(b"\n")[2]
