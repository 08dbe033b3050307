"""A table in and a table out: `jobs.map` against polars with the same requests and answers by hand.

    python -m benchmarks.tables [ROWS]

maps one Parquet file of so many rows (1,000,000) through the embedded service, and prints the time for each 100,000
rows and the peak memory. `python -m benchmarks map` compares the work on this machine with the same by hand.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from tempfile import TemporaryDirectory
from typing import Literal

import polars as pl

from benchmarks import embedded, material
from benchmarks.measuring import Comparison, Figure, Side, compare
from benchmarks.setting import Setting
from overlay import Chat, Client, JobEvent, Limits, Request, ResultError
from overlay.jobs.spool import Spool
from overlay.requests.answers import answer_schema
from overlay.services import service_named

ROWS = 1_000_000
_AT_ONCE = 1_000
_EACH = 100_000
_TARGET = 1.5
_TEXTS = 1_000
"""Different texts; each has the row's number before it."""


@dataclass
class Review:
    friendly: bool
    topic: Literal["price", "quality", "service", "other"]


_PROMPT = "Is this review friendly, and what is it about?\n\n{text}"
CHAT = Chat(model="gpt-4o-mini", prompt=_PROMPT, answer=Review)


def write_reviews(path: Path, rows: int, characters: int) -> None:
    """A table of reviews: an id, a text, a number and a category."""
    drawn = material.seeded()
    texts = pl.Series([material.text(characters, drawn) for _ in range(min(rows, _TEXTS))])
    numbers = pl.Series(range(rows))
    pl.DataFrame(
        {
            "review_id": "review-" + numbers.cast(pl.String),
            "text": numbers.cast(pl.String) + " " + texts.gather(numbers % len(texts)),
            "stars": numbers % 5,
            "shop": "shop " + (numbers % 50).cast(pl.String),
        }
    ).write_parquet(path)


