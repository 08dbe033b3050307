"""`overlay batches …`: one command for each thing you can do with a batch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from overlay.cli import output
from overlay.cli.arguments import (
    After,
    BatchId,
    CreatedAfter,
    CreatedBefore,
    Everything,
    Field,
    Force,
    MatchBy,
    Metadata,
    Most,
    Output,
    Poll,
    Quiet,
    Timeout,
    Window,
    fields,
    pairs,
    seconds,
)
from overlay.cli.columns import Column
from overlay.cli.delivery import deliver
from overlay.cli.destination import STDOUT, Destination
from overlay.cli.endings import Exit
from overlay.cli.progress import Progress
from overlay.cli.shell import Shell, command
from overlay.lines import is_object
from overlay.models import Batch

app = typer.Typer(
    help="Create, watch and cancel batches, and fetch their results.",
    rich_markup_mode=None,
    no_args_is_help=True,
)

_COLUMNS = (
    *map(Column, ("ID", "STATUS", "DONE")),
    Column("TOTAL", wide=True),
    Column("CREATED"),
    Column("ENDPOINT", gives_way=True),
)


@command(app)
def create(
    shell: Shell,
    input_file_id: Annotated[
        str, typer.Argument(metavar="FILE_ID", help="The id that `files upload` printed.")
    ],
    *,
    endpoint: Annotated[
        str, typer.Option(help="The endpoint that each line names, such as /v1/chat/completions.")
    ],
    completion_window: Window = None,
    metadata: Metadata = None,
    output_expires_after: Annotated[
        float | None,
        typer.Option(parser=seconds, metavar="TIME", help="How long the service keeps the result files."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="The model of all requests, where a batch names it: at Mistral, for one."),
    ] = None,
    field: Field = None,
    quiet: Quiet = False,
) -> None:
    """Create a batch from an uploaded file. This is the step that costs money."""
    shell.advise("a batch may have been created; check with: " + shell.again("batches", "list"))
    with shell.client() as client:
        batch = client.batches.create(
            input_file_id=input_file_id,
            endpoint=endpoint,
            completion_window=completion_window,
            metadata=pairs(metadata),
            output_expires_after=output_expires_after,
            model=model,
            extra_body=fields(field),
        )
    shell.show(batch, facts, quiet=quiet)


@command(app)
def retrieve(shell: Shell, batch_id: BatchId) -> None:
    """Show a batch as it is now."""
    with shell.client() as client:
        shell.show(client.batches.retrieve(batch_id), facts)


@command(app, name="list")
def list_(
    shell: Shell,
    *,
    limit: Most = 20,
    everything: Everything = False,
    after: After = None,
    created_after: CreatedAfter = None,
    created_before: CreatedBefore = None,
) -> None:
    """List batches, newest first."""
    with shell.client() as client:
        found = client.batches.list(
            after=after,
            limit=100 if everything else min(limit, 100),
            created_after=created_after,
            created_before=created_before,
        )
        output.listing(found, _COLUMNS, _row, most=None if everything else limit, as_json=bool(shell.json))


@command(app)
def cancel(shell: Shell, batch_id: BatchId) -> None:
    """Ask the service to cancel a batch. Requests already answered are kept, and billed."""
    with shell.client() as client:
        shell.show(client.batches.cancel(batch_id), facts)


@command(app)
def wait(shell: Shell, batch_id: BatchId, timeout: Timeout = None, poll: Poll = 5.0) -> Exit:
    """Wait until a batch has ended; exit status 1 if it did not complete."""
    shell.advise(
        f"{batch_id} keeps running at the service; to wait again: {shell.again('batches', 'wait', batch_id)}"
    )
    with shell.client() as client, Progress() as progress:
        batch = client.batches.wait(batch_id, timeout=timeout, poll=poll, on_change=progress.watch)
    shell.show(batch, facts)
    if batch.succeeded:
        shell.say(
            f"to fetch its results: {shell.again('batches', 'results', batch_id, '-o', 'results.jsonl')}"
        )
    return Exit.OK if batch.succeeded else Exit.INCOMPLETE


@command(app)
def results(
    shell: Shell,
    batch_id: BatchId,
    *,
    output_path: Output = STDOUT,
    requests: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="Your copy of the input, for the order; by default it is fetched from the service.",
        ),
    ] = None,
    unordered: Annotated[
        bool, typer.Option("--unordered", help="Keep the order of the service's files; needs no input.")
    ] = False,
    match: MatchBy = None,
    force: Force = False,
) -> Exit:
    """Fetch the results of a batch that has ended: one line per request, in the order of the requests."""
    destination = Destination(output_path, force)
    destination.check(requests)
    destination.check_free()
    with shell.client() as client:
        found = client.batches.results(
            batch_id, requests=requests, ordered=not unordered, match=match or "custom_id"
        )
        return deliver(shell, found, destination)


def facts(batch: Batch) -> Iterator[tuple[str, object]]:
    """What people want to know about a batch."""
    counts = batch.request_counts
    yield "id", batch.id
    yield "status", batch.status
    yield "endpoint", batch.endpoint
    if counts is not None:
        yield (
            "requests",
            f"{counts.total or 0:,}: {counts.completed or 0:,} completed, {counts.failed or 0:,} failed",
        )
    for name in ("created", "expires", "completed", "failed", "expired", "cancelled"):
        yield name, getattr(batch, name)
    yield "input file", batch.input_file_id
    yield "output file", batch.output_file_id or None
    yield "error file", batch.error_file_id or None
    metadata: object = batch.metadata
    for key, value in metadata.items() if is_object(metadata) else ():
        yield f"metadata {key}", value
    for problem in (batch.errors.data if batch.errors is not None else None) or ():
        place = f"line {problem.line}: " if problem.line is not None else ""
        yield "error", f"{place}{problem.message} ({problem.code})"


def _row(batch: Batch) -> tuple[object, ...]:
    counts = batch.request_counts
    done = (counts.completed or 0) + (counts.failed or 0) if counts is not None else None
    total = counts.total if counts is not None else None
    return batch.id, batch.status, done, total, batch.created, batch.endpoint
