"""The command and its subcommands, and how a run is logged and ends."""

from __future__ import annotations

import logging
from typing import Annotated

import typer

from overlay.cli import (
    batches,
    check,
    costs,
    doctor,
    endings,
    files,
    hooks,
    jobs,
    output,
    run as run_command,
    serve,
    services,
    tables,
)
from overlay.cli.endings import EXPLAINED, Exit, PipeClosedError
from overlay.cli.shell import root
from overlay.cli.signals import Interrupted, Stopping
from overlay.version import VERSION
from overlay.wire.environment import variable

app = typer.Typer(
    name="overlay",
    help="The OpenAI Batch API, and every service that speaks it, from a shell.",
    epilog=EXPLAINED,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
    # Typer's own would show local variables, including tokens.
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        output.write(f"overlay {VERSION}\n".encode())
        output.finish()
        raise typer.Exit


@app.callback()
@root
def overlay(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """The OpenAI Batch API, and every service that speaks it, from a shell."""


check.register(app)
costs.register(app)
run_command.register(app)
tables.register(app)
app.add_typer(batches.app, name="batches")
app.add_typer(files.app, name="files")
app.add_typer(jobs.app, name="jobs")
serve.register(app)
app.add_typer(hooks.app, name="hooks")
services.register(app)
doctor.register(app)


class _Said(logging.Handler):
    """Writes what the SDK logs, such as retries, to stderr, one line each."""

    def __init__(self, stopping: Stopping) -> None:
        super().__init__()
        self._stopping = stopping

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == "overlay.jobs":
            return  # progress shows what happens to jobs
        if self._stopping.asked:
            return  # the advice comes last; threads that lose their connection have nothing to add
        text = record.getMessage()
        endings.say(f"{text}: {record.exc_info[1]}" if record.exc_info else text)


def _listen(stopping: Stopping) -> None:
    log = logging.getLogger("overlay")
    log.setLevel(logging.INFO)
    log.propagate = False
    log.addHandler(_Said(stopping))


def run(stopping: Stopping) -> int:
    """Run the command that the arguments name; returns the exit status."""
    if variable(endings.DEBUG):
        logging.basicConfig(level=logging.DEBUG)
    else:
        _listen(stopping)
    try:
        status = _run(stopping)
        output.finish()
    except PipeClosedError:
        status = Exit.PIPE_CLOSED
    except Interrupted as interrupted:
        stopping.say()
        status = interrupted.exit_status
    except Exception as error:  # noqa: BLE001 - no command ends in a traceback
        status = endings.report(error)
        if stopping.advise_on_error:
            endings.say(stopping.advice)
    else:
        return status
    output.rescue()
    return status


_MISUSE: type[Exception] = typer.BadParameter.__mro__[1]
"""What typer raises for arguments that cannot be understood: it exports only this child of it."""


def _run(stopping: Stopping) -> int:
    try:
        status: object = app(obj=stopping, prog_name="overlay", standalone_mode=False)
    except SystemExit as end:  # of a shell's completion
        status = end.code
    except _MISUSE as error:
        return endings.misused(error)
    return status if isinstance(status, int) else 0
