"""What every command gets: the service, the token, and the form of its output."""

from __future__ import annotations

import functools
import inspect
import shlex
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec

import attrs
import typer
from typer.core import TyperCommand

from overlay.cli import endings, output
from overlay.cli.signals import Stopping
from overlay.client import Client
from overlay.errors import ConfigurationError
from overlay.services import ServiceProfile, service_named
from overlay.wire.auth import TokenProvider
from overlay.wire.environment import variable
from overlay.wire.settings import chosen_service

P = ParamSpec("P")

_GROUP = "For every command"
_OPTIONS: dict[str, Any] = {
    "base_url": Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="The service; by default OPENAI_BASE_URL, else OpenAI's.",
            rich_help_panel=_GROUP,
        ),
    ],
    "service": Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The service: see `overlay services`; by default OVERLAY_SERVICE, or whose the URL is.",
            rich_help_panel=_GROUP,
        ),
    ],
    "token_file": Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="A file with the token, reread for each request; by default the service's variable, such as "
            "OPENAI_API_KEY.",
            rich_help_panel=_GROUP,
        ),
    ],
    "header": Annotated[
        list[str] | None,
        typer.Option(
            "--header",
            metavar="NAME: VALUE",
            help="Sent with every request; may be repeated.",
            rich_help_panel=_GROUP,
        ),
    ],
    "allow_insecure": Annotated[
        bool | None,
        typer.Option(
            "--allow-insecure",
            help="Allow sending the token over http:// to another machine.",
            rich_help_panel=_GROUP,
        ),
    ],
    "json": Annotated[
        bool | None,
        typer.Option("--json", help="Print JSON; lists as JSON lines.", rich_help_panel=_GROUP),
    ],
}


@attrs.frozen(kw_only=True)
class Shell:
    """One run of the command, with the options that all commands have."""

    stopping: Stopping
    base_url: str | None = None
    service: str | None = None
    token_file: Path | None = None
    header: list[str] | None = attrs.field(default=None, repr=False)
    allow_insecure: bool | None = None
    json: bool | None = None

    def client(self, *, local: bool = False, **options: Any) -> Client:
        """A client of the service, with more options of its own. Raises ConfigurationError if there is no token.

        With `local`, for what is on this machine's disk, it may lack one.
        """
        token = self._token(needed=not local)
        return Client(
            token=token,
            base_url=self.base_url,
            service=self.service,
            headers=_headers(self.header or ()),
            **options,
            allow_insecure=bool(self.allow_insecure),
        )

    def _token(self, *, needed: bool) -> str | TokenProvider:
        if self.token_file is not None:
            return _token_from(self.token_file)
        chosen = chosen_service(self.service, self.base_url)
        if chosen.key is None and not needed:
            return str  # a provider of no token: the service refuses nothing that it is not asked
        if chosen.key is None:
            raise ConfigurationError(f"no token: set {chosen.profile.key_variable}, or use --token-file PATH")
        return chosen.key

    @property
    def base_url_in_use(self) -> str:
        """Where the service is. Raises ConfigurationError."""
        return chosen_service(self.service, self.base_url).base_url

    @property
    def key_from(self) -> str:
        """Where the key comes from, in words."""
        if self.token_file is not None:
            return str(self.token_file)
        chosen = chosen_service(self.service, self.base_url)
        own = chosen.profile.key_variable
        return own if variable(own) is not None else "OPENAI_API_KEY"

    @property
    def profile(self) -> ServiceProfile:
        """The service that is meant. Raises ConfigurationError."""
        named = self.service or variable("OVERLAY_SERVICE")
        return service_named(named) if named else chosen_service(None, self.base_url).profile

    def again(self, *words: str | Path) -> str:
        """A command line to run next, for the same service and token."""
        command = ["overlay", *map(str, words)]
        if self.base_url is not None:
            command += ["--base-url", self.base_url]
        if self.service is not None:
            command += ["--service", self.service]
        if self.token_file is not None:
            command += ["--token-file", str(self.token_file)]
        for header in self.header or ():
            # A header may be a secret, which must not end up in a log.
            command += ["--header", f"{header.partition(':')[0]}: ..."]
        if self.allow_insecure:
            command.append("--allow-insecure")
        return shlex.join(command)

    def advise(self, line: str, *, on_error: bool = False) -> None:
        """Set what to print if the command is stopped from now on or, with `on_error`, fails."""
        self.stopping.advice = line
        self.stopping.advise_on_error = on_error

    def say(self, text: str) -> None:
        """A line for people, on stderr."""
        endings.say(text)

    def complain(self, text: str) -> None:
        """An error line, on stderr."""
        endings.complain(text)

    def show(self, value: Any, pairs: Callable[[Any], Any], *, quiet: bool = False) -> None:
        """One object of the API on stdout: as JSON, or as the names and values that `pairs` gives; if `quiet`, its
        id alone.
        """
        if quiet:
            output.lines([value.id])
        elif self.json:
            output.document(value.to_dict())
        else:
            output.facts(pairs(value))
        output.finish()  # what is said of it on stderr comes after it


