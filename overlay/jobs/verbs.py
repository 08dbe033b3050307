"""Many requests as one durable job: any number, each answered once, through every crash.

A job is a folder: its requests in shards, its ledger, its lock and, shard by shard, its results. It appears
under its name in one step, complete, before anything is sent; so a generator that raises, or a crash while requests
come in, leaves nothing behind. From then on, running the same requests under the same id, or the same command,
continues where the last process stopped.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import EllipsisType
from typing import Any

import attrs

from overlay.costs.prices import Prices
from overlay.errors import JobMismatchError, WaitTimeoutError
from overlay.flows.steps import Flow, Work, deadline
from overlay.jobs.acceptance import Accept, Acceptance, acceptance
from overlay.jobs.budget import budget
from overlay.jobs.giving_up import reopen
from overlay.jobs.home import check_here, existing, view_of
from overlay.jobs.opening import OnChange, OpenJob, opened_job
from overlay.jobs.preparing import JobName, Requests, prepare
from overlay.jobs.reading import open_results
from overlay.jobs.records import CHANGEABLE, JobOptions, given_options
from overlay.jobs.results import Followed
from overlay.jobs.scheduler import work
from overlay.jobs.telling import OnEnd, check_notice
from overlay.jobs.views import Job, JobEvent
from overlay.operations.offers import what_is_lost
from overlay.operations.waiting import checked_poll
from overlay.progress.showing import Progress, Shown, progress_of
from overlay.results.iterables import Opened
from overlay.results.matching import Match
from overlay.services import Limits
from overlay.wire.clock import Seconds, seconds
from overlay.wire.connection import Settings


def submit(
    settings: Settings,
    requests: Requests,
    *,
    id: JobName | None = None,  # noqa: A002 - what it is
    completion_window: str | EllipsisType = ...,
    metadata: Mapping[str, str] | EllipsisType | None = ...,
    output_expires_after: Seconds | EllipsisType | None = ...,
    max_enqueued_tokens: int | EllipsisType | None = ...,
    max_enqueued_inputs: int | EllipsisType | None = ...,
    max_batches: int | EllipsisType | None = ...,
    max_creates_per_hour: int | EllipsisType = ...,
    max_attempts: int | EllipsisType = ...,
    limits: Limits | None = None,
    bodies: bool = False,
    delete_files: bool | EllipsisType = ...,
    grace: Seconds | EllipsisType = ...,
    poll: Seconds | EllipsisType = ...,
    match: Match | None = None,
    max_cost: float | None = None,
    prices: Prices | None = None,
    expected_output_tokens: int | None = None,
    reuse: bool = False,
    dedupe: bool = False,
    accept: Accept | None = None,
    answer: Any = None,
    fallback_model: str | EllipsisType | None = ...,
    on_change: OnChange | None = None,
    on_end: OnEnd | None = None,
    notify: str | EllipsisType | None = ...,
    notify_secret_file: str | os.PathLike[str] | EllipsisType | None = ...,
    progress: Shown = None,
    extra_body: Mapping[str, Any] | EllipsisType | None = ...,
    extra_query: Mapping[str, Any] | EllipsisType | None = ...,
) -> Flow[Job]:
    """Put requests on disk as a job, start as many of its batches as may run, and return.

    `id` names the job, in up to 64 letters, digits, dots, dashes and underscores; by default it derives from the
    requests and the base URL. It may also be a function, which is given the default id once the requests are on
    disk, and returns the id to use: if it raises, there is no job, and nothing is sent. Submitting the same
    requests again under the same id continues the job; if the service had refused all of it, so that nothing was
    paid, it is started once more.

    Options left out (`...`) have their defaults or, if the job exists, stay as they are. Those of a job that exists
    can be changed, but for `completion_window`, `metadata`, `output_expires_after`, `extra_body` and
    `extra_query`, which its batches have.

    - `completion_window`: `24h`, the only one at OpenAI; elsewhere by default the service's usual one.
      `metadata`: up to 15 pairs of your own.
      `output_expires_after`: how long the service keeps result files, a timedelta or seconds.
    - Requests are split into batches by endpoint, model and `limits` (by default the service's), and so that
      neither one batch nor all running batches of a model exceed `max_enqueued_tokens` estimated prompt tokens.
      The account's own limit is learned when the service refuses a batch for it, and batches that are too large
      are split.
    - `max_enqueued_inputs` (1,000,000 at OpenAI) limits the texts to embed that running batches hold together,
      `max_batches` how many batches run at a time, `max_creates_per_hour` (2,000 at OpenAI) how many are created.
      All jobs of this home folder with the same key share these limits.
    - With `bodies=True`, each body is checked by the API's own schema of its endpoint (extra `check`).
    - A request that fails in a way that may pass is sent up to `max_attempts` times (3).
    - `delete_files` removes input and result files from the service once all results are on disk.
    - `grace` (180 seconds) is how long a lost create is searched for; `poll` (5 seconds) is the initial polling
      interval while waiting, which grows to a minute: timedeltas or seconds.
    - A new job is refused if it may cost more than `max_cost`, in dollars or the currency of `prices`, or if nobody
      can tell: see `estimate`, which takes `prices` and `expected_output_tokens`, too.
    - With `reuse`, a new job takes the good answers of identical requests (endpoint and body) from ended jobs of
      this home folder at the same base URL, and sends only the others. With `dedupe`, identical requests of the job
      itself are sent once, and all get that answer.
    - With `accept` or `answer`, or both, you have a say about the answers. Once all are there, each is parsed as
      the type `answer`, or left as a Result, and given to `accept`. Where it does not fit, or `accept` returns
      false, the request is sent again, to `fallback_model` if that is given, until it was sent `max_attempts`
      times; then it is a failure with the code `not_accepted`, whose line still has the answer. Failures that may
      pass have attempts of their own. Functions and types are not kept: give them to `wait` and `resume`, too.
    - `on_change` is called with a JobEvent for everything that happens; so is the logger `overlay.jobs`.
    - `on_end` is called with a JobEnd when the job has ended: at least once, under the same id. If it raises, or
      the process dies before it returns, the next `wait` that is given it calls it again.
    - `notify` is an https URL to which the end is posted, as a signed webhook (Standard Webhooks), likewise at
      least once; if nobody takes it there for half a minute, the next `wait` tries again. The secret is in
      OVERLAY_WEBHOOK_SECRET, or in the file `notify_secret_file`; the job keeps the URL and the path alone.
    - `progress` shows how the job is doing: True, or by default on a terminal where rich is installed and in a
      notebook, unless OVERLAY_PROGRESS=0 turns it off.
    - `extra_body` and `extra_query`, which must be JSON, are sent with the create of each batch, for what this SDK
      does not know. The job keeps them on disk, so that a resumed one sends the same. Headers are not kept, since
      they may hold secrets: give those to the client, as `Client(headers=...)`.

    `match="order"` is for a service that loses the custom_ids but keeps the order of the requests: where a batch
    has as many answers that name no request as requests without an answer, these get those, each in their order.
    It is recorded, also for a job that exists already; see UnclaimedAnswersError.

    Raises, with nothing sent, InvalidInputError with every bad request, and CostLimitError; JobMismatchError if the
    id belongs to other requests, another service or other fixed options; JobLockedError if another process is
    working on it; StorageError.
    """
    given = given_options(
        completion_window=completion_window,
        metadata=metadata,
        output_expires_after=output_expires_after,
        max_enqueued_tokens=max_enqueued_tokens,
        max_enqueued_inputs=max_enqueued_inputs,
        max_batches=max_batches,
        max_creates_per_hour=max_creates_per_hour,
        max_attempts=max_attempts,
        delete_files=delete_files,
        grace=grace,
        poll=poll,
        match=... if match is None else match,
        extra_body=extra_body,
        extra_query=extra_query,
        notify=notify,
        notify_secret_file=notify_secret_file,
    )
    check_notice(notify, given.get("notify_secret_file"))
    taken = acceptance(accept, answer)
    given |= given_options(accepts=... if taken is None else True, fallback_model=fallback_model)
    service = settings.service
    usual: dict[str, Any] = {"completion_window": service.window, "max_batches": service.live_batches}
    options = JobOptions(**{**usual, **given})
    with progress_of(progress) as shown:
        job_id = yield from prepare(
            settings,
            requests,
            job_id=id,
            options=options,
            limits=limits,
            bodies=bodies,
            budget=budget(max_cost, prices, expected_output_tokens),
            reuse=reuse,
            dedupe=dedupe,
        )
        return (
            yield from _resume(
                settings, job_id, given, on_change, shown, taken=taken, on_end=on_end, anew=True
            )
        )


def resume(
    settings: Settings,
    job_id: str,
    *,
    max_enqueued_tokens: int | EllipsisType | None = ...,
    max_enqueued_inputs: int | EllipsisType | None = ...,
    max_batches: int | EllipsisType | None = ...,
    max_creates_per_hour: int | EllipsisType = ...,
    max_attempts: int | EllipsisType = ...,
    delete_files: bool | EllipsisType = ...,
    grace: Seconds | EllipsisType = ...,
    match: Match | None = None,
    accept: Accept | None = None,
    answer: Any = None,
    on_change: OnChange | None = None,
    on_end: OnEnd | None = None,
    notify: str | EllipsisType | None = ...,
    notify_secret_file: str | os.PathLike[str] | EllipsisType | None = ...,
) -> Flow[Job]:
    """Resume a job after a crash: find out what became of it, start what may start, and return.

    Options that are given change the job's, as in `submit`; the others stay as they are.

    Raises JobNotFoundError, JobLockedError, LedgerError, UnclaimedAnswersError, IncompleteResultsError, and what
    the service refuses.
    """
    given = given_options(
        max_enqueued_tokens=max_enqueued_tokens,
        max_enqueued_inputs=max_enqueued_inputs,
        max_batches=max_batches,
        max_creates_per_hour=max_creates_per_hour,
        max_attempts=max_attempts,
        delete_files=delete_files,
        grace=grace,
        match=... if match is None else match,
        notify=notify,
        notify_secret_file=notify_secret_file,
    )
    check_notice(notify, given.get("notify_secret_file"))
    taken = acceptance(accept, answer)
    return (yield from _resume(settings, job_id, given, on_change, taken=taken, on_end=on_end))


def _resume(
    settings: Settings,
    job_id: str,
    given: Mapping[str, Any],
    on_change: OnChange | None,
    progress: Progress | None = None,
    *,
    taken: Acceptance | None = None,
    on_end: OnEnd | None = None,
    anew: bool = False,
) -> Flow[Job]:
    """`anew`: start a job once more that the service refused as a whole; nothing of it was paid."""
    with (yield from opened_job(settings, job_id, on_change, progress)) as opened:
        opened.context.acceptance, opened.context.on_end = taken, on_end
        yield Work(partial(change_options, opened, given))
        if anew:
            for sentence in what_is_lost(settings.service):
                opened.context.report("waiting", None, sentence)
        if anew and opened.context.record.state == "failed":
            yield Work(partial(reopen, opened.context))
        yield from work(opened.context, until=deadline(settings, None), poll=1.0, once=True)
        return opened.view()


def wait(
    settings: Settings,
    job_id: str,
    *,
    timeout: Seconds | None = None,
    poll: Seconds | None = None,
    max_enqueued_tokens: int | EllipsisType | None = ...,
    max_enqueued_inputs: int | EllipsisType | None = ...,
    max_batches: int | EllipsisType | None = ...,
    max_creates_per_hour: int | EllipsisType = ...,
    max_attempts: int | EllipsisType = ...,
    delete_files: bool | EllipsisType = ...,
    grace: Seconds | EllipsisType = ...,
    match: Match | None = None,
    accept: Accept | None = None,
    answer: Any = None,
    on_change: OnChange | None = None,
    on_end: OnEnd | None = None,
    notify: str | EllipsisType | None = ...,
    notify_secret_file: str | os.PathLike[str] | EllipsisType | None = ...,
    progress: Shown = None,
) -> Flow[Job]:
    """Work on a job until every request has its answer on disk, and return it.

    `timeout` and `poll` are timedeltas or seconds; `poll` is as submitted by default. Options that are given change
    the job's, as in `submit`. `on_change` is called with a JobEvent for everything that happens; `on_end` and
    `progress` are as for `submit`.

    A shard that is stuck does not hold up the others; when they are done, its error is raised: BatchFailedError if
    the service refused its batch as a whole, NotFoundError if the service has forgotten it, FileGoneError if its
    results are gone. Wait again to try it again, `give_up` its requests, or `send_again` and pay again. If the
    service refused all batches of the job, the job has ended, and each result says why.

    Raises WaitTimeoutError and what `resume` raises, too. After any of them you can wait for the job again.
    """
    given = given_options(
        max_enqueued_tokens=max_enqueued_tokens,
        max_enqueued_inputs=max_enqueued_inputs,
        max_batches=max_batches,
        max_creates_per_hour=max_creates_per_hour,
        max_attempts=max_attempts,
        delete_files=delete_files,
        grace=grace,
        match=... if match is None else match,
        notify=notify,
        notify_secret_file=notify_secret_file,
    )
    check_notice(notify, given.get("notify_secret_file"))
    taken = acceptance(accept, answer)
    with (
        progress_of(progress) as shown,
        (yield from opened_job(settings, job_id, on_change, shown)) as opened,
    ):
        check_here(opened.context.record)
        opened.context.acceptance, opened.context.on_end = taken, on_end
        yield Work(partial(change_options, opened, given))
        pause = opened.context.record.options.poll if poll is None else checked_poll(poll)
        yield from work(opened.context, until=deadline(settings, timeout), poll=pause)
        job = opened.view()
    if not job.ended:
        raise WaitTimeoutError(
            f"job {job_id} has not ended after {seconds(timeout or 0):,.0f} s ({job.progress:.0%}); wait again"
            + "".join(f"; {shard.name} is stuck: {shard.problem}" for shard in job.stuck[:1]),
            batch_id=None,
            status=None,
        )
    return job


def change_options(opened: OpenJob, given: Mapping[str, Any]) -> None:
    """Give the job the options that were named and are others now. Raises JobMismatchError for fixed ones."""
    context = opened.context
    record = context.record
    changed = {name: value for name, value in given.items() if getattr(record.options, name) != value}
    if fixed := sorted(changed.keys() - CHANGEABLE):
        raise JobMismatchError(
            f"job {record.id} exists with another {fixed[0]}: {getattr(record.options, fixed[0])!r}, not "
            f"{changed[fixed[0]]!r}; leave it out, or use another id",
            job_id=record.id,
        )
    if changed:
        told = ", ".join(
            f"{name} {getattr(record.options, name)} → {value}" for name, value in changed.items()
        )
        record.options = attrs.evolve(record.options, **changed)
        context.ledger.save_job(record)
        context.report("changed", None, f"options changed: {told}")


def cancel(settings: Settings, job_id: str) -> Flow[Job]:
    """Stop a job: its batches are cancelled, and no more are created. What was answered is kept, and billed.

    Wait for it afterwards to fetch what was answered; a request that was not gets the error code `missing` or
    `batch_cancelled`. Shards that are stuck stay so, and are in `Job.stuck`: give them up.
    """
    with (yield from opened_job(settings, job_id, None)) as opened:
        record = opened.context.record
        if record.state == "open":
            record.state = "cancelled"
            yield Work(partial(opened.context.ledger.save_job, record))
        yield from work(opened.context, until=deadline(settings, None), poll=1.0, once=True, tell=False)
        return opened.view()


def open_ended(
    job_id: str, settings: Settings, stack: ExitStack, *, match: Match | None = None
) -> Flow[Opened]:
    """The results of an ended job, from disk; `match` lets one end that has answers which name no request."""
    if match is not None:
        folder: Path = yield Work(partial(existing, settings, job_id))
        job: Job = yield Work(partial(view_of, folder))
        if not job.ended:
            yield from resume(settings, job_id, match=match)
    return (yield from open_results(job_id, settings, stack))


def run(
    submitting: Callable[..., Flow[Job]],
    settings: Settings,
    *,
    on_change: OnChange | None = None,
    progress: Shown = None,
    accept: Accept | None = None,
    answer: Any = None,
    on_end: OnEnd | None = None,
) -> Flow[Job]:
    """Submit a job and wait for it, which shows one progress for both. `submitting` takes the keywords, too."""
    with progress_of(progress) as shown:
        watching: dict[str, Any] = {
            "on_change": on_change,
            "progress": shown,
            "accept": accept,
            "answer": answer,
            "on_end": on_end,
        }
        job = yield from submitting(**watching)
        if not job.ended:
            job = yield from wait(settings, job.id, **watching)
    return job


def say_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """The functions and types that a caller of `submit` gives, and `wait` needs, too."""
    return {name: options[name] for name in ("accept", "answer", "on_end") if name in options}


def open_run(
    submitting: Callable[..., Flow[Job]],
    followed: Followed,
    options: Mapping[str, Any],
    settings: Settings,
    stack: ExitStack,
) -> Flow[Opened]:
    """Submit, wait, and open the results: what `run` does when its first result is asked for. `options` are those
    of `run`; what becomes of the job is noted.
    """
    on_change = options.get("on_change")

    def follow(event: JobEvent) -> None:
        followed.see(event)
        if on_change is not None:
            on_change(event)

    job = yield from run(
        submitting, settings, on_change=follow, progress=options.get("progress"), **say_of(options)
    )
    followed.job = job
    return (yield from open_results(job.id, settings, stack))
