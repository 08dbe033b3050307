"""`overlay check`: is a file of requests ready to send?"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import attrs
import typer

from overlay.cli import output
from overlay.cli.arguments import Endpoint, MaxTokens, RequestsFile
from overlay.cli.endings import Exit
from overlay.cli.shell import Shell, command
from overlay.cli.standard_input import STDIN, standard_input
from overlay.errors import InvalidInputError, Problem
from overlay.jobs.checking import JobCheck, check_job
from overlay.requests.schema_check import can_check


def register(app: typer.Typer) -> None:
    """Add the command."""

    @command(app)
    def check(
        shell: Shell,
        file: RequestsFile,
        *,
        endpoint: Endpoint = None,
        max_enqueued_tokens: MaxTokens = None,
        bodies: Annotated[
            bool | None,
            typer.Option(
                "--bodies/--no-bodies",
                help="Check bodies by the API's schemas; by default if it can be done.",
            ),
        ] = None,
        strict: Annotated[
            bool, typer.Option("--strict", help="Take warnings for errors.", show_default=False)
        ] = False,
    ) -> Exit:
        """Check a file of requests without sending anything. Shows up to a hundred problems, each with its line."""
        with_bodies = can_check() if bodies is None else bodies
        try:
            found = _check(
                file, service=shell.profile, bodies=with_bodies, max_enqueued_tokens=max_enqueued_tokens
            )
            _check_endpoint(found, endpoint)
        except InvalidInputError as error:
            if strict:
                problems = sorted((*error.problems, *error.warnings), key=lambda each: each.line or 0)
                return _refused(shell, str(file), _Told(problems, error.count + error.warned))
            return _refused(
                shell, str(file), _Told(error.problems, error.count), _Told(error.warnings, error.warned)
            )
        if strict and found.warned:
            return _refused(shell, str(file), _Told(found.warnings, found.warned))
        _ready(shell, str(file), found)
        if bodies is None and not with_bodies:
            shell.say("bodies were not checked: pip install 'openai-batch-overlay[check]'")
        return Exit.OK


def _check(file: Path, **options: Any) -> JobCheck:
    if file != STDIN:
        return check_job(file, **options)
    with tempfile.TemporaryDirectory(prefix="overlay-") as folder:
        copy = Path(folder) / "requests.jsonl"
        with copy.open("wb") as there:
            shutil.copyfileobj(standard_input(), there)
        return check_job(copy, **options)


def _check_endpoint(found: JobCheck, endpoint: str | None) -> None:
    others = [each for each in found.endpoints if endpoint is not None and each != endpoint]
    if others:
        raise InvalidInputError(
            found.path,
            [Problem(None, f'"url" is {", ".join(others)} in some lines, not {endpoint}')],
            warnings=found.warnings,
            warned=found.warned,
        )


@attrs.frozen
class _Told:
    """Problems or warnings: the first hundred, and how many there are."""

    shown: Sequence[Problem] = ()
    count: int = 0

    def documents(self) -> list[dict[str, Any]]:
        return [{"line": each.line, "reason": each.reason} for each in self.shown]


def _ready(shell: Shell, file: str, found: JobCheck) -> None:
    facts: dict[str, Any] = {
        "file": file,
        "requests": found.requests,
        "bytes": found.bytes,
        "endpoint": ", ".join(found.endpoints),
        "model": ", ".join(found.models) or None,
        "batches": found.batches,
        "sha256": found.sha256,
    }
    if shell.json:
        warnings = _Told(found.warnings, found.warned)
        output.document({"ok": True, **facts, "warnings": warnings.documents()})
        return
    output.facts(facts.items())
    _warn(shell, file, _Told(found.warnings, found.warned))


def _warn(shell: Shell, file: str, warnings: _Told) -> None:
    for each in warnings.shown:
        shell.say(f"warning: {file}, {each}")
    if warnings.count > len(warnings.shown):
        shell.say(f"and {warnings.count - len(warnings.shown):,} more warnings")


def _refused(shell: Shell, file: str, problems: _Told, warnings: _Told | None = None) -> Exit:
    count, warnings = problems.count, warnings or _Told()
    if shell.json:
        told = {"problems": problems.documents(), "warnings": warnings.documents()}
        output.document({"ok": False, "file": file, "count": count, **told})
    else:
        output.lines(f"{file}: {problem}" for problem in problems.shown)
        _warn(shell, file, warnings)
        shown = len(problems.shown)
        some = f", the first {shown} shown above" if count > shown else ""
        shell.complain(f"{file}: {count:,} problem{'s' * (count > 1)}{some}")
    return Exit.USAGE
