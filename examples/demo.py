"""A whole run from start to end, with nothing to download and nothing to pay: `make demo`.

A table goes in, and comes out with answers beside its columns. The table is made from the docstrings of Python's
own standard library; the service is the embedded one, on a free port of this machine, and its answers are echoes
that fit the schema they are asked for. Everything else is as it would be with a real one, a crash too: the process
that does the work is killed half way, and another goes on with the job.
"""

from __future__ import annotations

import argparse
import ast
import csv
import os
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table

from overlay import Answers, Chat, Client, JobEvent, Limits
from overlay.server import Pace, Service

TOKEN = "any"  # noqa: S105 - the embedded service accepts any token
SHORTEST = 40
"""Characters: a shorter docstring is hardly worth a summary."""
NOT_THE_LIBRARY = {"test", "tests", "idlelib", "lib2to3", "site-packages", "dist-packages"}
BATCHES = 8
"""A job is split where a batch is full; here into about so many batches, so that there is a half way."""


@dataclass
class Note:
    """What is to be known of a docstring."""

    summary: str
    audience: Literal["beginners", "everybody", "experts"]
    has_example: bool


CHAT = Chat(
    model="gpt-4o-mini",
    prompt="Say in one short sentence what this documents, and for whom.\n\n{docstring}",
    answer=Note,
)


def docstrings() -> Iterator[tuple[str, str, str]]:
    """Every docstring of the standard library: its place, the same from run to run, its kind and its text."""
    root = Path(sysconfig.get_path("stdlib"))
    for path in sorted(root.rglob("*.py")):
        place = path.relative_to(root)
        if NOT_THE_LIBRARY.intersection(place.parts):
            continue
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node)
                if text is not None and len(text) >= SHORTEST:
                    kind = type(node).__name__.removesuffix("Def").removeprefix("Async").lower()
                    yield f"{place.as_posix()}:{getattr(node, 'lineno', 0)}", kind, text


def write_table(path: Path, rows: list[tuple[str, str, str]]) -> None:
    part = path.with_name(f".{path.name}.part")
    with part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("place", "kind", "docstring"))
        writer.writerows(rows)
    # A file with its final name is complete, whenever the demo is stopped.
    part.replace(path)


def work(folder: Path, base_url: str, rows: int, console: Console, *, live: bool) -> Answers[Note]:
    """The job itself, the same before the crash and after it; shown live, or as lines."""

    def show(event: JobEvent) -> None:
        if event.kind in {"created", "fetched", "adopted"}:
            console.print(f"  {event.message}")

    with Client(token=TOKEN, base_url=base_url, home=folder / "jobs") as client:
        return client.jobs.map(
            folder / "docstrings.csv",
            CHAT,
            key="place",
            poll=0.1,
            max_batches=3,
            grace=1,  # how long a create is looked for that the kill left without an answer; 180 s by default
            limits=Limits(requests=-(-rows // BATCHES)),
            progress=live,
            on_change=None if live else show,
        )


def worker(folder: Path, base_url: str, rows: int) -> None:
    """What a process does that will be killed. It also ends with the demo, however that does."""

    def follow() -> None:
        sys.stdin.buffer.read()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
    # As lines: a live view would be left on the terminal, half drawn, by the kill.
    work(folder, base_url, rows, Console(highlight=False, soft_wrap=True), live=False)


def kill_half_way(folder: Path, service: Service, rows: int) -> int:
    """Start a worker, and kill it when half of the requests are answered; returns how many are."""
    words = [sys.executable, __file__, "--output", folder, "--worker", service.base_url, "--most", str(rows)]
    with subprocess.Popen(list(map(str, words)), stdin=subprocess.PIPE) as process:  # noqa: S603 - this file itself
        try:
            while process.poll() is None:
                done: int = sum(batch["request_counts"]["completed"] for batch in service.batches())
                if done >= rows // 2:
                    return done
                time.sleep(0.02)
        finally:
            process.kill()
    raise SystemExit("the worker ended before it could be killed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("demo-output"), help="the folder to write to")
    parser.add_argument("--most", type=int, help="use only the first MOST docstrings")
    parser.add_argument("--worker", metavar="URL", help=argparse.SUPPRESS)
    options = parser.parse_args()
    folder: Path = options.output
    if options.worker:
        worker(folder, options.worker, options.most)
        return
    folder.mkdir(parents=True, exist_ok=True)
    for left_by_a_kill in folder.glob(".*.part"):
        left_by_a_kill.unlink()
    shutil.rmtree(folder / "jobs", ignore_errors=True)  # of a service that is no more
    began = time.monotonic()
    console = Console(highlight=False, soft_wrap=True)

    console.print("Reading the docstrings of the standard library ...")
    rows = list(islice(docstrings(), options.most))
    write_table(folder / "docstrings.csv", rows)
    write_table(folder / "ten.csv", rows[:10])
    console.print(f"{len(rows):,} rows written to {folder / 'docstrings.csv'}")

    with Service(pace=Pace(in_progress=0.3, per_line=0.0005)) as service:
        console.print(f"The embedded service is listening at {service.base_url}\nA process starts to work:")
        done = kill_half_way(folder, service, len(rows))
        paid = len(service.batches())
        console.print(f"It is killed, with {done:,} of {len(rows):,} requests answered. Another goes on:")
        answers = work(folder, service.base_url, len(rows), console, live=console.is_terminal)
        answers.write(folder / "answers.parquet", overwrite=True)
        answers.write(folder / "answers.csv", overwrite=True)
        show_some(answers, console)
        job, batches = answers.job, len(service.batches())
    shutil.rmtree(folder / "jobs")

    console.print(
        f"\nDone in {time.monotonic() - began:.1f} s: {job.requests:,} rows, {job.ok:,} answered, "
        f"{job.failed:,} failed"
    )
    console.print(
        f"{paid} batches were created before the kill and {batches - paid} after it, "
        f"for {sum(shard.requests for shard in job.shards):,} requests: none was sent twice."
    )
    console.print(f"  in    {folder / 'docstrings.csv'}")
    console.print(
        f"  out   {folder / 'answers.parquet'} and answers.csv, with the answers beside the columns"
    )
    console.print("\nThe same with a real API key (this costs money; these are the first ten):")
    overlay = os.path.relpath(Path(sys.executable).with_name("overlay"))
    ten, results = (shlex.quote(str(folder / name)) for name in ("ten.csv", "ten.parquet"))
    console.print("  export OPENAI_API_KEY=...")
    prompt = "Say in one short sentence what this documents. {docstring}"
    console.print(
        f"  {overlay} map {ten} --model {CHAT.model} --key place -o {results} --prompt {shlex.quote(prompt)}"
    )


def show_some(answers: Answers[Note], console: Console) -> None:
    """The first rows, as people see a table."""
    table = Table("place", "kind", "summary", "audience", "has_example", box=None, pad_edge=False)
    for row in islice(answers, 5):
        note = row.answer
        cells = (row.key, row.row["kind"], note.summary, note.audience, note.has_example)
        table.add_row(*(str(cell).replace("\n", " ")[:24] for cell in cells))
    console.print(table)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        main()
    except KeyboardInterrupt:
        print("\nstopped; run the same command again to start over", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
