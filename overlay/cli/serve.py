"""`overlay serve`: the embedded service in the foreground."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from overlay.cli import output
from overlay.cli.accepted_tokens import AcceptedTokens
from overlay.cli.config_file import read_config
from overlay.cli.server_log import set_up
from overlay.cli.shell import Shell, command
from overlay.cli.upstreams import Behind
from overlay.errors import StorageError
from overlay.signatures import secrets_in

logger = logging.getLogger("overlay.server")


def register(app: typer.Typer) -> None:
    """Add the command."""

    @command(app)
    def serve(
        shell: Shell,
        *,
        config: Annotated[  # noqa: ARG001 - its callback makes what stands there the other options' defaults
            Path | None,
            typer.Option(
                "--config",
                metavar="FILE",
                help="A TOML file with these options by their names; the command line wins.",
                callback=read_config,
                is_eager=True,
            ),
        ] = None,
        host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
        port: Annotated[int, typer.Option(min=0, max=65535, help="0 picks a free one.")] = 8080,
        state: Annotated[
            Path | None,
            typer.Option(metavar="DIR", help="Keep everything here, and continue from it next time."),
        ] = None,
        upstream: Annotated[
            list[str] | None,
            typer.Option(
                "--upstream",
                metavar="[MODEL=]URL[;weight=2][;at-once=64]",
                help="An OpenAI-compatible server to answer the requests, or those for MODEL; may be repeated. By"
                " default they are echoed.",
            ),
        ] = None,
        at_once: Annotated[
            str,
            typer.Option(
                "--at-once",
                metavar="NUMBER|auto",
                help="How many requests each --upstream gets at once; auto finds out how many it does well with.",
            ),
        ] = "16",
        upstream_key_file: Annotated[
            Path | None,
            typer.Option(
                metavar="PATH", help="A file with the key of --upstream; by default OVERLAY_UPSTREAM_API_KEY."
            ),
        ] = None,
        pass_token: Annotated[
            bool,
            typer.Option("--pass-token", help="Send --upstream the clients' own tokens, and no key of ours."),
        ] = False,
        tries: Annotated[
            int,
            typer.Option(min=1, help="How often a request may fail while others succeed at its --upstream."),
        ] = 5,
        timeout: Annotated[
            float,
            typer.Option(min=0.001, metavar="SECONDS", help="How long one answer of --upstream may take."),
        ] = 600.0,
        priority: Annotated[
            str | None,
            typer.Option(
                metavar="KEY",
                help="A key of batches' metadata: those with a higher whole number there go first.",
            ),
        ] = None,
        open_: Annotated[
            bool,
            typer.Option("--open", help="Let anybody in who can reach --host, without --token-file."),
        ] = False,
        token: Annotated[
            str | None,
            typer.Option(help="Accept only this token; `ps` shows it, so pass a real one with --token-file."),
        ] = None,
        allow_host: Annotated[
            list[str] | None,
            typer.Option(
                "--allow-host",
                metavar="NAME",
                help="A name by which a proxy on this machine passes requests on to a loopback --host; may be"
                " repeated.",
            ),
        ] = None,
        drain: Annotated[
            float,
            typer.Option(
                min=0,
                metavar="SECONDS",
                help="How long requests to --upstream may take to end after SIGTERM.",
            ),
        ] = 10.0,
        webhook: Annotated[
            str | None,
            typer.Option(
                metavar="URL",
                help="Post an event here when a batch has ended, signed as OpenAI's webhooks are.",
            ),
        ] = None,
        webhook_secret_file: Annotated[
            Path | None,
            typer.Option(metavar="PATH", help="A file with the secret that signs them, whsec_..."),
        ] = None,
        verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log each request, too.")] = False,
        log_json: Annotated[bool, typer.Option("--log-json", help="Log JSON, one object a line.")] = False,
        control: Annotated[
            bool,
            typer.Option(
                "--control",
                help="Serve /_control/, by which tests move time and set faults; on loopback only.",
            ),
        ] = False,
        pace: Annotated[
            str | None,
            typer.Option(
                metavar="TIMES", help="Seconds in each status: one number, or validating=2,in_progress=30,..."
            ),
        ] = None,
        dialect: Annotated[
            str | None,
            typer.Option(
                "--dialect",
                metavar="NAME",
                help="Another service whose paths, words and limits to have: azure, groq, together, ...; an"
                " unknown NAME lists them all.",
            ),
        ] = None,
        limit: Annotated[
            list[str] | None,
            typer.Option(
                "--limit",
                metavar="NAME=VALUE",
                help="What to refuse: requests=5000, windows=24h,48h, creates_per_hour=none, ...; may be repeated."
                " An unknown NAME lists them all.",
            ),
        ] = None,
        model: Annotated[
            list[str] | None,
            typer.Option(
                "--model", metavar="NAME", help="A model that there is, and no other; may be repeated."
            ),
        ] = None,
        fault: Annotated[
            list[str] | None,
            typer.Option(
                "--fault",
                metavar="FAULT",
                help="What goes wrong, once or so many times: 'POST /batches reject status=503 times=2',"
                " 'GET /files/*/content cut after=1000', 'POST /batches accept then=reset times=forever'; may be"
                " repeated.",
            ),
        ] = None,
    ) -> None:
        """Serve the Batch API from this machine until stopped.

        With --upstream, a server without batches of its own (vLLM, llama.cpp, Ollama) gets them. It is sent the key
        in OVERLAY_UPSTREAM_API_KEY or --upstream-key-file. Where there is none, and no --token-file, it is sent the
        token that a batch was created with, which is not stored: after a restart such a batch waits for it. Its
        list of models is passed on, and a file may name any endpoint and several models.

        / is a page that shows the batches; /metrics is for Prometheus, /health and /ready for orchestrators.
        SIGTERM lets requests end; SIGHUP reads --token-file and --upstream-key-file again.
        """
        try:
            from overlay.server import Pace  # noqa: PLC0415 - the extra may not be installed
            from overlay.server.engine.store import StateInUseError  # noqa: PLC0415
            from overlay.server.faults.spelling import read_fault  # noqa: PLC0415
            from overlay.server.running import serve as run  # noqa: PLC0415
        except ImportError as error:
            shell.complain(f"{error.name} is missing: pip install 'openai-batch-overlay[serve]'")
            raise typer.Exit(1) from None
        with _usage("--pace"):
            speed = Pace.parse(pace) if pace is not None else None
        with _usage("--fault"):
            faults = [read_fault(each) for each in fault or ()]
        accepted = _tokens(shell, token)
        _guard(host, accepted, open_=open_)
        _guard_control(host, upstream, control=control)
        posted = _webhook(webhook, webhook_secret_file)
        answer = None
        if upstream:
            behind = Behind(
                urls=upstream,
                at_once=at_once,
                key_file=upstream_key_file,
                tries=tries,
                timeout=timeout,
                priority=priority,
                pass_token=pass_token,
                allow_insecure=bool(shell.allow_insecure),
            )
            answer = behind.source(guarded=accepted is not None)
        spoken = _dialect(dialect)
        limits = _limits(answer, spoken, limit or (), model)

        def ready(url: str) -> None:
            if shell.json:
                output.document({"base_url": url})
                output.finish()
            logger.info("serving at %s; for clients: export OPENAI_BASE_URL=%s", url, url)

        set_up(as_json=log_json, requests=verbose)
        # It handles signals itself, and ends once the answers in progress are done.
        shell.stopping.disarm()
        try:
            run(
                host,
                port,
                answer=answer,
                pace=speed,
                limits=limits if spoken is None else None,
                dialect=spoken and replace(spoken, limits=limits),
                tokens=accepted,
                state=state,
                faults=faults,
                webhook=posted,
                control=control,
                allow_hosts=allow_host or (),
                drain=drain,
                on_reload=_reloading(accepted, answer),
                on_ready=ready,
            )
        except (OSError, ValueError, StateInUseError) as error:
            reason = str(error)
            raise StorageError(f"cannot serve at {host}:{port}: {reason}") from None


def _webhook(url: str | None, secret_file: Path | None) -> Any:
    from overlay.server import Webhook  # noqa: PLC0415 - the extra may not be installed

    if url is None and secret_file is None:
        return None
    if url is None or secret_file is None:
        raise typer.BadParameter("it goes with --webhook-secret-file", param_hint="--webhook")
    secret, *more = secrets_in(secret_file, "--webhook-secret-file")
    if more:
        raise typer.BadParameter("the file holds one secret", param_hint="--webhook-secret-file")
    return Webhook(url, secret)


def _guard(host: str, tokens: Any, *, open_: bool) -> None:
    """Other machines are let in with a token, or on purpose."""
    from overlay.server.upstreams.address import is_loopback  # noqa: PLC0415 - the extra may not be installed

    if tokens is None and not open_ and not is_loopback(host):
        raise typer.BadParameter(
            f"{host} can be reached by other machines, and any token would do: give --token-file, or --open to let"
            " anybody in",
            param_hint="--host",
        )


def _reloading(accepted: Any, answer: Any) -> Callable[[], None]:
    def reload() -> None:
        if isinstance(accepted, AcceptedTokens):
            accepted.reload()
        if answer is not None:
            answer.reload_key()

    return reload


def _guard_control(host: str, upstream: list[str] | None, *, control: bool) -> None:
    """Whoever reaches the paths for tests can do as they like with the service."""
    from overlay.server.upstreams.address import is_loopback  # noqa: PLC0415 - the extra may not be installed

    if control and (upstream or not is_loopback(host)):
        reason = "with --upstream" if upstream else f"at {host}, which other machines can reach"
        raise typer.BadParameter(f"the paths for tests are not served {reason}", param_hint="--control")


def _dialect(name: str | None) -> Any:
    from overlay.server.dialects.table import dialect_of  # noqa: PLC0415 - the extra may not be installed

    with _usage("--dialect"):
        return dialect_of(name)


def _limits(answer: Any, dialect: Any, texts: Sequence[str], models: list[str] | None) -> Any:
    """Those that go with what answers, changed by the options."""
    from overlay.server import Limits  # noqa: PLC0415

    usual = dialect.limits if dialect else Limits() if answer is None else answer.limits
    with _usage("--limit"):
        limits = usual.parse(texts)
        if models and limits.models is not None:
            raise ValueError("give --limit models=… or --model, not both")
    return replace(limits, models=models) if models else limits


@contextmanager
def _usage(option: str) -> Generator[None]:
    """Say what is wrong with the text of an option as a wrong usage of it."""
    try:
        yield
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def _tokens(shell: Shell, token: str | None) -> Any:
    if shell.token_file is None:
        return token
    if token is not None:
        raise typer.BadParameter("use --token or --token-file, not both", param_hint="--token")
    return AcceptedTokens(shell.token_file)
