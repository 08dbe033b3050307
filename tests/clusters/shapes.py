"""Maps tables whose keys are of many types, and writes down what comes out.

python shapes.py ENGINE FOLDER STAGING NAME...
"""

import datetime as dt
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from overlay import Chat


@dataclass
class Inner:
    when: dt.date
    clock: dt.time


@dataclass
class Told:
    tags: list[str]
    inner: Inner
    word: Literal["p", "q"]


def ray(ask):
    import ray

    import overlay.engines.ray as batches

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=400_000_000)
    ask(batches.map, ray.data.read_parquet, lambda answers: answers.take_all())


def dask(ask):
    import dask.dataframe as dd
    from distributed import Client as Cluster, LocalCluster

    import overlay.engines.dask as batches

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as local,
        Cluster(local),
    ):
        ask(batches.map, dd.read_parquet, lambda answers: answers.compute().to_dict("records"))


def spark(ask):
    from pyspark.sql import SparkSession

    import overlay.engines.spark as batches

    session = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
    ask(batches.map, session.read.parquet, lambda answers: [row.asDict(True) for row in answers.collect()])


def main() -> None:
    engine, folder, staging, *names = sys.argv[1:]

    def ask(map_, read, rows_of):
        for name in names:
            answers = map_(
                read(f"{folder}/{name}.parquet"),
                Chat("m", "{text}", answer=Told),
                key="id",
                id=name,
                staging=staging,
                poll=0.1,
                grace=1.0,
            )
            rows = sorted(rows_of(answers), key=lambda row: row["text"])
            (Path(folder) / f"{name}.json").write_text(json.dumps(rows, default=_shown))

    globals()[engine](ask)


def _shown(value):
    return value.tolist() if hasattr(value, "tolist") else str(value)


if __name__ == "__main__":
    main()
