"""`overlay files …`: one command for each thing you can do with a file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from overlay.cli import output
from overlay.cli.arguments import (
    After,
    CreatedAfter,
    CreatedBefore,
    Everything,
    Field,
    FileId,
    Force,
    Most,
    Output,
    Quiet,
    fields,
    seconds,
)
from overlay.cli.columns import Column
from overlay.cli.destination import STDOUT, Destination
from overlay.cli.progress import Progress
from overlay.cli.shell import Shell, command
from overlay.models import File

app = typer.Typer(
    help="Upload, list, download and delete files.", rich_markup_mode=None, no_args_is_help=True
)

_CHUNK = 1024 * 1024
_COLUMNS = (
    *map(Column, ("ID", "PURPOSE", "BYTES", "CREATED")),
    Column("NAME", gives_way=True),
)


@command(app)
def upload(
    shell: Shell,
    path: Annotated[Path, typer.Argument(metavar="FILE")],
    *,
    purpose: Annotated[
        str | None, typer.Option(help="What the file is for; by default the input of a batch.")
    ] = None,
    filename: Annotated[
        str | None, typer.Option(help="The name to store it under; by default its own.")
    ] = None,
    expires_after: Annotated[
        float | None,
        typer.Option(parser=seconds, metavar="TIME", help="After this time, the service deletes it."),
    ] = None,
    field: Field = None,
    quiet: Quiet = False,
) -> None:
    """Upload a file, and show it; with -q, print its id alone."""
    with shell.client() as client, Progress() as progress:
        if not quiet:
            progress.step(f"uploading {path}")
        sent = client.files.upload(
            path,
            purpose=purpose,
            filename=filename,
            expires_after=expires_after,
            extra_body=fields(field),
        )
    shell.show(sent, facts, quiet=quiet)


@command(app)
def retrieve(shell: Shell, file_id: FileId) -> None:
    """Show what the service knows about a file."""
    with shell.client() as client:
        shell.show(client.files.retrieve(file_id), facts)


@command(app, name="list")
def list_(
    shell: Shell,
    *,
    limit: Most = 20,
    everything: Everything = False,
    after: After = None,
    purpose: Annotated[
        str | None, typer.Option(help="Only files with this purpose: batch, batch_output, ...")
    ] = None,
    created_after: CreatedAfter = None,
    created_before: CreatedBefore = None,
) -> None:
    """List files, newest first."""
    with shell.client() as client:
        found = client.files.list(
            after=after,
            limit=100 if everything else min(limit, 100),
            purpose=purpose,
            created_after=created_after,
            created_before=created_before,
        )
        output.listing(found, _COLUMNS, _row, most=None if everything else limit, as_json=bool(shell.json))


@command(app)
def download(shell: Shell, file_id: FileId, output_path: Output = STDOUT, force: Force = False) -> None:
    """Download the content of a file."""
    destination = Destination(output_path, force)
    destination.check()
    destination.check_free()
    with shell.client() as client, tempfile.TemporaryDirectory(prefix="overlay-") as folder:
        fetched = client.files.download(file_id, Path(folder) / "content")
        with fetched.open("rb") as source, destination.writing() as write:
            while chunk := source.read(_CHUNK):
                write(chunk)


@command(app)
def delete(shell: Shell, file_id: FileId) -> None:
    """Delete a file."""
    with shell.client() as client:
        client.files.delete(file_id)
    if shell.json:
        output.document({"id": file_id, "deleted": True})
    else:
        shell.say(f"{file_id} deleted")


def facts(file: File) -> Iterator[tuple[str, object]]:
    """What people want to know about a file."""
    yield "id", file.id
    yield "name", file.filename
    yield "purpose", file.purpose
    yield "bytes", file.bytes
    yield "created", file.created
    yield "expires", file.expires


def _row(file: File) -> tuple[object, ...]:
    return file.id, file.purpose, file.bytes, file.created, file.filename
