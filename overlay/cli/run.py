"""`overlay run`: from a file of requests, of any size, to a file of results.

It is a job whose id derives from the requests and the base URL: the same command run again continues where the
last one stopped, or writes the results again, and never pays twice. The file is read once: its id, and what is
sent, come from the same bytes. What another machine, or another home folder, has sent is found by the job id in
each batch's metadata, before anything is sent.
"""

from __future__ import annotations

from typing import Annotated

import typer

from overlay.cli.arguments import Field, RequestsFile, fields
from overlay.cli.delivery import deliver_job
from overlay.cli.endings import Exit
from overlay.cli.job_options import JobFlags, job_command
from overlay.cli.job_tables import started
from overlay.cli.running import run_job
from overlay.cli.shell import Shell
from overlay.cli.standard_input import STDIN, requests_of
from overlay.errors import ConfigurationError


def register(app: typer.Typer) -> None:
    """Add the command."""

    @job_command(app)
    def run(
        shell: Shell,
        flags: JobFlags,
        file: RequestsFile,
        *,
        field: Field = None,
        detach: Annotated[
            bool,
            typer.Option("--detach", help="Start the job, and do not wait: `jobs wait` and `results` do."),
        ] = False,
    ) -> Exit:
        """Send a file of requests as one job, wait for it, and write the results in the order of the requests."""
        if detach and flags.output_path is not None:
            raise ConfigurationError("--detach does not wait for results: leave out -o, or --detach")
        destination = None if detach else flags.destination
        if destination is not None:
            destination.check(file)

        def go_on(job_id: str) -> str:
            if detach or file == STDIN:
                return shell.again("jobs", "wait", job_id)
            return shell.again(*flags.again_with("run", str(file)))

        with shell.client() as client:
            job = run_job(
                shell,
                client,
                requests_of(file),
                flags=flags,
                destination=destination,
                go_on=go_on,
                extra_body=fields(field),
            )
            # The live view is gone by now: on the same terminal, it and the results would overwrite each other.
            if destination is None:
                return started(shell, job, quiet=flags.quiet)
            return deliver_job(shell, client, job, destination, prices=flags.prices, quiet=flags.quiet)
