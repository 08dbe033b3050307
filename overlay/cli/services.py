"""`overlay services`: which services there are, and what each does otherwise than OpenAI."""

from __future__ import annotations

from typing import Annotated

import attrs
import typer

from overlay.cli import output
from overlay.cli.shell import Shell, command
from overlay.errors import ConfigurationError
from overlay.services import known_services, service_named
from overlay.services.table import HEADER, differences, markdown, rows


def register(app: typer.Typer) -> None:
    """Add the command."""

    @command(app)
    def services(
        shell: Shell,
        name: Annotated[str | None, typer.Argument(metavar="NAME", show_default=False)] = None,
        *,
        as_markdown: Annotated[
            bool, typer.Option("--markdown", help="The table, for a document.", show_default=False)
        ] = False,
    ) -> None:
        """Show the services that have a profile or, with a name, what that one does otherwise than OpenAI."""
        if name is not None and as_markdown:
            raise ConfigurationError("--markdown is for the whole table: leave the name out")
        if name is not None:
            _one(shell, name)
        elif as_markdown:
            output.write(markdown().encode())
        elif shell.json:
            for each in known_services().values():
                output.document(
                    {key: str(value) for key, value in zip(HEADER, _cells(each.name), strict=True)}
                )
        else:
            output.table(HEADER, rows())
            shell.say(
                "as documented; none was run against the real thing: tell us what differs (overlay doctor --live)"
            )


def _cells(name: str) -> tuple[str, ...]:
    return next(row for row in rows() if row[0] == name)


def _one(shell: Shell, name: str) -> None:
    profile = service_named(name)
    if shell.json:
        plain = attrs.asdict(profile, filter=lambda attribute, _: attribute.name != "dialect", recurse=True)
        plain["optional_in_lines"] = sorted(profile.optional_in_lines)
        output.document(plain)
    else:
        output.facts([("service", str(profile)), *differences(profile)])
