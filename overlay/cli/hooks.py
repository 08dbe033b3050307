"""`overlay hooks serve`: receive webhooks, so that waits end at once."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from overlay.cli import output
from overlay.cli.server_log import set_up
from overlay.cli.shell import Shell, command
from overlay.errors import StorageError
from overlay.signatures import secrets_in

logger = logging.getLogger("overlay.webhooks")

app = typer.Typer(
    help="Receive webhooks, so that waits end at once.", rich_markup_mode=None, no_args_is_help=True
)


@app.callback()
def hooks() -> None:
    """Receive webhooks, so that waits end at once."""


@command(app)
def serve(
    shell: Shell,
    *,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 picks a free one.")] = 8090,
    path: Annotated[
        str, typer.Option("--path", metavar="PATH", help="The path that webhooks are posted to.")
    ] = "/",
    secret_file: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="A file with the secret, or several while one takes another's place; by default"
            " OPENAI_WEBHOOK_SECRET.",
        ),
    ] = None,
    log_json: Annotated[bool, typer.Option("--log-json", help="Log JSON, one object a line.")] = False,
) -> None:
    """Receive the webhooks of a service until stopped.

    When a batch has ended, whatever waits for it on this machine, `jobs wait` for one, asks the service at once.
    Waits go on polling, up to five minutes apart, so that a webhook that is lost costs time alone.
    """
    from overlay.webhooks import app as receiving  # noqa: PLC0415 - loaded where it is used

    if not path.startswith("/"):
        raise typer.BadParameter("it begins with /", param_hint="--path")
    secret = None if secret_file is None else secrets_in(secret_file, "--secret-file")
    with shell.client(local=True) as client:
        application = receiving(client, secret=secret, path=path)
    from overlay.webhooks.serving import serve as run  # noqa: PLC0415 - the extra may not be installed

    def ready(url: str) -> None:
        if shell.json:
            output.document({"url": url})
            output.finish()
        logger.info("receiving webhooks at %s", url)

    set_up(as_json=log_json, requests=False)
    shell.stopping.disarm()
    try:
        run(application, host, port, path=path, on_ready=ready)
    except OSError as error:
        raise StorageError(f"cannot serve at {host}:{port}: {error}") from None
