"""Options that several commands share, and how they are parsed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from overlay.lines import is_array
from overlay.results.matching import Match

_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)([smhd]?)")


def seconds(text: str | float) -> float:
    """`90`, `1.5s`, `10m`, `26h` or `2d` as seconds. Raises typer.BadParameter for anything else, and for 0."""
    if not isinstance(text, str):  # typer parses defaults, too
        return float(text)
    found = _DURATION.fullmatch(text.strip())
    value = float(found[1]) * _SECONDS[found[2]] if found else 0.0
    if not value > 0:
        raise typer.BadParameter(f"{text!r} is not a duration such as 90, 1.5s, 10m, 26h or 2d")
    return value


def pairs(texts: list[str] | None) -> dict[str, str]:
    """`key=value` texts as a dict. Raises typer.BadParameter for anything else, and for a repeated key."""
    read: dict[str, str] = {}
    for text in texts or ():
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise typer.BadParameter(f"{text!r} is not key=value", param_hint="--metadata")
        if key in read:
            raise typer.BadParameter(f"{key!r} is given twice", param_hint="--metadata")
        read[key] = value
    return read


def named(**options: Any) -> dict[str, Any]:
    """The options that were typed; the others stay as they are."""
    return {name: value for name, value in options.items() if value is not None}


def typed(*words: str, **options: Any) -> list[str]:
    """Words of a command line with options, without those that were not given; lists are options that repeat."""
    line = list(words)
    for name, value in options.items():
        for each in value if is_array(value) else [value]:
            if each not in {None, ""}:
                line += [f"--{name.replace('_', '-')}", str(each)]
    return line


def fields(texts: list[str] | None) -> dict[str, Any]:
    """`key=value` texts as a dict; a value that is JSON is read as such. Raises typer.BadParameter."""
    read: dict[str, Any] = {}
    for text in texts or ():
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise typer.BadParameter(f"{text!r} is not key=value", param_hint="--field")
        try:
            read[key] = json.loads(value)
        except ValueError:
            read[key] = value
    return read


def prices(texts: list[str] | None) -> dict[str, tuple[float, float]] | None:
    """`MODEL=INPUT,OUTPUT` texts as prices by model; None without any. Raises typer.BadParameter."""
    read: dict[str, tuple[float, float]] = {}
    for text in texts or ():
        model, _, amounts = text.rpartition("=")
        try:
            came_in, went_out = map(float, amounts.split(","))
        except ValueError:
            model = ""
        else:
            read[model] = came_in, went_out
        if not model:
            raise typer.BadParameter(
                f"{text!r} is not MODEL=INPUT,OUTPUT, such as gpt-4o-mini=0.075,0.3", param_hint="--price"
            )
    return read or None


BatchId = Annotated[str, typer.Argument(metavar="BATCH_ID", show_default=False)]
FileId = Annotated[str, typer.Argument(metavar="FILE_ID", show_default=False)]
RequestsFile = Annotated[
    Path,
    typer.Argument(
        metavar="FILE", help="A JSONL file of requests, also packed as .gz or .zst; - is standard input."
    ),
]
JobId = Annotated[
    str,
    typer.Argument(metavar="JOB_ID", show_default=False, help="The job's id, or as much of it as is unique."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the id alone.", show_default=False)]
Endpoint = Annotated[
    str | None,
    typer.Option(help="The endpoint that each line must name, such as /v1/chat/completions."),
]
Window = Annotated[
    str | None,
    typer.Option("--completion-window", help="24h at OpenAI; by default the service's usual one."),
]
Metadata = Annotated[
    list[str] | None,
    typer.Option("--metadata", metavar="KEY=VALUE", help="Stored with the batch; may be repeated."),
]
Field = Annotated[
    list[str] | None,
    typer.Option(
        "--field", metavar="KEY=VALUE", help="One more field of the request, JSON or text; may be repeated."
    ),
]
Output = Annotated[
    str, typer.Option("--output", "-o", metavar="PATH", help="Where to write; - is standard output.")
]
Force = Annotated[
    bool, typer.Option("--force", help="Replace the output file, whatever it is.", show_default=False)
]
Timeout = Annotated[
    float | None,
    typer.Option(
        parser=seconds, metavar="TIME", help="Stop waiting after this time: seconds, or 10m, 26h, 2d."
    ),
]
Poll = Annotated[
    float,
    typer.Option(parser=seconds, metavar="TIME", help="The initial polling interval; it grows to 60 s."),
]
MaxTokens = Annotated[
    int | None, typer.Option(min=1, metavar="TOKENS", help="The model's limit on enqueued prompt tokens.")
]
MaxBatches = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="How many batches may run at a time.")
]
MaxCreates = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="How many batches may be created in an hour; 2,000 at OpenAI."),
]
MaxAttempts = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="Maximum attempts for a request that may still succeed; 3 by default."
    ),
]
DeleteFiles = Annotated[
    bool | None,
    typer.Option("--delete-files", help="Delete the files at the service once all results are on disk."),
]
PollAgain = Annotated[
    float | None,
    typer.Option(
        parser=seconds, metavar="TIME", help="The initial polling interval; by default as submitted."
    ),
]
Notify = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Post an event here, signed, when the job has ended."),
]
NotifySecret = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH", help="A file with its secret, whsec_...; by default OVERLAY_WEBHOOK_SECRET."
    ),
]
MatchBy = Annotated[
    Match | None,
    typer.Option(
        "--match",
        help="How answers find their requests: `order` for those that name none, if the service keeps the order.",
    ),
]
Price = Annotated[
    list[str] | None,
    typer.Option(
        "--price",
        metavar="MODEL=INPUT,OUTPUT",
        help="What a million tokens cost at batch rates; may be repeated. Otherwise genai-prices says.",
    ),
]
ExpectedOutput = Annotated[
    int | None,
    typer.Option(
        "--expected-output-tokens",
        min=0,
        metavar="N",
        help="Of each answer; by default the most it may have.",
    ),
]
MaxCost = Annotated[
    float | None,
    typer.Option("--max-cost", min=0, metavar="AMOUNT", help="Send nothing if it may cost more than this."),
]
Reuse = Annotated[
    bool,
    typer.Option(
        "--reuse",
        help="Take answers to identical requests from earlier jobs on this machine.",
        show_default=False,
    ),
]
Dedupe = Annotated[
    bool, typer.Option("--dedupe", help="Send identical requests of the file once.", show_default=False)
]
Most = Annotated[int, typer.Option("--limit", min=1, help="How many to show.")]
Everything = Annotated[bool, typer.Option("--all", help="Show all, ignoring --limit.")]
After = Annotated[str | None, typer.Option(metavar="ID", help="Start after this id.")]
CreatedAfter = Annotated[
    str | None, typer.Option(metavar="DATE", help="ISO 8601, in UTC unless it names a zone; inclusive.")
]
CreatedBefore = Annotated[str | None, typer.Option(metavar="DATE", help="The same; exclusive.")]
