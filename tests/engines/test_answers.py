"""What answers and keys may be, and the types in which every engine reads them."""

import dataclasses
import datetime as dt
import functools
import json
import pickle
from collections import Counter

import attrs
import pyarrow as pa
import pytest
from support.local_engine import CHAT, TABLE, LocalEngine, go

from overlay import Chat, ConfigurationError, JobMismatchError

FEW = TABLE.slice(0, 3)


@attrs.frozen
class Opening:
    opens: dt.time
    days: tuple[str, ...]


def test_tuples_and_times_are_what_every_engine_reads(make, monkeypatch, asked):
    told = json.dumps({"opens": "10:11:12Z", "days": ["Mon", "Tue"]})
    monkeypatch.setattr(type(asked), "__call__", lambda *_: {"choices": [{"message": {"content": told}}]})
    table = go(make, LocalEngine(FEW, rows=2), Chat("m", "{text}", answer=Opening))
    assert table.schema.field("opens").type == pa.string()
    assert table["opens"].to_pylist() == ["10:11:12.000000"] * 3
    assert table["days"].to_pylist() == [["Mon", "Tue"]] * 3


@pytest.mark.parametrize(
    "again", [{"prefix": "new_"}, {"schema": TABLE.schema.set(0, pa.field("id", pa.string()))}]
)
def test_answers_that_are_kept_in_other_columns_are_another_job(make, again):
    go(make, LocalEngine(FEW, rows=2))
    with pytest.raises(JobMismatchError, match="prefix"):
        go(make, LocalEngine(FEW, rows=2), **again)


def test_columns_that_differ_in_their_case_are_in_the_way_where_the_engine_takes_them_for_the_same(
    make, service
):
    schema = FEW.schema.append(pa.field("Friendly", pa.string()))
    with pytest.raises(ConfigurationError, match=r"friendly.*prefix="):
        go(make, LocalEngine(FEW, rows=2), schema=schema, ignore_case=True)
    assert service.requests == []
    assert go(make, LocalEngine(FEW, rows=2), schema=schema).num_rows == 3


def test_one_place_belongs_to_one_ledger(make, tmp_path, asked):
    """A driver with another home folder knows nothing of what was paid."""
    go(make, LocalEngine(FEW, rows=2), staging=tmp_path / "shared")
    elsewhere = functools.partial(make, home=tmp_path / "other")
    with pytest.raises(ConfigurationError, match="OVERLAY_HOME") as caught:
        go(elsewhere, LocalEngine(FEW, rows=2), staging=tmp_path / "shared")
    marker = tmp_path / "shared" / "reviews" / "marker"
    assert str(marker) in str(caught.value)
    assert set(asked.asked.values()) == {1}
    marker.unlink()
    go(elsewhere, LocalEngine(FEW, rows=2), staging=tmp_path / "shared")
    assert Counter(asked.asked.values()) == {2: 3}


@pytest.mark.parametrize("staging", ["", " ", "s3://bucket/staging?region=eu-west-1"])
def test_what_is_no_place(make, staging):
    with pytest.raises(ConfigurationError, match="names no folder"):
        go(make, LocalEngine(FEW, rows=2), CHAT, staging=staging)


def test_a_field_without_a_default_has_none_where_its_class_arrives():
    """A dataclass of a script travels by value, and with it what says so."""
    assert pickle.loads(pickle.dumps(dataclasses.MISSING)) is dataclasses.MISSING
