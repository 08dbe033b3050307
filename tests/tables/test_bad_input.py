"""Tables that cannot be asked about: one sentence, nothing sent, nothing lost. And odd ones, that can."""

import datetime as dt
import gzip
import sys

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from support.calling import TOKEN, FakeClock, calling

from overlay import Chat, ConfigurationError, Embed, InvalidInputError, OverlayError, StorageError
from overlay.server import Service

CHAT = Chat("m", "{text}")


@pytest.fixture(scope="module")
def service():
    with Service() as service:
        yield service


@pytest.fixture
def client(service, tmp_path):
    with calling("blocking", base_url=service.base_url, token=TOKEN, home=tmp_path / "home") as api:
        api.settings.clock = FakeClock()
        yield api


def file(tmp_path, name, data):
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def refused(client, service, table, template=CHAT, **options):
    """What the one sentence says."""
    before = len(service.requests)
    with pytest.raises(OverlayError) as caught:
        client.jobs.map(table, template, **options)
    assert len(service.requests) == before
    assert "\n" not in str(caught.value)
    assert client.jobs.list() == []
    assert not [*client.settings.home.glob("spool/*")]
    return caught.value


def of_keys(keys):
    return pl.DataFrame({"k": keys, "text": ["a"] * len(keys)})


@pytest.mark.parametrize(
    ("keys", "told", "count"),
    [
        (["x", None, "z"], "the table, row 2: the key k is missing", 1),
        (["x", "y", "", " "], "the table, row 3: the key k is empty (and 1 more)", 2),
        (["x", "y", "x", "y"], "the table, row 3: the key k is the same as in row 1; keys must differ", 2),
        ([1.5, float("nan")], "the table, row 2: the key k is missing (NaN)", 1),
    ],
)
def test_keys(client, service, keys, told, count):
    error = refused(client, service, of_keys(keys), key="k")
    assert isinstance(error, InvalidInputError)
    assert str(error).startswith(told)
    assert (error.count, error.problems[0].unit) == (count, "row")


@pytest.mark.parametrize("keys", [[{"x": 1}], [[1]], [b"x"], [dt.timedelta(1)]])
def test_columns_that_are_no_keys(client, service, keys):
    assert "cannot be the key" in str(refused(client, service, of_keys(keys), key="k"))


@pytest.mark.parametrize(
    ("keys", "names"),
    [
        ([7, 8], ["7", "8"]),
        ([7.0, 7.5], ["7", "7.5"]),
        ([dt.date(2026, 1, 2), dt.date(2026, 1, 3)], ["2026-01-02", "2026-01-03"]),
        (
            [dt.datetime(2026, 1, 2, 3, tzinfo=dt.UTC), dt.datetime(2026, 1, 2, 4, tzinfo=dt.UTC)],
            ["2026-01-02T03:00:00+00:00", "2026-01-02T04:00:00+00:00"],
        ),
    ],
)
def test_numbers_and_dates_are_keys(client, keys, names):
    assert [row.key for row in client.jobs.map(of_keys(keys), CHAT, key="k")] == names


WHOLE = pl.DataFrame({"text": [f"{number}" * 50 for number in range(200)]})


def _parquet(cut):
    path = pa.BufferOutputStream()
    pa.parquet.write_table(WHOLE.to_arrow(), path)
    return cut(path.getvalue().to_pybytes())


FILES = {
    "cut.parquet": (lambda: _parquet(lambda data: data[:-30]), "not a Parquet file, or not a whole one"),
    "torn.parquet": (lambda: _parquet(lambda data: data[200:]), "not a Parquet file, or not a whole one"),
    "empty.parquet": (lambda: b"", "not a Parquet file"),
    "other.parquet": (lambda: "text\na\n", "not a Parquet file"),
    "cut.arrow": (lambda: b"ARROW1\0\0" + bytes(50), "not an Arrow file"),
    "empty.csv": (lambda: "", "the file is empty"),
    "no-rows.csv": (lambda: "text,n\n", "there are no rows"),
    "ragged.csv": (lambda: 'text,n\n"a\nb",1\nc\n', "line 4: expected 2 columns, got 1"),
    "latin.csv": (
        lambda: "text\ncaf\xe9\n".encode("latin-1"),
        "line 2: column 1: not UTF-8; name the encoding",
    ),
    "wide.csv": (lambda: "text,n\na,1\n".encode("utf-16"), "UTF-16, not UTF-8"),
    "semicolons.csv": (lambda: "text;n\na;1\n", "csv={'delimiter': ';'}"),
    "twice.csv": (lambda: "text,text\na,b\n", "more than one column is called text"),
    "bad.csv.gz": (lambda: b"text\na\n", "not readable"),
    "cut.csv.gz": (lambda: gzip.compress(b"text\n" + b"a b c d\n" * 999)[:40], "not readable"),
    "cut.jsonl": (lambda: '{"text": "a"}\n{"text":', "line 2: not JSON"),
    "array.jsonl": (lambda: '{"text": "a"}\n["b"]\n', "line 2: not a JSON object"),
    "sheet.xlsx": (lambda: b"", "a table's name ends in"),
}


