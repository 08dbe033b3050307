"""Ray Data: a Dataset in, a Dataset out.

import ray, overlay.engines.ray as batches

reviews = ray.data.read_parquet("s3://bucket/reviews")
answers = batches.map(reviews, Chat("gpt-4o-mini", "… {text}", answer=Review), key="review_id", id="reviews")
answers.write_parquet("s3://bucket/answers")
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Unpack

from overlay.engines.options import MapOptions
from overlay.engines.partition import Plan, do_task, upload_partition
from overlay.engines.running import run
from overlay.tables.arrow import pa
from overlay.tables.needed import needed

_TRIES = 5
_ROW = "shard"


def map(  # noqa: A001 - what other engines call it, too
    dataset: Any,
    template: Any,
    *,
    key: str,
    id: str,  # noqa: A002 - as `submit` has it
    rows_per_task: int = 50_000,
    join: bool = True,
    **options: Unpack[MapOptions],
) -> Any:
    """Ask about each row of a Ray Dataset, wait, and give a Dataset with the answers beside its columns.

    - `template` is as for `client.jobs.map`, and so are the columns that are added.
    - `key` is the column that tells rows apart: no value may occur twice.
    - `id` names the job. The same call after a crash goes on where the last one stopped, and after its end gives
      the same answers, from `staging`.
    - `rows_per_task` rows are uploaded by one task, as one batch or more.
    - With `join=False`, the Dataset has the key and the answers only.
    - `options` are those of `overlay.engines.options.MapOptions`.

    Raises InvalidInputError with the rows that cannot be asked about; ConfigurationError, before anything runs;
    JobMismatchError, JobLockedError; WorkerError; and what waiting for a job raises.
    """
    ray = needed("ray", "overlay.engines.ray")
    data = needed("ray.data", "overlay.engines.ray")
    schema = _schema(dataset)
    answered = run(_Ray(ray, dataset, rows_per_task), schema, template, key=key, id=id, options=options)
    answers = data.read_parquet(answered.paths) if answered.paths else data.from_arrow(answered.table())
    if not join:
        return answers
    if pa.types.is_dictionary(schema.field(key).type):
        # Ray does not join it with texts.
        dataset = dataset.map_batches(_decoded, fn_args=(key,), batch_format="pyarrow")
    return dataset.join(answers, "inner", num_partitions=max(1, len(answered.paths)), on=(key,))


def _decoded(table: Any, key: str) -> Any:
    place = table.schema.get_field_index(key)
    column = table.column(key)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return table.set_column(place, key, column)


def _schema(dataset: Any) -> Any:
    for batch in dataset.limit(1).iter_batches(batch_size=1, batch_format="pyarrow"):
        return batch.schema
    return pa.schema([])


class _Ray:
    """See `overlay.engines.running.Engine`."""

    def __init__(self, ray: Any, dataset: Any, rows: int) -> None:
        self._ray = ray
        self._dataset = dataset
        self._rows = rows

    def upload(self, plan: Plan) -> Iterator[str]:
        uploaded = self._dataset.map_batches(
            _upload,
            fn_args=(plan,),
            batch_size=self._rows,
            batch_format="pyarrow",
        )
        for row in uploaded.iter_rows():
            yield row[_ROW]

    def run(self, plan: Plan, tasks: Sequence[str]) -> Iterable[str]:
        remote = self._ray.remote(max_retries=_TRIES)(do_task)
        shared = self._ray.put(plan)
        running = [remote.remote(shared, task) for task in tasks]
        while running:
            done, running = self._ray.wait(running)
            yield from self._ray.get(done)


def _upload(table: Any, plan: Plan) -> Any:
    return pa.table({_ROW: pa.array(list(upload_partition(plan, table.to_batches())), pa.string())})
