"""What every command that sends a job takes: where results go, how the job is to run, how long it is waited for."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, Concatenate, ParamSpec

import attrs
import typer

from overlay.cli.arguments import (
    Dedupe,
    DeleteFiles,
    ExpectedOutput,
    Force,
    MatchBy,
    MaxAttempts,
    MaxBatches,
    MaxCost,
    MaxCreates,
    MaxTokens,
    Metadata,
    Notify,
    NotifySecret,
    Poll,
    Price,
    Reuse,
    Timeout,
    Window,
    named,
    pairs,
    prices,
)
from overlay.cli.destination import Destination
from overlay.cli.shell import Shell, command
from overlay.errors import ConfigurationError
from overlay.jobs.records import JobOptions

P = ParamSpec("P")


@attrs.frozen(kw_only=True)
class JobFlags:
    """The options as they were typed. Raises ConfigurationError for bad metadata, before any call."""

    output_path: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="PATH", help="Where results go; - is standard output."),
    ] = None
    force: Force = False
    completion_window: Window = None
    metadata: Metadata = None
    max_enqueued_tokens: MaxTokens = None
    max_batches: MaxBatches = None
    max_creates_per_hour: MaxCreates = None
    max_attempts: MaxAttempts = None
    delete_files: DeleteFiles = None
    max_cost: MaxCost = None
    price: Price = None
    expected_output_tokens: ExpectedOutput = None
    reuse: Reuse = False
    dedupe: Dedupe = False
    timeout: Timeout = None
    poll: Poll = 5.0
    match: MatchBy = None
    notify: Notify = None
    notify_secret_file: NotifySecret = None
    again: Annotated[
        bool, typer.Option("--again", help="Send it even if it was sent before, and pay again.")
    ] = False
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet", "-q", help="Show no progress, only errors; of a new job, print the id alone."
        ),
    ] = False

    def __attrs_post_init__(self) -> None:
        JobOptions(metadata=self.pairs)
        if self.max_cost is None and self.expected_output_tokens is not None:
            raise typer.BadParameter("it goes with --max-cost", param_hint="--expected-output-tokens")

    @property
    def pairs(self) -> dict[str, str]:
        """The metadata."""
        return pairs(self.metadata)

    @property
    def prices(self) -> dict[str, tuple[float, float]] | None:
        """By model."""
        return prices(self.price)

    @property
    def limits_of_cost(self) -> dict[str, Any]:
        """What a new job may cost."""
        if self.max_cost is None:
            return {}
        return named(
            max_cost=self.max_cost, prices=self.prices, expected_output_tokens=self.expected_output_tokens
        )

    @property
    def destination(self) -> Destination:
        """A new one: it notes what it has seen there. Raises ConfigurationError if there is none."""
        if self.output_path is None:
            raise ConfigurationError("where do the results go? -o PATH, or -o - for standard output")
        return Destination(self.output_path, self.force)

    @property
    def changes(self) -> dict[str, Any]:
        """What a job that exists takes, too."""
        return named(
            max_enqueued_tokens=self.max_enqueued_tokens,
            max_batches=self.max_batches,
            max_creates_per_hour=self.max_creates_per_hour,
            max_attempts=self.max_attempts,
            delete_files=self.delete_files,
            match=self.match,
            notify=self.notify,
            notify_secret_file=self.notify_secret_file,
        )

    def again_with(self, *words: str) -> list[str]:
        """The words of a command that goes on with the same job, and writes to the same place."""
        return [*words, "-o", self.output_path or "", *["--force"] * self.force]


def job_command(
    app: typer.Typer, **settings: Any
) -> Callable[[Callable[Concatenate[Shell, JobFlags, P], int | None]], Callable[..., None]]:
    """Make a function a command that is given the shell and the options of a job before its own arguments."""

    def register(function: Callable[Concatenate[Shell, JobFlags, P], int | None]) -> Callable[..., None]:
        def run(shell: Shell, /, **arguments: Any) -> int | None:
            flags = JobFlags(**{field.name: arguments.pop(field.name) for field in attrs.fields(JobFlags)})
            return function(shell, flags, **arguments)  # type: ignore[call-arg] # they are the function's own

        functools.update_wrapper(run, function)
        presented: Any = run
        first, _, *own = inspect.signature(function, eval_str=True).parameters.values()
        options = list(inspect.signature(JobFlags, eval_str=True).parameters.values())
        keyword = inspect.Parameter.KEYWORD_ONLY
        parameters = [first, *(each.replace(kind=keyword) for each in (*own, *options))]
        presented.__signature__ = inspect.Signature(parameters)
        del presented.__wrapped__
        return command(app, **settings)(run)

    return register