def _headers(given: Iterable[str]) -> dict[str, str]:
    """Headers as typed, `Name: value`. Raises ConfigurationError, without their values."""
    headers: dict[str, str] = {}
    for text in given:
        name, colon, value = text.partition(":")
        if not colon or not name.strip():
            raise ConfigurationError("--header is not as in --header 'X-Team: search'")
        headers[name.strip()] = value.strip()
    return headers


def _token_from(path: Path) -> str | TokenProvider:
    """The token in a file: reread for each request if possible, so that it can be renewed meanwhile."""

    def read() -> str:
        return path.read_text(encoding="ascii").strip()

    try:
        first = read()
        rereadable = stat.S_ISREG(path.stat().st_mode)
    except OSError as error:
        raise ConfigurationError(f"--token-file {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"--token-file {path}: contains non-ASCII characters") from None
    # What a shell's <(command) gives can be read only once.
    return read if rereadable else first


class _Plain(TyperCommand):
    """A command whose usage names its arguments as manuals do, without braces."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return [piece.strip("{}") for piece in super().collect_usage_pieces(ctx)]


def command(
    app: typer.Typer, *, alias: str | None = None, hidden_alias: bool = False, **settings: Any
) -> Callable[[Callable[Concatenate[Shell, P], int | None]], Callable[..., None]]:
    """Make a function a command: it is given the shell first, and returns its exit status, None for 0.

    `alias` is a second name. The options that every command has may come before or after the command's name.
    """

    def register(function: Callable[Concatenate[Shell, P], int | None]) -> Callable[..., None]:
        def run(context: typer.Context, **arguments: Any) -> None:
            shell: Shell = context.obj
            given = {name: arguments.pop(name) for name in _OPTIONS}
            shell = attrs.evolve(shell, **{name: value for name, value in given.items() if value})
            status = function(shell, **arguments)  # type: ignore[call-arg]
            output.finish()
            raise typer.Exit(int(status or 0))

        functools.update_wrapper(run, function)
        del run.__wrapped__  # type: ignore[attr-defined]
        own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
        _set_parameters(run, own)
        settings.setdefault("cls", _Plain)
        app.command(**settings)(run)
        if alias is not None:
            settings.update(name=alias, hidden=hidden_alias)
            app.command(**settings)(run)
        return run

    return register


def root(function: Callable[..., None]) -> Callable[..., None]:
    """The same options for the root command, which passes them on to its subcommands."""

    def run(context: typer.Context, **arguments: Any) -> None:
        given = {name: arguments.pop(name) for name in _OPTIONS}
        context.obj = Shell(stopping=context.obj, **given)
        function(**arguments)

    functools.update_wrapper(run, function)
    del run.__wrapped__  # type: ignore[attr-defined]
    _set_parameters(run, list(inspect.signature(function, eval_str=True).parameters.values()))
    return run


def _set_parameters(run: Callable[..., None], own: list[inspect.Parameter]) -> None:
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context),
        *(each.replace(kind=keyword) for each in own),
        *(
            inspect.Parameter(name, keyword, annotation=annotation, default=None)
            for name, annotation in _OPTIONS.items()
        ),
    ]
    presented: Any = run
    presented.__signature__ = inspect.Signature(parameters)
    presented.__annotations__ = {each.name: each.annotation for each in parameters}
