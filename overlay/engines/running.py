"""The driver's part, the same for every engine: one job of uploaded shards, driven until it has ended."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Protocol

import attrs
import msgspec

from overlay.client import Client
from overlay.engines.partition import Plan, uploaded_rows
from overlay.engines.staging import staging_of
from overlay.errors import ConfigurationError
from overlay.jobs.home import home_id
from overlay.jobs.uploaded import ShardOutcome, ShardTask, read_outcome, row_text
from overlay.requests.rows import Template, template_of
from overlay.services import Limits
from overlay.tables.arrow import Schema, pa
from overlay.tables.columns import AnswerColumns
from overlay.tables.keys import check_key, keys_of_texts

_DRIVING = ("timeout", "on_change", "progress")
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
"""Of a function, which another process has elsewhere."""


class Engine(Protocol):
    """What moves the bytes."""

    def upload(self, plan: Plan) -> Iterable[str]:
        """`upload_partition` for each partition: the lines of all of them."""
        ...

    def run(self, plan: Plan, tasks: Sequence[str]) -> Iterable[str]:
        """`do_task` for each, on workers."""
        ...


@attrs.frozen
class Answered:
    """Where the answers of a job are."""

    paths: list[str]
    """Parquet files of keys and answers, each key in one of them, once."""
    schema: Schema
    """Their columns."""


def run(
    engine: Engine,
    schema: Schema,
    template: Any,
    *,
    key: str,
    id: str,  # noqa: A002 - as `submit` has it
    staging: str | None,
    prefix: str,
    client: Callable[[], Client],
    limits: Limits | None,
    max_enqueued_tokens: int | None,
    **options: Any,
) -> Answered:
    """Ask about each row of a dataset of this schema, and wait. See the modules of the engines.

    Raises ConfigurationError, before anything runs, for columns that are missing or in the way.
    """
    template = template_of(template)
    template.check(schema.names)
    if key not in schema.names:
        raise ConfigurationError(f"there is no column {key!r} to be the key, only {', '.join(schema.names)}")
    check_key(schema, key)
    keys_of_texts([], schema.field(key).type)
    AnswerColumns(template, schema, prefix)
    _check_no_token(client)
    watching = {name: options.pop(name) for name in _DRIVING if name in options}
    with client() as owner:
        home = owner.jobs.folder(id).parents[1]
        plan = Plan(
            client=client,
            job=id,
            home=home_id(home),
            staging=staging_of(staging, id, home),
            template=template,
            key=schema.field(key).remove_metadata(),
            prefix=prefix,
            limits=limits,
            max_enqueued_tokens=max_enqueued_tokens,
        )
        plan.staging.mark(plan.marker)
        if max_enqueued_tokens is not None:
            options["max_enqueued_tokens"] = max_enqueued_tokens
        rows = uploaded_rows(_lazily(partial(engine.upload, plan)))
        owner.jobs.submit_uploaded(rows, id=id, digest=_digest(template, key), **options)

        def work(tasks: Sequence[ShardTask]) -> Iterable[ShardOutcome]:
            return map(read_outcome, engine.run(plan, list(map(row_text, tasks))))

        names = owner.jobs.drive(id, work, **watching)
    return Answered([plan.staging.path(name) for name in names], plan.columns.schema)


def _lazily(upload: Callable[[], Iterable[str]]) -> Iterable[str]:
    """Nothing is uploaded for a job that has its shards already."""
    yield from upload()


def _check_no_token(client: Callable[[], Client]) -> None:
    """Tasks are shown in logs and pages of engines."""
    if not callable(client):
        raise ConfigurationError(
            "client= is a function that makes a Client on each worker, such as Client itself"
        )
    if isinstance(client, partial):
        given = [*client.args[:1], client.keywords.get("token")]
        if any(isinstance(each, str) for each in given):
            raise ConfigurationError(
                "the token would be in every task: leave it to the environment of the workers, or give a function "
                "that gets it"
            )


def _digest(template: Template[Any], key: str) -> str:
    told = (_ADDRESS.sub("", repr(template)), template.schema, key)
    return hashlib.sha256(msgspec.json.encode(told, order="sorted")).hexdigest()


def empty(schema: Schema) -> Any:
    """A table of these columns without a row."""
    return pa.Table.from_batches([], schema=schema)
