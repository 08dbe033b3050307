"""`overlay check`: is a file of requests ready to send?"""

from __future__ import annotations

import typer

from overlay.cli import output
from overlay.cli.arguments import Endpoint, RequestsFile
from overlay.cli.endings import Exit
from overlay.cli.shell import Shell, command
from overlay.errors import InvalidInputError
from overlay.requests.request import check_requests


def register(app: typer.Typer) -> None:
    """Add the command."""

    @command(app)
    def check(shell: Shell, file: RequestsFile, endpoint: Endpoint = None) -> Exit:
        """Check a file of requests without sending anything. Shows up to a hundred problems, each with its line."""
        try:
            summary = check_requests(file, endpoint=endpoint, service=shell.profile)
        except InvalidInputError as error:
            if shell.json:
                problems = [{"line": each.line, "reason": each.reason} for each in error.problems]
                output.document({"ok": False, "file": str(file), "count": error.count, "problems": problems})
            else:
                output.lines(f"{file}: {problem}" for problem in error.problems)
                some = (
                    f", the first {len(error.problems)} shown above"
                    if error.count > len(error.problems)
                    else ""
                )
                shell.complain(f"{file}: {error.count:,} problem{'s' * (error.count > 1)}{some}")
            return Exit.USAGE
        found = {
            "file": str(file),
            "requests": summary.requests,
            "bytes": summary.bytes,
            "endpoint": summary.endpoint,
            "model": summary.model,
            "sha256": summary.sha256,
        }
        if shell.json:
            output.document({"ok": True, **found})
        else:
            output.facts(found.items())
        return Exit.OK
