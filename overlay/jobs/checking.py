"""A file of requests, checked as a job would take it: of any size, with several models and endpoints."""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import closing
from itertools import islice
from pathlib import Path

import attrs

from overlay.errors import Problem
from overlay.jobs.spool import Spool
from overlay.lines import BUFFER_BYTES, open_lines
from overlay.requests.request_files import file_lines
from overlay.services import Limits, ServiceProfile, service_named

_CHUNK = 256


@attrs.frozen(kw_only=True)
class JobCheck:
    """What a job of a file would be."""

    path: Path
    requests: int
    bytes: int
    batches: int
    """How many batches it is split into."""
    endpoints: tuple[str, ...]
    models: tuple[str, ...]
    sha256: str
    """The file's digest, in hexadecimal."""
    warnings: tuple[Problem, ...]
    """What may be wrong with lines: the first hundred, each with its line."""
    warned: int
    """How many warnings there were in all."""


def check_job(
    path: str | os.PathLike[str],
    *,
    limits: Limits | None = None,
    service: str | ServiceProfile = "openai",
    bodies: bool = False,
    max_enqueued_tokens: int | None = None,
) -> JobCheck:
    """Check a file as `jobs.submit` takes it, without sending anything.

    Raises InvalidInputError with the first hundred problems and their count; StorageError.
    """
    path, profile = Path(path), service_named(service)
    limits = profile.limits if limits is None else limits
    with tempfile.TemporaryDirectory(prefix="overlay-check-") as folder:
        spool = Spool(
            Path(folder),
            limits,
            profile,
            max_tokens=max_enqueued_tokens,
            source=path,
            keep=False,
            counts=True,
            bodies=bodies,
        )
        with closing(spool):
            lines = file_lines(path, limits.line_bytes)
            while chunk := list(islice(lines, _CHUNK)):
                spool.add(chunk)
            done = spool.finish()
            warnings, warned = tuple(spool.warnings), spool.warned
    digest = hashlib.sha256()
    with open_lines(path) as file:
        while piece := file.read(BUFFER_BYTES):
            digest.update(piece)
    return JobCheck(
        path=path,
        requests=done.requests,
        bytes=sum(unit.bytes for unit in done.units),
        batches=len(done.units),
        endpoints=tuple(dict.fromkeys(unit.endpoint for unit in done.units)),
        models=tuple(dict.fromkeys(unit.model for unit in done.units if unit.model)),
        sha256=digest.hexdigest(),
        warnings=warnings,
        warned=warned,
    )
