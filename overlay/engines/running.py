"""The driver's part, the same for every engine: one job of uploaded shards, driven until it has ended."""

from __future__ import annotations

import hashlib
import pickle
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

import attrs
import msgspec

from overlay.client import Client
from overlay.engines.answer_types import check_travels
from overlay.engines.options import MapOptions
from overlay.engines.partition import Plan, uploaded_rows
from overlay.engines.staging import staging_of
from overlay.errors import ConfigurationError, StorageError
from overlay.hidden import without_secrets
from overlay.jobs.uploaded import ShardOutcome, ShardTask, leaving, read_outcome, row_text
from overlay.requests.rows import template_of
from overlay.tables.arrow import Schema
from overlay.tables.columns import AnswerColumns
from overlay.tables.keys import check_key, keys_of_texts

_DRIVING = ("timeout", "on_change", "progress")
_NOT_SUBMITTED = frozenset({"client", "staging", "prefix", "limits", *_DRIVING})
_PICKLERS = ("ray.cloudpickle", "pyspark.cloudpickle", "cloudpickle")
"""What engines pickle functions with; whichever is loaded."""
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

    def table(self) -> Any:
        """These columns, without a row."""
        return self.schema.empty_table()


def run(
    engine: Engine,
    schema: Schema,
    template: Any,
    *,
    key: str,
    id: str,  # noqa: A002 - as `submit` has it
    options: MapOptions,
    ignore_case: bool = False,
) -> Answered:
    """Ask about each row of a dataset of this schema, and wait. See the modules of the engines.

    With `ignore_case`, the engine takes columns whose names differ in their case for the same.

    Raises ConfigurationError, before anything runs, for columns that are missing or in the way.
    """
    template = template_of(template)
    template.check(schema.names)
    if key not in schema.names:
        raise ConfigurationError(f"there is no column {key!r} to be the key, only {', '.join(schema.names)}")
    check_key(schema, key)
    keys_of_texts([], schema.field(key).type)
    check_travels(template.answer)
    given = _checked(options)
    columns = AnswerColumns(template, schema, given.get("prefix", "")).schema.names
    if ignore_case:
        _check_case(schema.names, columns[len(schema.names) :])
    client = given.get("client", Client)
    _check_client(client)
    with client() as owner:
        _check_no_token(client)
        plan = Plan(
            client=client,
            job=id,
            home=owner.jobs.home_id(),
            staging=staging_of(given.get("staging"), id, owner.jobs.home),
            template=template,
            key=schema.field(key).remove_metadata(),
            prefix=given.get("prefix", ""),
            limits=given.get("limits"),
            max_enqueued_tokens=given.get("max_enqueued_tokens"),
        )
        plan.staging.mark(plan.marker)
        rows = uploaded_rows(_lazily(partial(engine.upload, plan)))
        submitting = {name: value for name, value in given.items() if name not in _NOT_SUBMITTED}
        owner.jobs.submit_uploaded(rows, id=id, digest=_digest(plan), **submitting)

        def work(tasks: Sequence[ShardTask]) -> Iterable[ShardOutcome]:
            with leaving(engine.run(plan, list(map(row_text, tasks)))) as lines:
                yield from map(read_outcome, lines)

        names = owner.jobs.drive(id, work, **{name: given[name] for name in _DRIVING if name in given})
        _check_there(plan, names)
    return Answered([plan.staging.path(name) for name in names], plan.schema)


def _check_there(plan: Plan, names: Sequence[str]) -> None:
    """An engine reads them when the caller comes to it, and says less."""
    gone = plan.staging.lacks(names)
    if gone:
        raise StorageError(
            f"{len(gone):,} of the {len(names):,} files of answers are gone from {plan.staging.address}, the first "
            f"is {gone[0]}: bring them back; or use another id, or delete job {plan.job}, to ask and pay for "
            "everything again"
        )


def _checked(options: MapOptions) -> dict[str, Any]:
    unknown = sorted(options.keys() - MapOptions.__annotations__.keys())
    if unknown:
        raise TypeError(f"map() got an unexpected keyword argument {unknown[0]!r}")
    return {**options}


def _check_case(names: Sequence[str], added: Sequence[str]) -> None:
    known = {name.lower() for name in names}
    taken = [name for name in added if name.lower() in known]
    if taken:
        raise ConfigurationError(
            f"the table has columns that differ from those of the answers in their case only: {', '.join(taken)}; "
            "give those another name with prefix=, such as prefix='answer_'"
        )


def _lazily(upload: Callable[[], Iterable[str]]) -> Iterable[str]:
    """Nothing is uploaded for a job that has its shards already."""
    yield from upload()


def _check_client(client: object) -> None:
    if not callable(client):
        raise ConfigurationError(
            "client= is a function that makes a Client on each worker, such as Client itself"
        )


def _check_no_token(client: Callable[[], Client]) -> None:
    """Raise ConfigurationError if a token travels with the function: tasks are in logs and pages of engines.

    A client was made by it before, so that its token is known.
    """
    travelling = _pickled(client).decode("latin-1")
    if without_secrets(travelling) != travelling:
        raise ConfigurationError(
            "the token would be in every task: leave it to the environment of the workers, or give a function that "
            "gets it"
        )


def _pickled(client: Callable[[], Client]) -> bytes:
    """A function as an engine sends it, by value if need be; nothing, if it cannot be sent."""
    engines = [module for name in _PICKLERS if (module := sys.modules.get(name)) is not None]
    for module in (*engines, pickle):
        with suppress(pickle.PicklingError, AttributeError, TypeError):
            return bytes(module.dumps(client))
    return b""


def _digest(plan: Plan) -> str:
    """Of what is asked, and of the columns in which answers are kept."""
    template = plan.template
    columns = [(field.name, str(field.type)) for field in plan.schema]
    told = (_ADDRESS.sub("", repr(template)), template.schema, plan.key.name, columns)
    return hashlib.sha256(msgspec.json.encode(told, order="sorted")).hexdigest()
