"""Run the whole update for every upstream document in a folder, each in its own copy of the project.

For each document: `python -m tools.spec`, `python -m tools.generate`, the check of generated/, `mypy --strict` on
it, and the test suite. The project itself is only read. Prints a table in Markdown: what the revision changed
compared with the one before it, whether everything passed, and how long each step took, in seconds.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from tools.project_copy import ProjectCopy, copy_project
from tools.spec import REFUSED, UNCHANGED
from tools.upstream.changes import Change, compare
from tools.upstream.decoding import decode
from tools.upstream.promises import Promises

SECONDS = 900
_DOCUMENTS = {".json", ".yaml", ".yml"}
_STEPS = ("spec", "generate", "check", "mypy", "tests")


@dataclass
class Row:
    """The outcome for one document."""

    name: str
    result: str = "pass"
    specification: dict[str, Any] | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    output: str = ""

    @property
    def failed(self) -> bool:
        return self.result.startswith("FAIL")


def run(document: Path, tests: list[str]) -> Row:
    """Run the whole update for *document*. A refusal that leaves openapi.yaml alone is a result, not a failure."""
    row = Row(document.name)
    with tempfile.TemporaryDirectory(prefix="spec-matrix-") as folder:
        copy = copy_project(Path(folder))
        specification = copy.path / "openapi.yaml"
        before = specification.read_bytes()
        code = _step(row, "spec", copy, "-m", "tools.spec", str(document.resolve()))
        if code == REFUSED:
            untouched = specification.read_bytes() == before
            row.result = row.output.strip() if untouched else "FAIL: refused, and openapi.yaml was written"
            return row
        row.specification = decode(specification.read_bytes())
        again = _run(copy, "-m", "tools.spec", str(document.resolve())).returncode
        if again != UNCHANGED:
            row.result = "FAIL: running spec again changes something"
            return row
        for step, arguments in (
            ("generate", ["-m", "tools.generate"]),
            ("check", ["-m", "tools.generate", "--check"]),
            ("mypy", ["-m", "mypy", "--config-file=", "--strict", "generated"]),
            (
                "tests",
                ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "2", "--dist", "worksteal", *tests],
            ),
        ):
            if _step(row, step, copy, *arguments) != 0:
                row.result = f"FAIL: {step}"
                break
    return row


def changed(before: dict[str, Any], after: dict[str, Any]) -> str:
    """The differences, on one line: `+ field Batch.usage; + value CreateBatchRequest.endpoint: /v1/videos`."""

    def subject(change: Change) -> tuple[str, str, str]:
        return change.sign, change.kind, change.place if change.kind == "value" else ""

    # No promises, so nothing counts as breaking: the column says what upstream did.
    changes = sorted(compare(before, after, Promises()), key=subject)
    parts = []
    for (sign, kind, place), group in groupby(changes, key=subject):
        if kind == "value":
            parts.append(f"{sign} value {place}: {', '.join(change.detail for change in group)}")
        elif sign == "~":
            parts.append(f"~ {kind} {', '.join(f'{change.place} {change.detail}' for change in group)}")
        else:
            parts.append(f"{sign} {kind} {', '.join(change.place for change in group)}")
    return "; ".join(parts) or "nothing in the batch section"


def table(rows: list[Row]) -> Iterator[str]:
    """The lines of the table; each revision is compared with the last one before it that was not refused."""
    yield f"| revision | what changed | result | {' | '.join(f'{step} (s)' for step in _STEPS)} |"
    yield "|---|---|---|" + "---:|" * len(_STEPS)
    before: dict[str, Any] | None = None
    for row in rows:
        told = ""
        if row.specification is not None:
            told = "the first accepted" if before is None else changed(before, row.specification)
            before = row.specification
        times = [f"{row.seconds[step]:.1f}" if step in row.seconds else "" for step in _STEPS]
        date = re.search(r"\d{4}-\d{2}-\d{2}", row.name)
        yield f"| {date[0] if date else row.name} | {told} | {row.result} | {' | '.join(times)} |"


def _step(row: Row, name: str, copy: ProjectCopy, *arguments: str) -> int:
    began = time.monotonic()
    done = _run(copy, *arguments)
    row.seconds[name] = time.monotonic() - began
    row.output = done.stdout + done.stderr
    return done.returncode


def _run(copy: ProjectCopy, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    try:
        return subprocess.run(  # noqa: S603 - our own commands
            [copy.python, *arguments],
            cwd=copy.path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        return subprocess.CompletedProcess(error.args, 124, "", f"timed out after {SECONDS} seconds")


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 if no document failed, 1 if one did, 2 if there is none."""
    parser = argparse.ArgumentParser(prog="python -m tools.spec_matrix", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR", help="a folder of upstream documents")
    parser.add_argument(
        "--tests",
        nargs="+",
        default=["tests"],
        metavar="PATH",
        help="what to pass to pytest (default: tests)",
    )
    chosen = parser.parse_args(arguments)
    documents = sorted(path for path in chosen.folder.glob("*") if path.suffix in _DOCUMENTS)
    if not documents:
        print(f"no .json, .yaml or .yml file in {chosen.folder}", file=sys.stderr)
        return 2
    rows = []
    for document in documents:
        row = run(document, chosen.tests)
        rows.append(row)
        print(f"{row.name}: {row.result}", file=sys.stderr, flush=True)
        if row.failed:
            print(row.output, file=sys.stderr, flush=True)
    print(*table(rows), sep="\n")
    return 1 if any(row.failed for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
