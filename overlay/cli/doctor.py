"""`overlay doctor`: is everything in place, and is the service as its profile says?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated

import attrs
import typer

from overlay.cli import output
from overlay.cli.arguments import seconds
from overlay.cli.endings import Exit
from overlay.cli.shell import Shell, command
from overlay.doctor.findings import Finding
from overlay.errors import ConfigurationError

_TRIES = 2
"""Who asks a doctor wants to hear soon."""
_MARKS = {"ok": "ok", "note": "", "differs": "DIFFERS", "wrong": "WRONG"}


def register(app: typer.Typer) -> None:
    """Add the command."""

    @command(app)
    def doctor(
        shell: Shell,
        *,
        live: Annotated[
            bool,
            typer.Option(
                "--live", help="Run one batch of three lines, which costs money.", show_default=False
            ),
        ] = False,
        model: Annotated[str | None, typer.Option(help="The model to ask with --live.")] = None,
        max_cost: Annotated[
            float, typer.Option(min=0, metavar="DOLLARS", help="What --live may cost at most.")
        ] = 0.05,
        timeout: Annotated[
            float,
            typer.Option(parser=seconds, metavar="TIME", help="How long --live waits for its batch."),
        ] = 3600.0,
    ) -> Exit:
        """Check key, address, clock, home, extras and limits; with --live, the service against its profile."""
        if live and model is None:
            raise ConfigurationError("--live needs --model NAME: a cheap one")
        return _show(
            shell, _findings(shell, live_model=model if live else None, cost=max_cost, timeout=timeout)
        )


def _findings(shell: Shell, *, live_model: str | None, cost: float, timeout: float) -> Iterator[Finding]:
    from overlay.doctor.live import live  # noqa: PLC0415 - not loaded by other commands
    from overlay.doctor.recording import Recording  # noqa: PLC0415
    from overlay.doctor.standing import standing  # noqa: PLC0415

    recording = Recording(shell.base_url_in_use)
    with shell.client(transport=recording, max_retries=_TRIES) as client:
        settings = client._settings  # noqa: SLF001 - the doctor looks inside
        found = standing(client, settings, key_from=shell.key_from)
        if live_model is None:
            yield from found
            return
        is_wrong = False
        for each in found:
            is_wrong = is_wrong or each.state == "wrong"
            yield each
        if is_wrong:
            shell.say("--live is left out until what is wrong has been mended")
            return
        yield from live(
            client, settings, recording, model=live_model, max_cost=cost, timeout=timeout, say=shell.say
        )


def _show(shell: Shell, findings: Iterable[Finding]) -> Exit:
    states: set[str] = set()
    rows: list[tuple[str, str, str]] = []
    try:
        for each in findings:
            states.add(each.state)
            if shell.json:
                output.document(attrs.asdict(each))
            rows.append((_MARKS[each.state], each.subject, each.words))
    finally:
        # What was found before Ctrl-C is worth reading.
        if rows and not shell.json:
            output.table(("", "", ""), rows)
    if "differs" in states:
        shell.say("what differs from the profile helps everybody: please send this report to the project")
    return Exit.SERVICE if "wrong" in states else Exit.OK