@pytest.mark.parametrize("name", FILES)
def test_files(client, service, tmp_path, name):
    data, told = FILES[name]
    error = refused(client, service, file(tmp_path, name, data()))
    assert told in str(error)
    assert name in str(error) or isinstance(error, ConfigurationError)


def test_files_that_are_not_there(client, service, tmp_path):
    for name in ("none.csv", "no*.csv", "home2/", "memory://nothing.csv"):
        path = name if "://" in name else f"{tmp_path}/{name}"
        assert isinstance(refused(client, service, path), StorageError)
    (tmp_path / "folder").mkdir()
    assert "there are no tables" in str(refused(client, service, tmp_path / "folder"))
    assert "neither pyarrow nor fsspec knows" in str(refused(client, service, "shelf://x/y.csv"))


@pytest.mark.parametrize(
    ("options", "told"),
    [({"sep": ";"}, "no such option"), ({"delimiter": ";;"}, "csv="), ({"column_names": 3}, "csv=")],
)
def test_options_for_csv(client, service, tmp_path, options, told):
    path = file(tmp_path, "r.csv", "text\na\n")
    assert told in str(refused(client, service, path, csv=options))


def test_pyarrows_options_pass_through(client, tmp_path):
    path = file(tmp_path, "r.csv", "'caf\xe9; really';7\n".encode("latin-1"))
    options = {"delimiter": ";", "quote_char": "'", "encoding": "latin-1", "column_names": ["text", "n"]}
    (row,) = client.jobs.map(path, CHAT, csv=options | {"column_types": {"n": pa.float32()}})
    assert row.row == {"text": "café; really", "n": 7.0}


LATE = [{"text": "a", "n": 1 if number < 3000 else "x"} for number in range(3001)]


@pytest.mark.parametrize(
    ("table", "told"),
    [
        pytest.param([], "the table: there are no rows", id="none"),
        pytest.param(
            pl.DataFrame(schema={"text": pl.String}), "the table: there are no rows", id="a frame of none"
        ),
        pytest.param(
            [{"text": "a", "n": 1}, {"text": "b", "n": "x"}],
            "row 2: column 'n' holds 'x' (str), and 1 (int)",
            id="mixed",
        ),
        pytest.param(LATE, "row 3001: column 'n' holds 'x' (str)", id="mixed late"),
        pytest.param([{"text": "\ud800"}], "row 1: column 'text'", id="half a character"),
        pytest.param([{"text": "a"}, {}, 7], "row 3: a row is a dict, not a int", id="no row"),
        pytest.param([{"text": 1.5}, {"text": float("nan")}], 'row 2: column "text" holds nan', id="NaN"),
        pytest.param(
            pl.DataFrame({"txt": ["a"]}), 'no column "text": did you mean "txt"', id="no such column"
        ),
        pytest.param(pl.DataFrame({"text": [b"a"]}), "which is no text", id="bytes"),
        pytest.param(
            pl.DataFrame({"text": ["a"], "answer": ["b"], "error_code": ["c"]}),
            "columns that the answers would add: answer, error_code",
            id="a clash",
        ),
        pytest.param(
            pa.table([pa.array(["a"]), pa.array(["b"])], names=["text", "text"]),
            "called text",
            id="twice a name",
        ),
        pytest.param(pd.DataFrame({"text": ["a", "b"], "n": [1, "x"]}), "cannot be read", id="mixed pandas"),
    ],
)
def test_tables(client, service, table, told):
    assert told in str(refused(client, service, table))


@pytest.mark.parametrize(
    ("table", "options", "told"),
    [
        ("", {}, "the table's path is empty"),
        ([{"text": "a"}], {"key": "id"}, "the key is to be column 'id', and the table has text"),
        ([{"text": "a"}], {"prefix": None}, "prefix is the beginning of names"),
        ("r.csv", {"csv": ";"}, "csv= maps names"),
    ],
)
def test_arguments(client, service, table, options, told):
    assert told in str(refused(client, service, table, **options))


def test_what_cannot_be_embedded(client, service):
    table = pl.DataFrame({"text": ["a", "", None]})
    assert 'row 2: column "text" is empty (and 1 more)' in str(
        refused(client, service, table, Embed("m", "text"))
    )


