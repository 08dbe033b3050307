"""Spark: a DataFrame in, a DataFrame out.

import overlay.engines.spark as batches

reviews = spark.read.parquet("s3a://bucket/reviews")
answers = batches.map(reviews, Chat("gpt-4o-mini", "… {text}", answer=Review), key="review_id", id="reviews")
answers.write.parquet("s3a://bucket/answers")
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Unpack

from overlay.engines.options import MapOptions
from overlay.engines.partition import Plan, do_task, upload_partition
from overlay.engines.running import run
from overlay.tables.arrow import pa
from overlay.tables.needed import needed
from overlay.tables.places import is_address

_ROW = "shard"
_TASK, _OUTCOME = "task", "outcome"
_NESTED = frozenset({"array", "map", "struct"})
_PATTERN = re.compile(r"[\\*?\[\]{}]")


def map(  # noqa: A001 - what other engines call it, too
    frame: Any,
    template: Any,
    *,
    key: str,
    id: str,  # noqa: A002 - as `submit` has it
    join: bool = True,
    **options: Unpack[MapOptions],
) -> Any:
    """Ask about each row of a Spark DataFrame, wait, and give one with the answers beside its columns.

    - `template` is as for `client.jobs.map`, and so are the columns that are added.
    - `key` is the column that tells rows apart: no value may occur twice.
    - `id` names the job. The same call after a crash goes on where the last one stopped, and after its end gives
      the same answers, from `staging`.
    - Each partition becomes a batch or more: `frame.coalesce(n)` makes few of many.
    - With `join=False`, the DataFrame has the key and the answers only.
    - `options` are those of `overlay.engines.options.MapOptions`.

    Raises InvalidInputError with the rows that cannot be asked about; ConfigurationError, before anything runs;
    JobMismatchError, JobLockedError; WorkerError; and what waiting for a job raises.
    """
    types = needed("pyspark.sql.pandas.types", "overlay.engines.spark")
    session = frame.sparkSession
    exact = session.conf.get("spark.sql.caseSensitive") == "true"
    schema = _schema(types, frame, key)
    answered = run(_Spark(frame), schema, template, key=key, id=id, options=options, ignore_case=not exact)
    known = types.from_arrow_schema(answered.schema)
    known[key].dataType = frame.schema[key].dataType
    if answered.paths:
        answers = _read(session.read.schema(known), answered.paths)
    else:
        answers = session.createDataFrame([], known)
    return frame.join(answers, on=key, how="inner") if join else answers


def _schema(types: Any, frame: Any, key: str) -> Any:
    """The columns, and what the key is; of the others nothing is asked: Spark has types that Arrow has not."""
    columns = [(field.name, field.dataType if field.name == key else None) for field in frame.schema]
    return pa.schema([(name, pa.null() if kind is None else _arrow(types, kind)) for name, kind in columns])


def _arrow(types: Any, kind: Any) -> Any:
    name = kind.typeName()
    if name in _NESTED:
        return pa.struct([])
    # Its zone is the session's, and the moment is the same.
    return pa.timestamp("us", "UTC") if name == "timestamp" else types.to_arrow_type(kind)


def _read(reader: Any, paths: Sequence[str]) -> Any:
    """Files as Hadoop names them, to which more signs are patterns."""
    paths = [_PATTERN.sub(r"\\\g<0>", path) for path in paths]
    paths = [path if is_address(path) else f"file://{path}" for path in paths]
    try:
        return reader.parquet(*paths)
    except Exception as error:
        if not re.search('No FileSystem for scheme:? "?s3"?', str(error)):
            raise
    # Outside of Amazon's own clusters, Hadoop has S3 under this name alone.
    return reader.parquet(*(path.replace("s3://", "s3a://", 1) for path in paths))


class _Spark:
    """See `overlay.engines.running.Engine`."""

    def __init__(self, frame: Any) -> None:
        self._frame = frame

    def upload(self, plan: Plan) -> Iterator[str]:
        uploaded = self._frame.mapInArrow(partial(_upload, plan), f"{_ROW} string")
        for row in uploaded.collect():
            yield row[_ROW]

    def run(self, plan: Plan, tasks: Sequence[str]) -> Iterable[str]:
        given = self._frame.sparkSession.createDataFrame([(task,) for task in tasks], f"{_TASK} string")
        done = given.repartition(len(tasks)).mapInArrow(partial(_do, plan), f"{_OUTCOME} string")
        return [row[_OUTCOME] for row in done.collect()]


def _upload(plan: Plan, batches: Iterator[Any]) -> Iterator[Any]:
    yield _lines(_ROW, upload_partition(plan, batches))


def _do(plan: Plan, batches: Iterator[Any]) -> Iterator[Any]:
    for batch in batches:
        for task in batch.column(0).to_pylist():
            yield _lines(_OUTCOME, [do_task(plan, task)])


def _lines(name: str, lines: Iterable[str]) -> Any:
    return pa.RecordBatch.from_pydict({name: pa.array(list(lines), pa.string())})
