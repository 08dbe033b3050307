"""`overlay map` and `overlay embed`: from a table to a table with the answers beside its columns.

Each is a job, as `overlay run` is: killed and typed again, it goes on, and pays nothing twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from overlay.cli import output
from overlay.cli.arguments import Field, fields, typed
from overlay.cli.destination import Destination
from overlay.cli.endings import Exit
from overlay.cli.job_options import JobFlags, job_command
from overlay.cli.job_tables import not_sent, say_failures
from overlay.cli.running import run_job
from overlay.cli.shell import Shell
from overlay.cli.table_arguments import Csv, Format, Key, Model, Prefix, TableFile, csv_options, schema_in
from overlay.client import Client
from overlay.errors import ConfigurationError, InvalidInputError
from overlay.requests.chats import Chat, Response
from overlay.requests.rows import Embed, Template
from overlay.results.failures import Failure
from overlay.tables.answers import Answers
from overlay.tables.needed import needed

_SHOWN = ".parquet, .csv, .tsv, .jsonl or .arrow"


def register(app: typer.Typer) -> None:
    """Add the commands."""

    @job_command(app)
    def map(  # noqa: A001 - what it is
        shell: Shell,
        flags: JobFlags,
        table: TableFile,
        *,
        model: Model,
        prompt: Annotated[
            str,
            typer.Option(metavar="TEXT", help="What is asked about each row; {name} stands for a column."),
        ],
        system: Annotated[
            str | None, typer.Option(metavar="TEXT", help="The system prompt; it may name columns, too.")
        ] = None,
        schema: Annotated[
            Path | None,
            typer.Option(metavar="FILE", help="A JSON schema: its properties become columns of their own."),
        ] = None,
        images: Annotated[
            list[str] | None,
            typer.Option("--image", metavar="COLUMN", help="A column of paths or URLs; may be repeated."),
        ] = None,
        endpoint: Annotated[
            Literal["/v1/chat/completions", "/v1/responses"], typer.Option(help="Which endpoint answers.")
        ] = "/v1/chat/completions",
        field: Field = None,
        key: Key = None,
        prefix: Prefix = "",
        csv: Csv = None,
        format_: Format = None,
    ) -> Exit:
        """Ask about each row of a table, and write the table with the answers beside its columns."""
        kind = Chat if endpoint == "/v1/chat/completions" else Response
        template: Template[Any] = kind(
            model,
            prompt,
            system=system,
            images=images or (),
            answer=None if schema is None else schema_in(schema),
            **fields(field),
        )
        words = typed(
            "map",
            table,
            model=model,
            prompt=prompt,
            system=system,
            schema=schema,
            image=images,
            endpoint=endpoint,
            field=field,
            key=key,
            prefix=prefix,
            csv=csv,
            format=format_,
        )
        how = {"key": key, "prefix": prefix, "csv": csv_options(csv)}
        return _answer(shell, flags, table, template, words=words, format_=format_, how=how)

    @job_command(app)
    def embed(
        shell: Shell,
        flags: JobFlags,
        table: TableFile,
        *,
        model: Model,
        column: Annotated[
            str | None, typer.Option("--column", metavar="COLUMN", help="The column of the texts to embed.")
        ] = None,
        text: Annotated[
            str | None,
            typer.Option(
                "--input",
                metavar="TEXT",
                help="What is embedded of each row, in place of --column; {name} stands for a column.",
            ),
        ] = None,
        dimensions: Annotated[
            int | None, typer.Option(min=1, metavar="N", help="How many numbers each vector has.")
        ] = None,
        field: Field = None,
        key: Key = None,
        prefix: Prefix = "",
        csv: Csv = None,
        format_: Format = None,
    ) -> Exit:
        """Embed a text of each row of a table, and write the table with the vectors beside its columns."""
        if (column is None) == (text is None):
            raise typer.BadParameter("give --column or --input, one of the two")
        template = Embed(model, column, input=text, dimensions=dimensions, **fields(field))
        words = typed(
            "embed",
            table,
            model=model,
            column=column,
            input=text,
            dimensions=dimensions,
            field=field,
            key=key,
            prefix=prefix,
            csv=csv,
            format=format_,
        )
        how = {"key": key, "prefix": prefix, "csv": csv_options(csv)}
        return _answer(shell, flags, table, template, words=words, format_=format_, how=how)


def _answer(
    shell: Shell,
    flags: JobFlags,
    table: str,
    template: Template[Any],
    *,
    words: list[str],
    format_: str | None,
    how: Mapping[str, Any],
) -> Exit:
    """Send a job of the table's rows, wait for it, and write the table."""
    needed("pyarrow", "a table")
    destination = flags.destination
    name = _named(destination, format_)
    _check_places(destination, table)
    with shell.client() as client:
        asked = client.jobs.prepare(table, template, **how)
        try:
            job = run_job(
                shell,
                client,
                asked.requests(),
                flags=flags,
                destination=destination,
                go_on=lambda _: shell.again(*flags.again_with(*words)),
            )
        except InvalidInputError as error:
            raise asked.in_rows(error) from None
        return _deliver(shell, client, client.jobs.answers(job.id, asked), destination, name)


