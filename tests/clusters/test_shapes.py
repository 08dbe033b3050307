"""What keys and answers may be, through each engine's own types and its own join."""

import datetime as dt
import decimal
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from overlay.server import Service

HERE = Path(__file__).parent
DAYS = [dt.date(2024, 1, 1), dt.date(2024, 1, 2)]
MOMENTS = [dt.datetime(2024, 1, 1, 5, tzinfo=dt.UTC), dt.datetime(2024, 10, 27, 0, 30, 0, 9, tzinfo=dt.UTC)]
KEYS = {
    "text": pa.array(["é", "a b", "z"]),
    "words": pa.array(["a", "b"]).dictionary_encode(),
    "days": pa.array(DAYS),
    "moments": pa.array(MOMENTS, pa.timestamp("us", "UTC")),
    "prices": pa.array([decimal.Decimal("1.10"), decimal.Decimal("-2.00")]),
    "large": pa.array([1, 2**63 + 5], pa.uint64()),
}
UNTOLD = {("dask", "words")}
"""Dask does not know what a dictionary holds before it reads it."""


def answer(line):
    told = {"tags": ["a", "b"], "inner": {"when": "2024-01-02", "clock": "10:11:12Z"}, "word": "p"}
    if line["body"]["messages"][-1]["content"] == "z":
        del told["inner"]
    return {"choices": [{"message": {"content": json.dumps(told)}}]}


@pytest.mark.parametrize("engine", ["ray", "dask", "spark"])
def test_keys_and_answers_of_many_types(engine, tmp_path):
    # Signs that are patterns to one reader or another.
    place = tmp_path / "an [odd] {place} é#%41"
    place.mkdir()
    for name, keys in KEYS.items():
        rows = pa.table(
            {
                "id": keys,
                "text": ["x", "y", "z"][: len(keys)],
                "at": pa.array(MOMENTS * 2, pa.timestamp("us", "UTC"))[: len(keys)],
            }
        )
        pq.write_table(rows, tmp_path / f"{name}.parquet")
    names = [name for name in KEYS if (engine, name) not in UNTOLD]
    with Service(answer) as service:
        environment = os.environ | {
            "OPENAI_API_KEY": "sk-x",
            "OPENAI_BASE_URL": service.base_url,
            "OVERLAY_HOME": str(tmp_path / "home"),
            "OVERLAY_PROGRESS": "0",
            "PYSPARK_PYTHON": sys.executable,
            "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        }
        done = subprocess.run(
            [sys.executable, HERE / "shapes.py", engine, tmp_path, place, *names],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr[-3000:]
    for name in names:
        found = json.loads((tmp_path / f"{name}.json").read_text())
        assert [row["text"] for row in found] == ["x", "y", "z"][: len(KEYS[name])], (engine, name)
        # A field that has no default is one that an answer must have.
        assert [row["error_code"] for row in found[2:]] == ["unexpected_text"] * len(found[2:])
        for row in found[:2]:
            assert row["tags"] == ["a", "b"]
            assert row["inner"] == {"when": "2024-01-02", "clock": "10:11:12.000000"}
            assert (row["word"], row["error_code"]) == ("p", None)
