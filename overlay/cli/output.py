"""What goes to stdout: one JSON document, JSON lines, or a table for people."""

from __future__ import annotations

import errno
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

from overlay.cli.columns import Column, fitted, shown, terminal_width
from overlay.cli.endings import PipeClosedError, say, silence
from overlay.errors import StorageError, one_line

T = TypeVar("T")

_NO_LIMIT = 10_000
"""Columns: wider than any table, so that no id is truncated; terminals wrap long lines."""


def write(data: bytes) -> None:
    """Write bytes to stdout. Raises PipeClosedError if its reader is gone, StorageError if writing fails."""
    try:
        sys.stdout.buffer.write(data)
    except (OSError, AttributeError) as error:
        raise _closed(error) from None


def finish() -> None:
    """Flush stdout, so that a failure shows here and not, untidily, when the interpreter exits."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except (OSError, ValueError) as error:
        raise _closed(error) from None


def rescue() -> None:
    """After a failure, flush what can be flushed; the interpreter's last flush is then harmless."""
    try:
        finish()
    except (PipeClosedError, StorageError):
        silence(sys.stdout)


def _closed(error: Exception) -> Exception:
    if isinstance(error, OSError):
        if error.errno == errno.EPIPE:
            return PipeClosedError()
        return StorageError(f"standard output: {error.strerror}")
    return StorageError("standard output is closed")


def document(value: Mapping[str, Any]) -> None:
    """One JSON document on a line."""
    write(json.dumps(value).encode() + b"\n")


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table for people; nothing is truncated."""
    from rich.console import Console  # noqa: PLC0415 - not loaded where a machine reads
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    grid = Table(*header, box=None, pad_edge=False, show_header=any(header))
    for row in rows:
        grid.add_row(*(Text(one_line(cell)) for cell in row))
    console = Console(width=_NO_LIMIT, color_system=None)
    with console.capture() as captured:
        console.print(grid)
    lines = (line.rstrip() for line in captured.get().splitlines())
    write("".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace"))


def facts(pairs: Iterable[tuple[str, object]]) -> None:
    """Names and values, one pair per line, without those that are None."""
    table(("", ""), [(name, shown(value)) for name, value in pairs if value is not None])


def size(count: int) -> str:
    """A number of bytes for people, in powers of 1,000."""
    for unit, bytes_ in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= bytes_:
            return f"{count / bytes_:.1f} {unit}"
    return f"{count} B"


def lines(texts: Iterable[str]) -> None:
    """One text per line."""
    for text in texts:
        write(one_line(text).encode("utf-8", "backslashreplace") + b"\n")


def listing(
    items: Iterable[Any],
    columns: Sequence[Column],
    row: Callable[[Any], Sequence[object]],
    *,
    most: int | None,
    as_json: bool,
) -> None:
    """Up to `most` objects of the API: as JSON lines, as they come, or as a table."""
    rest = iter(items)
    shown_items = islice(rest, most)
    if as_json:
        for document_ in _each(shown_items, lambda item: item.to_dict()):
            document(document_)
            finish()
    else:
        table(*fitted(columns, list(_each(shown_items, row)), terminal_width()))
    if most is not None and next(rest, None) is not None:
        say(f"only the first {most} are shown; for more, use --limit N or --all")


def _each(items: Iterable[Any], form: Callable[[Any], T]) -> Iterator[T]:
    """Each object in this form; one with fields that cannot be shown is passed over, and named."""
    for item in items:
        try:
            shape = form(item)
        except (TypeError, ValueError, AttributeError, OverflowError) as error:
            say(f"warning: {getattr(item, 'id', 'an object')} is left out, it cannot be read: {error}")
        else:
            yield shape
