"""`overlay run`: from a file of requests to a file of results.

It is paid for once. The file's digest goes along with the batch, as metadata; before a batch is created, those
of the last weeks are looked through for it.
"""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from overlay.checks import InputSummary
from overlay.cli.arguments import Endpoint, Metadata, Poll, RequestsFile, Timeout, Window, pairs
from overlay.cli.delivery import deliver
from overlay.cli.destination import check_destination
from overlay.cli.endings import Exit, WouldPayAgainError
from overlay.cli.output import shown
from overlay.cli.progress import Progress
from overlay.cli.shell import Shell, command
from overlay.client import Client
from overlay.errors import APIStatusError, ConfigurationError, InvalidInputError, OverlayError, Problem
from overlay.jsonl import check_requests
from overlay.lines import is_object, storage_errors
from overlay.models import Batch

DIGEST = "overlay_input"
"""The metadata key for the SHA-256 of the input file."""
_LOOK_BACK = timedelta(days=30)
"""Result files are kept this long at OpenAI: what is older cannot be fetched instead of being run again."""
_LOOK_AT = 1_000
"""Batches looked at, at most: ten calls."""
_NO_LIST = frozenset({404, 405, 501})


def register(app: typer.Typer) -> None:
    """Add the command."""

    @command(app)
    def run(
        shell: Shell,
        file: RequestsFile,
        *,
        output_path: Annotated[
            str,
            typer.Option("--output", "-o", metavar="PATH", help="Where results go; - is standard output."),
        ],
        endpoint: Endpoint = None,
        completion_window: Window = "24h",
        metadata: Metadata = None,
        timeout: Timeout = None,
        poll: Poll = 5.0,
        again: Annotated[
            bool, typer.Option("--again", help="Send the file although it was sent before, and pay again.")
        ] = False,
    ) -> Exit:
        """Check and upload a file, create a batch, wait for it, and write the results in the requests' order."""
        added = pairs(metadata)
        if DIGEST in added:
            raise ConfigurationError(f"--metadata {DIGEST}: `overlay run` sets this key itself")
        check_destination(output_path)
        source = _Source(file, endpoint)
        with shell.client() as client:
            with Progress() as progress:
                if not again:
                    _refuse_to_pay_again(shell, client, source, output_path)
                progress.step(
                    f"uploading {source.summary.requests:,} requests, {source.summary.bytes:,} bytes"
                )
                file_id = source.upload(client)
                progress.step("creating the batch")
                shell.advise(
                    "a batch may have been created; this finds it: "
                    + shell.again("run", file, "-o", output_path, *_endpoint_words(endpoint))
                )
                batch = _create(client, source, file_id, completion_window, added)
                shell.advise(
                    f"{batch.id} goes on at the service; to come back to it: {_go_on(shell, batch, output_path)}",
                    on_error=True,
                )
                progress.note(f"{batch.id} is created")
                client.batches.wait(batch.id, timeout=timeout, poll=poll, on_change=progress.watch)
            requests = file if source.unchanged else None
            return deliver(shell, client.batches.results(batch.id, requests=requests), output_path)


class _Source:
    """The file of requests, checked."""

    def __init__(self, path: Path, endpoint: str | None) -> None:
        self._path = path
        with storage_errors(path):
            self._seen = _look(path)
        self.summary: InputSummary = check_requests(path, endpoint=endpoint)

    @property
    def unchanged(self) -> bool:
        """Whether it is still the file that was checked."""
        try:
            return _look(self._path) == self._seen
        except OSError:
            return False

    def upload(self, client: Client) -> str:
        """Send it; gives its id. Raises InvalidInputError where it is no longer what was checked."""
        sent = client.files.upload(self._path)
        if not self.unchanged:
            client.files.delete(sent.id)
            raise InvalidInputError(
                self._path, [Problem(None, "changed after it was checked; no batch was created")]
            )
        return sent.id


def _look(path: Path) -> tuple[int, int, int]:
    found = os.stat(path)  # noqa: PTH116 - Path.stat of a path with a NUL raises another error
    return found.st_ino, found.st_size, found.st_mtime_ns


def _create(
    client: Client, source: _Source, file_id: str, completion_window: str, metadata: dict[str, str]
) -> Batch:
    try:
        return client.batches.create(
            input_file_id=file_id,
            endpoint=source.summary.endpoint,
            completion_window=completion_window,
            metadata={**metadata, DIGEST: source.summary.sha256},
        )
    except (APIStatusError, ConfigurationError):
        # Refused: nobody will ever ask for the file again.
        with suppress(OverlayError):
            client.files.delete(file_id)
        raise


def _refuse_to_pay_again(shell: Shell, client: Client, source: _Source, output_path: str) -> None:
    """Raise WouldPayAgainError where a recent batch was made of the same bytes."""
    since = datetime.now(UTC) - _LOOK_BACK
    recent = client.batches.list(limit=100, created_after=since)
    try:
        before = next(
            (
                batch
                for batch in islice(recent, _LOOK_AT)
                if _digest(batch) == source.summary.sha256 and not _was_refused(batch)
            ),
            None,
        )
    except APIStatusError as error:
        if error.status_code not in _NO_LIST:
            raise
        shell.say(
            "warning: the service cannot list batches, so whether this file was sent before is not known"
        )
        return
    if before is not None:
        when = f" on {shown(before.created)}" if before.created is not None else ""
        raise WouldPayAgainError(
            f"{source.summary.path} was sent before{when}, as {before.id}, now {before.status}; to run it again "
            f"would pay again. To fetch that batch's results: {_go_on(shell, before, output_path)}. "
            "To pay again all the same, add --again"
        )


def _digest(batch: Batch) -> object:
    metadata: object = batch.metadata
    return metadata.get(DIGEST) if is_object(metadata) else None


def _was_refused(batch: Batch) -> bool:
    """Whether nothing of it ran, so that nothing was paid."""
    return (batch.status or "").lower() == "failed"


def _go_on(shell: Shell, batch: Batch, output_path: str) -> str:
    fetch = shell.again("batches", "results", batch.id, "-o", output_path)
    return fetch if batch.ended else f"{shell.again('batches', 'wait', batch.id)} && {fetch}"


def _endpoint_words(endpoint: str | None) -> tuple[str, ...]:
    return () if endpoint is None else ("--endpoint", endpoint)
