"""A table of reviews mapped to a table, by a process that is killed half way: what comes out must be as expected.

`python -m soak.tables [--rows 30000]` does it from Python and from the shell, and reads the outcome with polars,
pandas and duckdb; status 1 unless every cell is right and every request was sent once.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import duckdb
import polars as pl

from overlay import Answers, Chat, Client, Limits
from overlay.server import Pace, Service

_BATCHES = 6
_FAILS_EACH = 50
"""One row in so many fails: 2 %."""
TOPICS = ("price", "quality", "service", "other")
_TEXTS = (
    "I loved it! 🙂🏽",
    "Good, but dear; never again.",
    "Two\nlines, and a third\r\nwith \u2028 in it",
    '"Quoted", he said',
    None,
    "",
    "žluťoučký kůň, 東京, \t tab",
    "{braces} and \\backslashes\\",
)


@dataclass
class Review:
    friendly: bool
    topic: Literal["price", "quality", "service", "other"]


def table(rows: int) -> pl.DataFrame:
    """Reviews with emoji, commas, line ends and empty cells."""
    return pl.DataFrame(
        {
            "review_id": [f"{number:06}" for number in range(rows)],
            "text": [_TEXTS[number % len(_TEXTS)] for number in range(rows)],
            "stars": [None if number % 7 == 0 else number % 5 for number in range(rows)],
            "shop": [f"Shop №{number % 11}, Prague" for number in range(rows)],
        }
    )


def answer(line):
    """What the service answers: told by the id alone, so that it can be expected."""
    number = int(line["custom_id"])
    if number % _FAILS_EACH == 0:
        return 400, {"error": {"message": "no", "code": "nope", "type": "invalid_request_error"}}
    text = json.dumps({"friendly": number % 2 == 0, "topic": TOPICS[number % len(TOPICS)]})
    usage = {"prompt_tokens": number, "completion_tokens": 3, "total_tokens": number + 3}
    return {"object": "chat.completion", "choices": [{"message": {"content": text}}], "usage": usage}


def expected(rows: int) -> pl.DataFrame:
    """The table, and what the service answers beside it."""
    good = [number % _FAILS_EACH != 0 for number in range(rows)]
    return table(rows).with_columns(
        friendly=pl.Series([number % 2 == 0 if good[number] else None for number in range(rows)]),
        topic=pl.Series([TOPICS[number % len(TOPICS)] if good[number] else None for number in range(rows)]),
        error_code=pl.Series([None if each else "nope" for each in good], dtype=pl.String),
        error_message=pl.Series([None if each else "no" for each in good], dtype=pl.String),
        input_tokens=pl.Series([number if good[number] else None for number in range(rows)], dtype=pl.Int64),
        output_tokens=pl.Series([3 if each else None for each in good], dtype=pl.Int64),
    )


def work(base_url: str, folder: Path, rows: int) -> Answers[Review]:
    """What a user writes."""
    with Client(token="any", base_url=base_url, home=folder / "home") as client:
        return client.jobs.map(
            folder / "reviews.csv",
            Chat(model="python", prompt="Is this friendly?\n\n{shop}: {text}", answer=Review),
            key="review_id",
            poll=0.1,
            grace=1,
            max_batches=2,
            limits=Limits(requests=-(-rows // _BATCHES)),
        )


class Witness:
    """The service's answers, and how often each was asked for."""

    def __init__(self) -> None:
        self.asked: Counter[tuple[str, str]] = Counter()

    def __call__(self, line):
        self.asked[line["body"]["model"], line["custom_id"]] += 1
        return answer(line)


def killed(
    words: list[str], env: dict[str, str], folder: Path, asked: Counter, model: str, most: int
) -> bool:
    """Start a process, and kill it when the service was asked for so many answers; False if it ended before."""
    with subprocess.Popen(words, env=env, cwd=folder, stderr=subprocess.DEVNULL) as process:
        try:
            while process.poll() is None:
                if sum(count for (name, _), count in asked.items() if name == model) >= most:
                    return True
                time.sleep(0.02)
        finally:
            process.kill()
    return False


