"""Limits of the account, learned from what the service refuses."""

from __future__ import annotations

from functools import partial

from overlay.flows.steps import Flow, Work
from overlay.jobs.context import JobContext
from overlay.jobs.records import Unit
from overlay.jobs.unanswered import is_unanswered
from overlay.operations.caps import Limit, learned_tokens, stated_limit


def meet_limit(context: JobContext, unit: Unit, limit: Limit | None, message: str) -> Flow[bool]:
    """Learn from the refusal of a unit that it is over a limit of the account; False if it is about something else,
    or if the unit can never be created.
    """
    if limit is None:
        return False
    learned: bool = yield Work(partial(_learn_limit, context, unit, limit, message))
    return learned


def _learn_limit(context: JobContext, unit: Unit, limit: Limit, message: str) -> bool:
    account, model, now = context.account, unit.model or "", context.settings.clock.time()
    refused_before, unit.problem = unit.problem is not None and not is_unanswered(unit), message
    context.ledger.save(unit)
    if limit == "batches":
        running = account.in_use(now, without=unit.key).batches
        if running:
            account.learn_batches(running, now)
        context.report("waiting", unit, f"shard {unit.shard}: {message}; waiting until a batch has ended")
        return True
    others, stated = account.in_use(now, model=model, without=unit.key).tokens, stated_limit(message)
    most = learned_tokens(unit.tokens, others=others, stated=stated, refused_before=refused_before)
    if unit.requests == 1 and stated is not None and stated < unit.tokens:
        return False  # and never will be: it is a single request
    if most is not None:
        account.learn_tokens(model, most, stated=most == stated, now=now)
    parts = -(-unit.tokens // most) if most else 1
    what = (
        f"split into {min(parts, unit.requests):,} parts of at most {most:,} tokens"
        if parts > 1 and unit.requests > 1
        else "waiting for room under the limit"
    )
    context.report("waiting", unit, f"shard {unit.shard}, {unit.tokens:,} tokens: {message}; {what}")
    return True
