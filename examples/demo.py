"""A whole run from start to end, with nothing to download and nothing to pay: `make demo`.

The requests are made from the docstrings of Python's own standard library; the service is the embedded one, on a
free port of this machine, and its answers are labelled echoes. Everything else is as it would be with a real one.
"""

from __future__ import annotations

import argparse
import ast
import os
import shlex
import signal
import sys
import sysconfig
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from overlay import Batch, Client, Request, write_requests
from overlay.server import Pace, Service

MODEL = "gpt-4o-mini"
TOKEN = "any"  # noqa: S105 - the embedded service accepts any token
SHORTEST = 40
"""Characters: a shorter docstring is hardly worth a summary."""
NOT_THE_LIBRARY = {"test", "tests", "idlelib", "lib2to3", "site-packages", "dist-packages"}


def docstrings() -> Iterator[tuple[str, str]]:
    """Every docstring of the standard library, with a name that stays the same from run to run."""
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
                    yield f"{place.as_posix()}:{getattr(node, 'lineno', 0)}", text


def requests(most: int | None) -> Iterator[Request]:
    for name, text in islice(docstrings(), most):
        question = f"Say in one short sentence what this documents:\n\n{text}"
        yield Request(name, {"model": MODEL, "messages": [{"role": "user", "content": question}]})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("demo-output"), help="the folder to write to")
    parser.add_argument("--most", type=int, help="use only the first MOST docstrings")
    options = parser.parse_args()
    folder: Path = options.output
    folder.mkdir(parents=True, exist_ok=True)
    for left_by_a_kill in folder.glob(".*.part"):
        left_by_a_kill.unlink()
    began = time.monotonic()
    console = Console(highlight=False, soft_wrap=True)

    console.print("Reading the docstrings of the standard library ...")
    count = write_requests(folder / "requests.jsonl", requests(options.most))
    console.print(f"{count:,} requests written to {folder / 'requests.jsonl'}")

    with (
        Service(pace=Pace(per_line=0.0005)) as service,
        Client(token=TOKEN, base_url=service.base_url) as client,
    ):
        console.print(f"The embedded service is listening at {service.base_url}")
        file = client.files.upload(folder / "requests.jsonl")
        batch = client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", metadata={"made_by": "demo"}
        )
        console.print(f"Uploaded as {file.id}; created as {batch.id}")
        batch = watch(client, batch, console)
        ok, tokens = write_results(client, batch, folder)

    console.print(
        f"\nDone in {time.monotonic() - began:.1f} s: {count:,} requests, {ok:,} answered, {count - ok:,} failed"
    )
    console.print(f"  requests   {folder / 'requests.jsonl'}")
    console.print(
        f"  results    {folder / 'results.jsonl'}   in the requests' order, as the service sent them"
    )
    console.print(f"  answers    {folder / 'answers.txt'}   the texts, to read")
    console.print(f"The echo counts words and calls them tokens: {tokens:,} in all.")
    console.print("\nThe same with a real API key (this costs money; try the first ten):")
    overlay = os.path.relpath(Path(sys.executable).with_name("overlay"))
    ten, results = (shlex.quote(str(folder / name)) for name in ("ten.jsonl", "ten-results.jsonl"))
    console.print("  export OPENAI_API_KEY=...")
    console.print(f"  head -n 10 {shlex.quote(str(folder / 'requests.jsonl'))} > {ten}")
    console.print(f"  {overlay} run {ten} -o {results}")


def watch(client: Client, batch: Batch, console: Console) -> Batch:
    """Wait, with a progress bar on a terminal and plain lines elsewhere."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(str(batch.status), total=None)

        def show(batch: Batch) -> None:
            counts = batch.request_counts
            done, total = (counts.completed or 0, counts.total or None) if counts else (0, None)
            bar.update(task, description=str(batch.status), completed=done, total=total)
            if not console.is_terminal:
                console.print(f"  {batch.status}: {done:,} of {total or 0:,}")

        return client.batches.wait(batch.id, poll=0.25, on_change=show)


def write_results(client: Client, batch: Batch, folder: Path) -> tuple[int, int]:
    """Write the lines and the texts; returns how many succeeded and how many tokens they took."""
    ok = tokens = 0
    lines, texts = folder / "results.jsonl.part", folder / "answers.txt.part"
    with lines.open("wb") as results, texts.open("w", encoding="utf-8") as answers:
        for result in client.batches.results(batch.id, requests=folder / "requests.jsonl"):
            results.write(result.raw + b"\n")
            answers.write(f"{result.custom_id}\n{result.text if result.ok else result.error}\n\n")
            ok += result.ok
            tokens += (result.usage.total_tokens or 0) if result.usage else 0
    # A file with its final name is complete, whenever the demo is stopped.
    for part in (lines, texts):
        part.replace(part.with_suffix(""))
    return ok, tokens


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        main()
    except KeyboardInterrupt:
        print("\nstopped; run the same command again to start over", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
