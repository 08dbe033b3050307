"""Options of the commands that read tables, and how they are parsed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from overlay.errors import ConfigurationError
from overlay.lines import is_object, storage_errors

TableFile = Annotated[
    str,
    typer.Argument(
        metavar="TABLE",
        show_default=False,
        help="A CSV, TSV, Parquet, JSON lines or Arrow file, a folder of them, a pattern, or an address such as "
        "s3://bucket/reviews/*.parquet.",
    ),
]
Model = Annotated[str, typer.Option(help="The model to ask.")]
Key = Annotated[
    str | None,
    typer.Option(metavar="COLUMN", help="The column that tells rows apart; by default they are numbered."),
]
Prefix = Annotated[
    str, typer.Option(metavar="TEXT", help="Comes before the names of the new columns.", show_default=False)
]
Csv = Annotated[
    list[str] | None,
    typer.Option(
        "--csv",
        metavar="NAME=VALUE",
        help="How a CSV is read, in pyarrow's words, such as delimiter=';' or encoding=latin-1; may be repeated.",
    ),
]
Format = Annotated[
    Literal["parquet", "csv", "tsv", "jsonl", "arrow"] | None,
    typer.Option(
        "--format", help="How the output is written; by default as its name ends, jsonl on standard output."
    ),
]


def schema_in(path: Path) -> dict[str, Any]:
    """A JSON schema from a file. Raises StorageError, ConfigurationError."""
    with storage_errors(path):
        text = path.read_bytes()
    try:
        schema: object = json.loads(text)
    except ValueError as error:
        raise ConfigurationError(f"--schema {path}: not JSON: {error}") from None
    if not is_object(schema):
        raise ConfigurationError(f"--schema {path}: a schema is a JSON object")
    return schema


def csv_options(texts: list[str] | None) -> Mapping[str, Any] | None:
    """The options for CSV, as typed, in the types that pyarrow wants."""
    read: dict[str, Any] = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise typer.BadParameter(f"{text!r} is not name=value", param_hint="--csv")
        read[name] = {"true": True, "false": False, r"\t": "\t"}.get(value, value)
        if name in {"skip_rows", "block_size", "skip_rows_after_names"} and value.isdigit():
            read[name] = int(value)
        if name in {"column_names", "include_columns", "null_values", "true_values", "false_values"}:
            read[name] = value.split(",")
    return read or None
