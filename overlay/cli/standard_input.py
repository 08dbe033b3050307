"""Requests from standard input, which is called `-`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, cast

from overlay.errors import ConfigurationError
from overlay.requests.request import Request
from overlay.requests.request_files import request_lines, unpacked

STDIN = Path("-")


def standard_input() -> BinaryIO:
    """What is piped in. Raises ConfigurationError if nobody pipes anything."""
    if sys.stdin is None or sys.stdin.isatty():
        raise ConfigurationError("- reads requests from standard input, which is a terminal; pipe them in")
    return sys.stdin.buffer


def requests_of(file: Path) -> Path | Iterable[Request]:
    """The requests in a file, or in standard input."""
    if file != STDIN:
        return file
    lines = request_lines(unpacked(standard_input(), "standard input"))
    return cast("Iterable[Request]", lines)  # a job takes lines as they are, too
