"""`overlay estimate`, and what a job has taken: tokens and money for people."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import typer

from overlay.cli import output
from overlay.cli.arguments import ExpectedOutput, MaxTokens, Price, RequestsFile, Window, prices
from overlay.cli.shell import Shell, command
from overlay.cli.standard_input import requests_of
from overlay.costs.estimate import Estimate
from overlay.jobs.views import Job


def register(app: typer.Typer) -> None:
    """Add the command."""

    @command(app)
    def estimate(
        shell: Shell,
        file: RequestsFile,
        *,
        max_enqueued_tokens: MaxTokens = None,
        completion_window: Window = None,
        price: Price = None,
        expected_output_tokens: ExpectedOutput = None,
    ) -> None:
        """Say what a file of requests would take: batches, tokens, money, hours. Nothing is sent."""
        with shell.client(local=True) as client:
            found = client.jobs.estimate(
                requests_of(file),
                max_enqueued_tokens=max_enqueued_tokens,
                completion_window=completion_window,
                prices=prices(price),
                expected_output_tokens=expected_output_tokens,
            )
        if shell.json:
            totals = {"input_tokens": found.input_tokens, "output_tokens": found.output_tokens}
            costs = {"input_cost": found.input_cost, "cost": found.cost}
            output.document(attrs.asdict(found) | totals | costs)
            return
        output.facts(_facts(found))
        for why in found.unknown:
            shell.say(why)


def _facts(found: Estimate) -> Iterator[tuple[str, object]]:
    rule = "by tiktoken" if found.tokens_counted_by == "tiktoken" else "at four bytes each"
    yield "requests", found.requests
    yield "batches", found.batches
    for each in found.models:
        most = "no limit" if each.output_tokens is None else f"at most {each.output_tokens:,}"
        cost = "" if each.cost is None else f"; at most {money(each.cost)}"
        yield (
            each.model or "no model",
            f"{each.requests:,} requests, {each.input_tokens:,} tokens in ({rule}), {most} out{cost}",
        )
    if found.cost is not None:
        yield (
            "cost",
            f"at most {money(found.cost)} at batch rates, {money(found.input_cost or 0.0)} of it for prompts",
        )
    elif found.input_cost is not None:
        yield "cost", f"{money(found.input_cost)} at batch rates for prompts; answers are not limited"
    if found.rounds is not None and found.hours is not None:
        yield "time", f"at most {found.hours:,g} hours: {found.rounds:,} rounds at the account's limit"


def money(amount: float) -> str:
    """An amount for people: cents at least, and of small ones what can be told apart."""
    return f"{amount:,.2f}" if amount >= 1 or not amount else f"{amount:.3g}"


def receipt(job: Job, prices: dict[str, tuple[float, float]] | None = None) -> str:
    """What a job has taken, in a line: `1,234 tokens in, 567 out: 0.0123 at batch rates`."""
    taken = job.receipt(prices)
    text = f"{taken.input_tokens:,} tokens in, {taken.output_tokens:,} out"
    return text if taken.cost is None else f"{text}: {money(taken.cost)} at batch rates"
