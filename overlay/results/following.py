"""The lines of a file at the service, read as they arrive.

As long as all goes well, nothing is written to disk, and the first line is there at once. If the connection
breaks, as it will for a reader who takes hours, the whole file is fetched to disk once, and reading continues
there, after the last line given.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeAlias

from overlay.errors import APIError, InvalidResponseError
from overlay.flows.steps import Flow, Stream, Work
from overlay.lines import BUFFER_BYTES, LINE_BYTES, open_lines, split
from overlay.operations.files import content_path, fetch_measured
from overlay.wire.body import Body
from overlay.wire.connection import Settings

Runner: TypeAlias = Callable[[Flow[Any]], Any]
"""Runs a flow to its end, and gives its value."""
Lines: TypeAlias = Generator[bytes, None, None]


def start(
    settings: Settings, stack: ExitStack, file_id: str, target: Path, run: Runner
) -> Flow[Lines | APIError | None]:
    """Start reading a file; if it does not come in one go, `run` fetches it to `target`.

    Gives the error if it does not even begin to come, and None if its length is not announced: it would look
    complete wherever it is cut, and must be fetched to disk. `stack` closes the connection.
    """
    try:
        body: Body = yield Stream(content_path(file_id))
    except APIError as error:
        return error
    size = body.size
    if size is None:
        body.close()
        return None
    stack.callback(body.close)
    return _arriving(body, lambda error: run(_whole(settings, file_id, target, size, error)))


def _whole(settings: Settings, file_id: str, target: Path, size: int, broken: APIError) -> Flow[Path]:
    measured = yield from fetch_measured(settings, file_id, target, lasting=False, broken=broken)
    found = yield Work(lambda: target.stat().st_size)
    if not measured and found != size:
        raise InvalidResponseError(
            f"{target.name}: the file changed while it was read: {found:,} of {size:,} bytes"
        )
    return target


def _arriving(body: Body, fetch_whole: Callable[[APIError], Path]) -> Lines:
    # A line is held back until another follows it: the last is given only if it is complete.
    held, start = b"", 0
    end: int | None = 0
    try:
        with io.BufferedReader(body, BUFFER_BYTES) as file:
            for line in split(file):
                begin = file.tell() - len(line) if end is None else end
                # Of a line that is too long, only the beginning is given, which does not say where it ends.
                end = begin + len(line) if len(line) <= LINE_BYTES else None
                if not line.isspace():
                    if held:
                        yield held
                    held, start = line, begin
    except APIError as error:
        broken = error
    else:
        if held:
            yield held
        return
    yield from _rest(fetch_whole(broken), start, held)


def _rest(path: Path, start: int = 0, first: bytes = b"") -> Lines:
    """The lines from `start` on; the `first` is already known."""
    with open_lines(path) as file:
        file.seek(start)
        lines = split(file)
        if first:
            if next(lines, b"") != first:
                raise InvalidResponseError(f"{path.name}: the file changed while it was read")
            yield first
        yield from lines
