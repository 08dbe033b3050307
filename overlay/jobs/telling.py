"""Telling that a job has ended: to a function, and to a URL, at least once each.

The end has an id that is made of what ended, so that a process that takes over from one that died, or a ledger
that was rebuilt, tells it under the same. The ledger notes who has taken it, after they did: if a process dies in
between, it is told again, and receivers know by the id that they have it. A job that is opened again, by a retry,
has another end.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import attrs
import msgspec

from overlay.errors import ConfigurationError
from overlay.flows.steps import Flow, Sleep, Work
from overlay.jobs.context import JobContext
from overlay.jobs.end_id import end_id
from overlay.jobs.views import Job, view
from overlay.signatures import secrets_in, sign
from overlay.wire.environment import variable
from overlay.wire.posting import NotPosted, post

SECRET = "OVERLAY_WEBHOOK_SECRET"  # noqa: S105 - the name of the variable
_PAUSES = (1.0, 4.0, 15.0)


@attrs.frozen(kw_only=True)
class JobEnd:
    """That a job has ended; what `on_end` is called with."""

    id: str
    """The same whenever this end of the job is told."""
    job: Job

    @property
    def type(self) -> str:
        """`job.ended`, `job.cancelled`, or `job.failed` if the service refused all of it."""
        return f"job.{self.job.state}"


OnEnd: TypeAlias = Callable[[JobEnd], object]


def check_notice(notify: object, secret_file: object) -> None:
    """Raise ConfigurationError if a job is to post its end, and there is no secret to sign it with."""
    if notify is not None and notify is not ...:
        _secret(secret_file if isinstance(secret_file, str) else None)


def tell_end(context: JobContext, on_end: OnEnd | None = None) -> Flow[None]:
    """Tell the end of the job, if it has ended, to whoever was not told of it yet. Raises what `on_end` raises."""
    record, on_end = context.record, on_end or context.on_end
    if on_end is None and record.options.notify is None:
        return
    units = yield Work(context.ledger.units)
    job = view(record, units)
    if not job.ended:
        return
    end = JobEnd(id=end_id(record, units), job=job)
    if on_end is not None and record.told != end.id:
        on_end(end)
        record.told = end.id
        yield Work(partial(context.ledger.save_job, record))
    if record.options.notify is not None and record.notified != end.id:
        yield from _notify(context, record.options.notify, end)


def _notify(context: JobContext, url: str, end: JobEnd) -> Flow[None]:
    record = context.record
    try:
        secret: str = yield Work(partial(_secret, record.options.notify_secret_file))
    except ConfigurationError as error:
        _not_told(context, str(error))
        return
    body = msgspec.json.encode(_event(end, context.settings.clock.time()))
    for pause in (*_PAUSES, None):
        outcome: NotPosted | None = yield Work(lambda: post(url, body, sign(body, end.id, secret)))
        if outcome is None:
            record.notified = end.id
            yield Work(partial(context.ledger.save_job, record))
            context.report("notified", None, f"its end was posted to {urlsplit(url).hostname}")
            return
        if pause is None or not outcome.may_pass:
            _not_told(context, outcome.why)
            yield Work(partial(context.ledger.save_job, record))
            return
        yield Sleep(pause)


def _not_told(context: JobContext, why: str) -> None:
    wait = f"`overlay jobs wait {context.record.id}` tries again"
    context.report("outage", None, f"its end could not be posted: {why}; {wait}")


def _event(end: JobEnd, now: float) -> dict[str, Any]:
    """Counts alone: no text of a request or an answer leaves the machine here."""
    job = end.job
    return {
        "id": end.id,
        "object": "event",
        "type": end.type,
        "created_at": int(now),
        "data": {
            "id": job.id,
            "requests": job.requests,
            "ok": job.ok,
            "failed": job.failed,
            "missing": job.missing,
            "input_tokens": job.input_tokens,
            "output_tokens": job.output_tokens,
        },
    }


def _secret(file: str | None) -> str:
    """What signs the event. Raises ConfigurationError, without the secret."""
    if file is None:
        found = variable(SECRET)
        if not found:
            raise ConfigurationError(
                f"no secret to sign the job's end with: set {SECRET}, or notify_secret_file"
            )
    else:
        found = " ".join(secrets_in(Path(file), "notify_secret_file"))  # of which several are none
    sign(b"", "", found)
    return found
