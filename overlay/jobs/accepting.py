"""Whether the caller takes the answers: looked at once all are there, and asked for again where not.

What is not taken becomes a failure with the code `not_accepted`, which keeps the answer. As long as attempts are
left, its requests become the next generation of their shard, with another model if the caller names one. All of
that is on the disk, synced, before the ledger says it in one transaction; done again after a crash, it gives the
same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from functools import partial
from itertools import groupby

import attrs
import msgspec

from overlay.costs.tokens import estimated_tokens
from overlay.errors import ConfigurationError
from overlay.flows.steps import Flow, Work
from overlay.jobs.acceptance import Acceptance
from overlay.jobs.context import JobContext
from overlay.jobs.generations import following_of
from overlay.jobs.records import JobRecord, Unit
from overlay.jobs.spool import lines_of, results_path, shard_path
from overlay.lines import replacing, storage_errors
from overlay.results.result import Result, failed_result
from overlay.results.shapes import NOT_ACCEPTED


def check_answers(context: JobContext) -> Flow[bool]:
    """Look at the answers of a job once all are there; True if something is left to be done because of it.

    Raises ConfigurationError if the caller has not said again what is to be accepted; AcceptError.
    """
    record = context.record
    if not is_unchecked(record):
        return False
    if context.acceptance is None:
        raise ConfigurationError(
            f"job {record.id} was submitted with accept= or answer=, which no job can keep: give them to wait or "
            "resume, too"
        )
    planned: list[Unit] = yield Work(partial(_check, context, context.acceptance))
    for unit in planned:
        context.report(
            "resubmitted",
            unit,
            f"shard {unit.shard}: {unit.requests:,} answers were not accepted; their requests are sent again",
        )
    return not record.checked


def is_unchecked(record: JobRecord) -> bool:
    """Whether the caller wants a say about the answers, and has not had it."""
    return record.options.accepts and not record.checked and record.state == "open"


def _check(context: JobContext, acceptance: Acceptance) -> list[Unit]:
    record, units = context.record, context.ledger.units()
    tries = record.second_tries or 0
    again = tries + 1 < record.options.max_attempts
    planned: list[Unit] = []
    refused = False
    for _, each in groupby(units, key=lambda unit: unit.shard):
        own = list(each)
        if own[0].source != "repeated":
            following, some = _check_shard(context, own, acceptance, again=again)
            planned += [following] if following.requests else []
            refused = refused or some
    with context.ledger.transaction():
        for unit in units:
            if refused and unit.source == "repeated":
                unit.state = "repeats"  # it gets what became of the answers that it repeats
            if any(unit.shard == other.shard for other in planned):
                unit.missing = 0  # the next generation counts those that stay so
        context.ledger.save(*units, *planned)
        after = attrs.evolve(record, checked=not planned, second_tries=tries + bool(planned))
        context.ledger.save_job(after)
    # Not before that: whatever stops the job saves the record, too.
    record.checked, record.second_tries = after.checked, after.second_tries
    return planned


def _check_shard(
    context: JobContext, own: Sequence[Unit], acceptance: Acceptance, *, again: bool
) -> tuple[Unit, bool]:
    """The next generation of a shard, empty if nothing is sent again, and whether some answers are not taken."""
    whole, following = own[0], following_of(own)
    model = context.record.options.fallback_model
    following.model = whole.model if model is None or whole.model is None else model
    results, requests = results_path(context.folder, whole.shard), shard_path(context.folder, *following.key)
    digest, good, some = hashlib.sha256(), 0, False
    with ExitStack() as stack:
        out = stack.enter_context(replacing(results))
        file = stack.enter_context(replacing(requests) if again else nullcontext())
        asked = lines_of(shard_path(context.folder, whole.shard, 0))
        for request, line in zip(asked, lines_of(results), strict=True):
            answer, result = line, Result(line)
            refused = result.error is not None and result.error.code == NOT_ACCEPTED
            if result.ok and (why := acceptance.why_not(result)) is not None:
                answer, refused = _not_accepted(result, why), True
            good += result.ok and not refused
            some = some or refused
            with storage_errors(results):
                out.write(answer)
            if refused and file is not None:
                asked_again = request if model is None else _of_model(request, model)
                with storage_errors(requests):
                    file.write(asked_again)
                digest.update(asked_again)
                following.requests += 1
                following.bytes += len(asked_again)
                following.tokens += whole.tokens_of(len(request)) or estimated_tokens(request)
    whole.ok = good - sum(unit.ok for unit in own[1:])
    if not following.requests:
        requests.unlink(missing_ok=True)
    following.sha256 = digest.hexdigest()
    following.inputs = whole.inputs * following.requests // max(1, whole.requests)
    return following, some


def _not_accepted(result: Result, why: str) -> bytes:
    """The line of an answer as that of a failure, with the answer still in it."""
    error = {"code": NOT_ACCEPTED, "message": why}
    try:
        fields = msgspec.json.decode(result.raw, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return failed_result(result.custom_id or "", NOT_ACCEPTED, why).raw + b"\n"
    return msgspec.json.encode(fields | {"error": error}) + b"\n"


def _of_model(line: bytes, model: str) -> bytes:
    """The same request to another model."""
    fields = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    body = msgspec.json.decode(bytes(fields["body"]), type=dict[str, msgspec.Raw])
    body["model"] = msgspec.Raw(msgspec.json.encode(model))
    return msgspec.json.encode(fields | {"body": body}) + b"\n"
