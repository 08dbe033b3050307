"""`map`: rows in, a job of one request for each, rows and answers out."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from overlay.errors import ConfigurationError, InvalidInputError
from overlay.flows.steps import Flow, Pull, Work
from overlay.jobs import verbs
from overlay.jobs.home import check_disk, job_folder, ready
from overlay.jobs.reading import ended_results
from overlay.jobs.views import Job
from overlay.requests.rows import template_of
from overlay.tables.answers import Answers
from overlay.tables.asking import Asked
from overlay.tables.sources import add, source_of
from overlay.tables.spool import Rows, RowSpool
from overlay.wire.connection import Settings


def prepare(
    settings: Settings,
    table: Any,
    template: Any,
    *,
    key: str | None,
    prefix: str,
    csv: Mapping[str, Any] | None,
) -> Flow[Asked[Any]]:
    """See `overlay.tables.resource.Jobs.prepare`."""
    template = template_of(template)
    if not isinstance(prefix, str):
        raise ConfigurationError(f"prefix is the beginning of names, a text, not {prefix!r:.100}")
    rows = yield from take_in(settings, table, key, csv)
    asked: Asked[Any] = yield Work(partial(Asked, rows, template, key, prefix))
    return asked


def map_table(settings: Settings, asked: Asked[Any], options: Mapping[str, Any]) -> Flow[Answers[Any]]:
    """A job of a table that was prepared: submitted, waited for, and its answers."""
    if options.get("accept") is not None:
        options = {**options, "answer": asked.template.answer}

    def submitting(**watching: Any) -> Flow[Job]:
        return verbs.submit(settings, asked.requests(), **{**options, **watching})

    try:
        job = yield from verbs.run(
            submitting,
            settings,
            on_change=options.get("on_change"),
            progress=options.get("progress"),
            **verbs.say_of(options),
        )
    except InvalidInputError as error:
        raise asked.in_rows(error) from None
    return answers_of(settings, job, asked)


def take_in(settings: Settings, table: Any, key: str | None, csv: Mapping[str, Any] | None) -> Flow[Rows]:
    """The rows of a table, on disk. Raises InvalidInputError, StorageError, ConfigurationError."""
    check_disk(settings, "a job of a table")
    source = yield Work(partial(source_of, table, csv))
    spool: RowSpool = yield Work(partial(_spool, settings, source.name, key))
    try:
        while items := (yield Pull(source.items, source.at_once)):
            yield Work(partial(add, spool, items))
        rows: Rows = yield Work(spool.finish)
    except BaseException:
        spool.close()
        raise
    return rows


def _spool(settings: Settings, name: str, key: str | None) -> RowSpool:
    ready(settings.home)
    return RowSpool(settings.home / "spool", name, key)


def answers_of(settings: Settings, job: Job, asked: Asked[Any]) -> Answers[Any]:
    """The answers of a job that has ended. Raises JobNotEndedError."""
    ended_results(settings, job.id).close()
    return Answers(job, asked, partial(ended_results, settings, job.id), job_folder(settings, job.id))