def differences(found: pl.DataFrame, wanted: pl.DataFrame, reader: str) -> list[str]:
    """What is not as expected."""
    if found.columns != wanted.columns:
        return [f"{reader}: columns {found.columns}"]
    found = found.with_columns(pl.col(pl.Categorical).cast(pl.String))
    return [
        f"{reader}: column {name} differs"
        for name in wanted.columns
        if found[name].to_list() != wanted[name].to_list()
    ]


def run(rows: int) -> list[str]:
    """What went wrong."""
    witness, wanted, faults = Witness(), expected(rows), list[str]()
    with (
        tempfile.TemporaryDirectory(prefix="soak-") as name,
        Service(witness, pace=Pace(in_progress=0.3)) as service,
    ):
        folder = Path(name)
        table(rows).write_csv(folder / "reviews.csv")
        env = os.environ | {
            "OPENAI_API_KEY": "any",
            "OPENAI_BASE_URL": service.base_url,
            "OVERLAY_HOME": str(folder / "shell-home"),
            "PYTHONPATH": str(Path(__file__).parents[1]),
        }
        python = [
            sys.executable,
            "-m",
            "soak.tables",
            "--worker",
            service.base_url,
            name,
            "--rows",
            str(rows),
        ]
        if not killed(python, env, folder, witness.asked, "python", rows // 2):
            faults.append("the worker ended before it was killed")
        answers = work(service.base_url, folder, rows)
        faults += differences(pl.DataFrame(answers), wanted, "polars")
        faults += differences(pl.from_pandas(answers.to_pandas()), wanted, "pandas")
        faults += differences(duckdb.sql("select * from answers").pl(), wanted, "duckdb")
        if answers.job.failed != -(-rows // _FAILS_EACH):
            faults.append(f"{answers.job.failed:,} rows failed")
        faults += _from_the_shell(folder, env, witness.asked, wanted)
    sent = [
        f"{name} {id_} was sent {count} times" for (name, id_), count in witness.asked.items() if count != 1
    ]
    if len(witness.asked) != 2 * rows:
        sent.append(f"{len(witness.asked):,} requests were sent, not {2 * rows:,}")
    return faults + sent[:20]


def _from_the_shell(folder: Path, env: dict[str, str], asked: Counter, wanted: pl.DataFrame) -> list[str]:
    """The same by the command, killed, too, once it has begun."""
    properties = {"friendly": {"type": "boolean"}, "topic": {"type": "string", "enum": [*TOPICS]}}
    (folder / "review.schema.json").write_text(json.dumps({"type": "object", "properties": properties}))
    words = [sys.executable, "-c", "from overlay.cli import main; main()", "map", "reviews.csv"]
    words += ["--model", "shell", "--prompt", "Friendly? {text}", "--schema", "review.schema.json"]
    words += ["--key", "review_id", "-o", "answers.parquet", "--poll", "0.1"]
    killed(words, env, folder, asked, "shell", 1)
    if (folder / "answers.parquet").exists():
        return ["the shell's output is there before its end"]
    done = subprocess.run(words, env=env, cwd=folder, check=False, capture_output=True, text=True)
    if done.returncode != 1:  # some rows failed
        return [f"the shell's command ended with {done.returncode}: {done.stderr[-300:]}"]
    return differences(pl.read_parquet(folder / "answers.parquet"), wanted, "the shell's Parquet")


def main() -> int:
    parser = argparse.ArgumentParser(prog="soak.tables", description=__doc__)
    parser.add_argument("--rows", type=int, default=30_000)
    parser.add_argument("--worker", nargs=2, metavar=("URL", "FOLDER"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        work(given.worker[0], Path(given.worker[1]), given.rows)
        return 0
    began = time.monotonic()
    faults = run(given.rows)
    verdict = "all cells right, each request sent once" if not faults else f"{len(faults):,} faults"
    sys.stdout.write(f"{given.rows:,} rows, killed twice: {verdict}, {time.monotonic() - began:,.0f} s\n")
    sys.stdout.writelines(f"  {fault}\n" for fault in faults)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