def test_a_function_that_raises_is_the_callers(client, service):
    with pytest.raises(KeyError) as caught:
        client.jobs.map([{"text": "a"}], lambda row: row["txt"])
    assert 'row "1"' in caught.value.__notes__[0]
    assert client.jobs.list() == []
    assert "NoneType" in str(refused(client, service, [{"text": "a"}], lambda _: None))
    with pytest.raises(TypeError, match="unexpected keyword argument 'pool'"):
        client.jobs.map([{"text": "a"}], CHAT, pool=1)


def test_a_missing_extra_is_named_with_its_command(client, service, monkeypatch):
    answers = client.jobs.map([{"text": "a"}], CHAT)
    for module, call, told in [
        ("polars", answers.to_polars, "pip install polars"),
        ("pandas", answers.to_pandas, "pip install pandas"),
        (
            "pyarrow",
            lambda: client.jobs.map([{"text": "a"}], CHAT),
            "pip install 'openai-batch-overlay[tables]'",
        ),
        ("fsspec", lambda: client.jobs.map("memory://a.csv", CHAT), "pip install fsspec"),
    ]:
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, module, None)
            with pytest.raises(ConfigurationError) as caught:
                call()
            assert told in str(caught.value)


def test_a_cell_longer_than_what_is_read_at_once(client, tmp_path):
    cell = "x,\n" * 2_000_000
    path = file(tmp_path, "big.csv", f'n,text,t\n1,short,"{cell}"\n2,b,c\n')
    answers = client.jobs.map(path, CHAT)
    assert answers.to_arrow()["t"].to_pylist() == [cell, "c"]


def test_columns_that_come_later_and_wider(client):
    rows = [
        {"text": "a", "n": None} if number < 2000 else {"text": "b", "n": 1.5, "z": 1}
        for number in range(2500)
    ]
    frame = client.jobs.map((row for row in rows), CHAT).to_polars()
    assert frame.columns[:3] == ["text", "n", "z"]
    assert frame["n"].to_list() == [None] * 2000 + [1.5] * 500
    assert frame["z"].to_list() == [None] * 2000 + [1] * 500


def test_text_that_looks_like_numbers_stays_what_it_is(client, tmp_path):
    data = (
        "text,zip,phone,n,f,b,d,long,none\na,007,+49 1,7,1.50,true,2026-01-02,12345678901234567890123,\n"
        'b,8,8,,2,false,2026-01-03,1,""\n'
    )
    frame = client.jobs.map(file(tmp_path, "r.csv", data), CHAT).to_polars()
    assert frame.row(0)[:9] == (
        "a",
        "007",
        "+49 1",
        7,
        1.5,
        True,
        dt.date(2026, 1, 2),
        "12345678901234567890123",
        None,
    )
    assert frame.row(1)[:9] == ("b", "8", "8", None, 2.0, False, dt.date(2026, 1, 3), "1", "")


def test_very_wide_nested_and_enumerated(client, tmp_path):
    table = pl.DataFrame(
        {
            "text": ["a", "b"],
            "nested": [{"x": 1, "y": ["q"]}, None],
            "list": [[1.5], []],
            "category": pl.Series(["u", "v"], dtype=pl.Categorical),
            "bytes": [b"\xff", None],
            **{f"column {number}": [number, None] for number in range(1000)},
        }
    )
    answers = client.jobs.map(table, CHAT)
    assert answers.to_polars()[:, : table.width].equals(table)
    for suffix in ("parquet", "arrow", "csv", "jsonl", "tsv.gz", "jsonl.zst"):
        answers.write(tmp_path / f"out.{suffix}")
    assert pl.read_parquet(tmp_path / "out.parquet")["nested"].to_list() == [{"x": 1, "y": ["q"]}, None]
    assert pl.read_ipc(tmp_path / "out.arrow")["category"].cast(pl.String).to_list() == [
        "u",
        "v",
    ]
    assert pl.read_csv(tmp_path / "out.csv")["nested"].to_list() == ['{"x":1,"y":["q"]}', None]
    assert pl.read_ndjson(tmp_path / "out.jsonl")["list"].to_list() == [[1.5], []]


def test_words_of_several_batches(client, tmp_path):
    words = pa.chunked_array([pa.array(["x"]).dictionary_encode(), pa.array(["y", "x"]).dictionary_encode()])
    table = pa.table({"text": pa.chunked_array([["a"], ["b", "c"]]), "word": words})
    answers = client.jobs.map(table, CHAT)
    assert answers.to_arrow()["word"].to_pylist() == ["x", "y", "x"]
    answers.write(tmp_path / "out.arrow")
    assert pa.ipc.open_file(str(tmp_path / "out.arrow")).read_all()["word"].to_pylist() == ["x", "y", "x"]
