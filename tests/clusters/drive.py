"""The driver: maps a table with an engine, writes what comes out, and says what it took of this process.

python drive.py ENGINE CONFIG.json
"""

import json
import os
import re
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import httpx

from overlay import Chat, Client, Limits


@dataclass
class Review:
    friendly: bool
    topic: Literal["price", "quality"]


class Counting(httpx.HTTPTransport):
    """Counts the bytes of bodies."""

    total = 0

    def handle_request(self, request):
        Counting.total += int(request.headers.get("content-length", 0))
        response = super().handle_request(request)
        Counting.total += len(response.read())
        return response


def make(base_url, home, driver, token_file):
    """A client; the driver's counts what it sends and gets. Its token is in the environment, or in a file."""
    token = None if token_file is None else Path(token_file).read_text
    transport = Counting() if os.getpid() == driver else None
    return Client(token=token, base_url=base_url, home=home, transport=transport)


def ray(table, ask, out):
    import ray

    import overlay.engines.ray as batches

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=400_000_000)
    rows = ray.data.read_parquet(table)
    ask(batches.map, rows, rows_per_task=int(os.environ["ROWS_PER_SHARD"])).write_parquet(out)


def dask(table, ask, out):
    import dask.dataframe as dd
    from distributed import Client as Cluster, LocalCluster

    import overlay.engines.dask as batches

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as local,
        Cluster(local),
    ):
        ask(batches.map, dd.read_parquet(table)).to_parquet(out)


def spark(table, ask, out):
    from pyspark.sql import SparkSession

    import overlay.engines.spark as batches

    session = SparkSession.builder.master(os.environ.get("SPARK_MASTER_URL", "local[2,4]"))
    settings = {"spark.ui.enabled": "false", "spark.sql.shuffle.partitions": "4"}
    settings |= json.loads(os.environ.get("SPARK_SETTINGS", "{}"))
    for name, value in settings.items():
        session = session.config(name, value)
    session = session.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    ask(batches.map, session.read.parquet(table)).write.mode("overwrite").parquet(out)


def main() -> None:
    engine, config = sys.argv[1], json.loads(Path(sys.argv[2]).read_text())

    def ask(map_, rows, **options):
        return map_(
            rows,
            Chat("m", os.environ.get("PROMPT", "Friendly? {text}"), answer=Review),
            key="review_id",
            id="reviews",
            staging=config["staging"],
            client=partial(make, config["base_url"], config["home"], os.getpid(), config["token_file"]),
            limits=Limits(requests=int(os.environ["ROWS_PER_SHARD"])),
            poll=0.2,
            grace=1.0,
            **options,
        )

    globals()[engine](config["table"], ask, config["out"])
    # Not getrusage(2): what it tells begins with the process that this one was forked from.
    status = Path("/proc/self/status").read_text()
    peak = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])
    print(json.dumps({"driver_peak_kib": peak, "driver_traffic_bytes": Counting.total}))


if __name__ == "__main__":
    main()
