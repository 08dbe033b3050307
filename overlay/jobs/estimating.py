"""What a job of these requests will take."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

from overlay.costs.estimate import Estimate, Tally
from overlay.costs.prices import PriceList, Prices
from overlay.flows.steps import Flow, Work
from overlay.jobs.budget import reckon
from overlay.jobs.preparing import Requests, spool_folder, take_in
from overlay.services import Limits
from overlay.wire.connection import Settings


def estimate(
    settings: Settings,
    requests: Requests,
    *,
    limits: Limits | None = None,
    max_enqueued_tokens: int | None = None,
    completion_window: str | None = None,
    prices: Prices | None = None,
    expected_output_tokens: int | None = None,
) -> Flow[Estimate]:
    """What a job of these requests would take: batches, tokens and money by model, hours. Nothing is sent.

    `requests`, `limits`, `max_enqueued_tokens` and `completion_window` are as for `submit`. `prices` by model, each
    a `Price` or what a million input and a million output tokens cost, come before those of genai-prices (extra
    `prices`). Answers are reckoned at the most tokens that a request allows, or at `expected_output_tokens` each.
    The account's limit on enqueued tokens is `max_enqueued_tokens`, or what this home folder has learned of it.

    Raises InvalidInputError with every bad request; ConfigurationError; StorageError.
    """
    tally = Tally(expected_output_tokens)
    PriceList(settings.base_url, prices)  # whatever is wrong with them, before the requests are read
    with ExitStack() as stack:
        folder = yield Work(partial(spool_folder, settings, stack))
        spooled = yield from take_in(
            settings.service,
            requests,
            folder,
            stack,
            limits=limits,
            max_tokens=max_enqueued_tokens,
            keep=False,
            tally=tally,
        )
        window = completion_window or settings.service.window
        found: Estimate = yield Work(
            partial(reckon, settings, tally, spooled, prices, window=window, max_tokens=max_enqueued_tokens)
        )
    return found