def _deliver(
    shell: Shell, client: Client, answers: Answers[Any], destination: Destination, name: str
) -> Exit:
    job = answers.job
    with destination.writing(client.jobs.folder(job.id)) as write:
        codes = answers.write_to(write, name)
    rows, failed = len(answers), codes.total()
    if shell.json and not destination.is_stdout:
        counts = {"total": rows, "ok": rows - failed, "failed": failed, "failed_by_code": dict(codes)}
        output.document({"job": job.to_dict(), "output": destination.path, "rows": counts})
    else:
        text = f"{destination}: {rows:,} rows, {rows - failed:,} ok, {failed:,} failed"
        shell.say(text + ("; the job was cancelled" if job.cancelled else ""))
        if told := not_sent(job):
            shell.say(told)
        known = client.jobs.failures(job.id) if job.failed else []
        for code, count in _misfits(codes, known).items():
            shell.say(
                f"failed: {count:,} answers, {code}: they came, but do not fit the columns; error_message says why"
            )
        say_failures(shell, job, known)
    return Exit.OK if not failed and not job.cancelled else Exit.INCOMPLETE


def _misfits(codes: Counter[str], known: list[Failure]) -> Counter[str]:
    """What came, and does not fit its columns, by code: the rest is the service's, which may give no code."""
    of_service = Counter({each.code: each.count for each in known})
    return Counter({code: count for code, count in (codes - of_service).items() if code != "failed"})


def _named(destination: Destination, format_: str | None) -> str:
    """A name that ends as the format is called. Raises ConfigurationError."""
    from overlay.tables.places import format_of, is_address  # noqa: PLC0415 - needs pyarrow

    if is_address(destination.path):
        raise ConfigurationError(
            f"-o {destination.path}: only files of this machine are written here; in Python, Answers.write() "
            "takes addresses, too"
        )
    if format_ is not None:
        return f"table.{format_}"
    if destination.is_stdout:
        return "table.jsonl"
    try:
        format_of(destination.path)
    except ConfigurationError:
        raise ConfigurationError(
            f"-o {destination.path}: the name ends in {_SHOWN}, or --format says how it is written"
        ) from None
    return Path(destination.path).name


def _check_places(destination: Destination, table: str) -> None:
    """Nothing is written over what is read, nor where the same command would read it the next time."""
    source = Path(table)
    destination.check(source)
    if (
        not destination.is_stdout
        and source.is_dir()
        and Path(destination.path).resolve().is_relative_to(source.resolve())
    ):
        raise ConfigurationError(
            f"-o {destination.path} is in the folder that is read, {table}; name a file elsewhere"
        )