def mapped(setting: Setting) -> list[Figure]:
    """A table's way to a job's folder, and the answers' way to a table, without the service between them."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="overlay-benchmarks-")))
        base_url = stack.enter_context(embedded.serving())
        client = stack.enter_context(Client(token="t", base_url=base_url, home=folder / "home"))
        source, rows = folder / "reviews.parquet", setting.lines
        write_reviews(source, rows, 300)
        answers = client.jobs.map(source, CHAT, key="review_id", poll=0.2)
        job_id = answers.job.id

        def ours_in() -> int:
            return _spooled(client.jobs.prepare(source, CHAT, key="review_id").requests())

        def ours_out() -> int:
            answers.write(folder / "ours.parquet", overwrite=True)
            return answers.job.ok

        what = f"{rows:,} rows"
        peer = "polars, requests by hand"
        both = [
            compare(
                f"{what} of Parquet to a job on disk",
                Side("ours", ours_in),
                Side(peer, lambda: _spooled(_by_hand(source))),
                rounds=setting.rounds,
            ),
            compare(
                f"{what} with their answers to Parquet",
                Side("ours", ours_out),
                Side("polars, `results` and `parse`", lambda: _out(client, job_id, source, folder)),
                rounds=setting.rounds,
            ),
        ]
        return [*both, _sum(f"{what}, both ways", both, setting.rounds)]


def _sum(what: str, parts: list[Comparison], rounds: int) -> Comparison:
    ours, theirs = sum(each.our_seconds for each in parts), sum(each.peer_seconds for each in parts)
    return Comparison(what, "the same by hand", ours / theirs, _TARGET, ours, theirs, rounds)


def _spooled(requests: Iterator[Request]) -> int:
    """What `submit` does with requests before it sends them."""
    with TemporaryDirectory() as folder:
        spool = Spool(
            Path(folder), Limits(), service_named("openai"), max_tokens=None, source=None, keep=True
        )
        while taken := list(islice(requests, _AT_ONCE)):
            spool.add(taken)
        return spool.finish().requests


def _by_hand(source: Path) -> Iterator[Request]:
    frame = pl.read_parquet(source, columns=["review_id", "text"])
    named = answer_schema(Review).named()
    for name, text in frame.iter_rows():
        content = _PROMPT.replace("{text}", text)
        yield Request(
            name,
            {
                "model": "gpt-4o-mini",
                "messages": [{"role": "user", "content": content}],
                "response_format": {"type": "json_schema", "json_schema": named},
            },
        )


def _out(client: Client, job_id: str, source: Path, folder: Path) -> int:
    columns: dict[str, list[object]] = {name: [] for name in _TYPES}
    ok = 0
    for result in client.jobs.results(job_id):
        review = code = message = None
        try:
            review = result.parse(Review)
            ok += 1
        except ResultError as error:
            code, message = error.code, str(error)
        usage = result.usage
        row = (
            review and review.friendly,
            review and review.topic,
            code,
            message,
            usage and usage.input_tokens,
            usage and usage.output_tokens,
        )
        for column, cell in zip(columns.values(), row, strict=True):
            column.append(cell)
    frame = pl.read_parquet(source).hstack(pl.DataFrame(columns, schema=_TYPES))
    frame.write_parquet(folder / "theirs.parquet")
    return ok


_TYPES = {
    "friendly": pl.Boolean,
    "topic": pl.Categorical,
    "error_code": pl.String,
    "error_message": pl.String,
    "input_tokens": pl.Int64,
    "output_tokens": pl.Int64,
}


def run(rows: int, show: Callable[[str], object] = print) -> None:
    """Map a Parquet file of so many rows to another. Raises AssertionError if a row is missing or failed."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="overlay-benchmarks-")))
        base_url = stack.enter_context(embedded.serving())
        client = stack.enter_context(Client(token="t", base_url=base_url, home=folder / "home"))
        source, target = folder / "reviews.parquet", folder / "answers.parquet"
        # In a process of its own: what that takes is not counted here.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            pool.submit(write_reviews, source, rows, 300).result()
        show(f"{rows:,} rows, {source.stat().st_size / 1e6:,.0f} MB of Parquet; memory at rest {_peak()} MiB")
        began = time.perf_counter()
        asked = client.jobs.prepare(source, CHAT, key="review_id")
        now = _passed("taken in", rows, began, show)
        job = client.jobs.submit(asked.requests(), poll=0.5)
        now = _passed("requests on disk, the first batches created", rows, now, show)
        if not job.ended:
            client.jobs.wait(job.id, on_change=lambda event: _fetched(event, show))
        now = _passed("answered by the service, fetched and merged", rows, now, show)
        answers = client.jobs.answers(job.id, asked)
        answers.write(target)
        _passed("written with their answers", rows, now, show)
        seconds, peak = time.perf_counter() - began, _peak()
        found = pl.scan_parquet(target).select(
            rows=pl.len(), failed=pl.col("error_code").count(), friendly=pl.col("friendly").count()
        )
        assert found.collect().row(0) == (rows, 0, rows)
        show(f"{rows:,} rows in {seconds:,.0f} s, peak memory {peak} MiB")


def _passed(what: str, rows: int, since: float, show: Callable[[str], object]) -> float:
    now = time.perf_counter()
    each = (now - since) / max(1, rows) * _EACH
    show(f"  {what}: {now - since:.1f} s, {each:.2f} s for 100,000 rows, memory {_peak()} MiB")
    return now


def _fetched(event: JobEvent, show: Callable[[str], object]) -> None:
    if event.kind == "fetched":
        show(f"  {event.job.ok:9,} answers on disk, memory {_peak()} MiB")


def _peak() -> int:
    """The peak memory of this process so far, in MiB."""
    return getrusage(RUSAGE_SELF).ru_maxrss // (1024 if sys.platform != "darwin" else 1024**2)


if __name__ == "__main__":
    run(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS, lambda line: print(line, flush=True))
