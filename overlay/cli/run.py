"""`overlay run`: from a file of requests, of any size, to a file of results.

It is a job whose id derives from the requests and the base URL: the same command run again continues where the
last one stopped, or writes the results again, and never pays twice. The file is read once: its id, and what is
sent, come from the same bytes. What another machine, or another home folder, has sent is found by the job id in
each batch's metadata, before anything is sent.
"""

from __future__ import annotations

import typer

from overlay.cli.arguments import Field, RequestsFile, fields
from overlay.cli.delivery import deliver_job
from overlay.cli.endings import Exit
from overlay.cli.job_options import JobFlags, job_command
from overlay.cli.running import run_job
from overlay.cli.shell import Shell


def register(app: typer.Typer) -> None:
    """Add the command."""

    @job_command(app)
    def run(shell: Shell, flags: JobFlags, file: RequestsFile, *, field: Field = None) -> Exit:
        """Send a file of requests as one job, wait for it, and write the results in the order of the requests."""
        destination = flags.destination
        destination.check(file)
        more = fields(field)

        def go_on() -> str:
            return shell.again(*flags.again_with("run", str(file)))

        with shell.client() as client:
            job = run_job(
                shell, client, file, flags=flags, destination=destination, go_on=go_on, extra_body=more
            )
            # The live view is gone by now: on the same terminal, it and the results would overwrite each other.
            return deliver_job(shell, client, job, destination)
