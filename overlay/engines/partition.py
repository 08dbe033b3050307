"""What a worker does with a partition, or with a shard: pure functions of (rows, service), whatever the engine.

Each may run any number of times, on any machine. What they give is text, a row for each shard.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import attrs
import msgspec

from overlay.client import Client
from overlay.engines.answer_types import forget
from overlay.engines.rows import PROBLEMS_KEPT, Rows
from overlay.engines.staging import Staging
from overlay.errors import InvalidInputError, OverlayError, Problem, WorkerError
from overlay.jobs.shard_work import failed_task
from overlay.jobs.uploaded import ShardOutcome, UploadedShard, read_task, row_text
from overlay.requests.rows import Template
from overlay.results.result import Result
from overlay.services import Limits
from overlay.tables.arrow import Batch, Schema, pa
from overlay.tables.columns import AnswerColumns


@attrs.frozen(kw_only=True)
class Plan:
    """What workers need to know. It pickles, and holds no token."""

    client: Callable[[], Client]
    """Makes the worker's client, with the token of the worker's environment."""
    job: str
    home: str
    """The id of the driver's home folder."""
    staging: Staging
    template: Template[Any]
    key: Any
    """The column that tells rows apart, a pyarrow.Field."""
    prefix: str = ""
    limits: Limits | None = None
    max_enqueued_tokens: int | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        forget(self.template.answer)
        return _plan, (attrs.asdict(self, recurse=False),)

    @property
    def marker(self) -> str:
        """By which a worker knows that it sees the driver's place."""
        return f"{self.home} {self.job}\n"

    @property
    def columns(self) -> AnswerColumns:
        """A table of keys and answers."""
        return AnswerColumns(self.template, pa.schema([self.key]), self.prefix)

    @property
    def schema(self) -> Schema:
        """The columns of that table, in types that all engines read."""
        return pa.schema([field.with_type(_plain(field.type)) for field in self.columns.schema])

    def keep(self, sha256: str, path: Path) -> None:
        """See `overlay.jobs.uploaded.Place`, which this is."""
        self.staging.keep(sha256, path)

    def fetch(self, sha256: str, path: Path) -> None:
        self.staging.fetch(sha256, path)

    def write(self, results: Iterator[Result]) -> str | None:
        schema = self.schema
        plain = (_cast(batch, schema) for batch in self.columns.keyed(results))
        return self.staging.write(schema, plain)


def _plan(fields: dict[str, Any]) -> Plan:
    return Plan(**fields)


def _plain(kind: Any) -> Any:
    """Without dictionaries and times of the day, which not every engine reads, and with lists of any length."""
    types = pa.types
    if types.is_dictionary(kind):
        return _plain(kind.value_type)
    if types.is_time(kind):
        return pa.string()
    if types.is_list(kind) or types.is_fixed_size_list(kind):
        return pa.list_(_plain(kind.value_type))
    if types.is_struct(kind):
        return pa.struct([field.with_type(_plain(field.type)) for field in kind])
    return kind


def _cast(batch: Batch, schema: Schema) -> Batch:
    columns = [column.cast(field.type) for column, field in zip(batch.columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


class _Sent(msgspec.Struct, tag="sent"):
    shard: UploadedShard


class _Invalid(msgspec.Struct, tag="invalid"):
    problems: list[str]
    count: int


class _Failed(msgspec.Struct, tag="failed"):
    message: str


_read = msgspec.json.Decoder(_Sent | _Invalid | _Failed).decode


def upload_partition(plan: Plan, batches: Iterable[Batch]) -> Iterator[str]:
    """Upload the requests of a partition's rows, and give a line of text for each shard, or for what is wrong."""
    rows = Rows(plan.template, plan.key, batches)
    requests = rows.requests()
    try:
        plan.staging.check(plan.marker)
        first = next(requests, None)
        if first is None:
            return
        with plan.client() as client:
            shards = client.jobs.upload_shards(
                chain([first], requests),
                id=plan.job,
                home=plan.home,
                place=plan,
                limits=plan.limits,
                max_enqueued_tokens=plan.max_enqueued_tokens,
            )
    except InvalidInputError as error:
        yield _text(_Invalid([rows.told(each) for each in error.problems], error.count))
    except OverlayError as error:
        yield _text(_Failed(f"{type(error).__name__}: {error}"))
    else:
        yield from (_text(_Sent(shard)) for shard in shards)


def _text(row: msgspec.Struct) -> str:
    return msgspec.json.encode(row).decode()


def uploaded_rows(lines: Iterable[str]) -> Iterator[UploadedShard]:
    """The shards that partitions were uploaded as.

    At the end, raises InvalidInputError with the rows of all partitions that cannot be asked about, and at once
    WorkerError for what else stopped a worker.
    """
    problems: list[Problem] = []
    count = 0
    for line in lines:
        row = _read(line)
        if isinstance(row, _Sent):
            yield row.shard
        elif isinstance(row, _Failed):
            raise WorkerError(row.message)
        else:
            count += row.count
            problems += [
                Problem(None, reason, unit="row") for reason in row.problems[: PROBLEMS_KEPT - len(problems)]
            ]
    if count:
        raise InvalidInputError(None, problems, count=count, place="the dataset")


def do_task(plan: Plan, line: str) -> str:
    """Do a task for the ledger's owner, both as text. What stops it is in the answer."""
    task = read_task(line)
    try:
        plan.staging.check(plan.marker)
        with plan.client() as client:
            outcome: ShardOutcome = client.jobs.do_task(task, id=plan.job, home=plan.home, place=plan)
    except OverlayError as error:
        outcome = failed_task(task, error)
    return row_text(outcome)
