"""Dask: a dask.dataframe in, a dask.dataframe out.

import dask.dataframe as dd, overlay.engines.dask as batches

reviews = dd.read_parquet("s3://bucket/reviews")
answers = batches.map(reviews, Chat("gpt-4o-mini", "… {text}", answer=Review), key="review_id", id="reviews")
answers.to_parquet("s3://bucket/answers")
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Unpack

from overlay.engines.options import MapOptions
from overlay.engines.partition import Plan, do_task, upload_partition
from overlay.engines.running import run
from overlay.engines.staging import read_file
from overlay.errors import ConfigurationError
from overlay.tables.arrow import pa
from overlay.tables.needed import needed

_TRIES = 5
_ROW = "shard"
_ROWS = 8192
"""Rows of a partition that are Arrow at a time."""


def map(  # noqa: A001 - what other engines call it, too
    frame: Any,
    template: Any,
    *,
    key: str,
    id: str,  # noqa: A002 - as `submit` has it
    join: bool = True,
    **options: Unpack[MapOptions],
) -> Any:
    """Ask about each row of a Dask DataFrame, wait, and give one with the answers beside its columns.

    - `template` is as for `client.jobs.map`, and so are the columns that are added.
    - `key` is the column that tells rows apart: no value may occur twice.
    - `id` names the job. The same call after a crash goes on where the last one stopped, and after its end gives
      the same answers, from `staging`.
    - Each partition becomes a batch or more: `frame.repartition(partition_size="100MB")` makes few of many.
    - With `join=False`, the DataFrame has the key and the answers only.
    - `options` are those of `overlay.engines.options.MapOptions`.

    Raises InvalidInputError with the rows that cannot be asked about; ConfigurationError, before anything runs;
    JobMismatchError, JobLockedError; WorkerError; and what waiting for a job raises.
    """
    dask = needed("dask", "overlay.engines.dask")
    frames = needed("dask.dataframe", "overlay.engines.dask")
    schema = pa.Schema.from_pandas(frame._meta, preserve_index=False)  # noqa: SLF001 - Dask documents it
    _check_key(frame, schema, key)
    answered = run(_Dask(dask, frame), schema, template, key=key, id=id, options=options)
    empty = _pandas(answered.table())
    # Not by Dask's own reader, to which more signs of a path are patterns, and which needs s3fs for S3.
    with dask.config.set({"dataframe.convert-string": False}):  # or lists would become their texts
        paths: list[str | None] = [*answered.paths] or [None]
        answers = frames.from_map(_read, paths, empty=empty, meta=empty, label="answers")
    answers = answers.astype({key: frame.dtypes[key]})
    if join:
        answers = frame.merge(answers, on=key, how="inner")
    # Once it is shuffled: Dask cannot shuffle lists and structs as pandas has them.
    return answers.astype({field.name: _dtype(field.type) for field in answered.schema if field.name != key})


def _check_key(frame: Any, schema: Any, key: str) -> None:
    if key not in schema.names and key == frame.index.name:
        raise ConfigurationError(f"{key!r} is the index, not a column: give frame.reset_index()")
    if key in schema.names and "null" in str(schema.field(key).type):
        raise ConfigurationError(
            f"column {key!r} is of the dtype {frame.dtypes[key]}, which does not tell what the keys are: give it "
            f"one that does, such as frame.astype({{{key!r}: 'string'}})"
        )


def _read(path: str | None, empty: Any) -> Any:
    return empty if path is None else _pandas(read_file(path))


def _pandas(table: Any) -> Any:
    return table.to_pandas(types_mapper=_unless_nested)


def _unless_nested(kind: Any) -> Any:
    return None if pa.types.is_nested(kind) else _dtype(kind)


def _dtype(kind: Any) -> Any:
    return needed("pandas", "overlay.engines.dask").ArrowDtype(kind)


class _Dask:
    """See `overlay.engines.running.Engine`."""

    def __init__(self, dask: Any, frame: Any) -> None:
        self._dask = dask
        self._frame = frame
        self._retries: dict[str, int] = {}
        try:
            needed("distributed", "a cluster").get_client()
        except Exception:  # noqa: BLE001 - without a cluster, whatever it raises, Dask runs in this process
            return
        self._retries = {"retries": _TRIES}

    def upload(self, plan: Plan) -> Iterator[str]:
        parts = [self._dask.delayed(_upload, pure=False)(part, plan) for part in self._frame.to_delayed()]
        for lines in self._dask.compute(*parts, **self._retries):
            yield from lines

    def run(self, plan: Plan, tasks: Sequence[str]) -> Iterable[str]:
        work = self._dask.delayed(do_task, pure=False)
        done: tuple[str, ...] = self._dask.compute(*[work(plan, task) for task in tasks], **self._retries)
        return done


def _upload(frame: Any, plan: Plan) -> list[str]:
    table = pa.Table.from_pandas(frame, preserve_index=False)
    return list(upload_partition(plan, table.to_batches(max_chunksize=_ROWS)))
