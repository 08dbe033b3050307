"""`client.jobs.map`: from a table to a table, through the embedded service."""

import inspect
import json
from dataclasses import dataclass
from typing import Literal, get_type_hints

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal
from support.calling import TOKEN, FakeClock, calling

from overlay import Chat, ConfigurationError, Embed, InvalidInputError, ResultError
from overlay.jobs import verbs
from overlay.server import Service
from overlay.tables.resource import Jobs, SubmitOptions


@dataclass
class Review:
    friendly: bool
    topic: Literal["price", "quality", "service", "other"]


CHAT = Chat("m", "Friendly? {text}", answer=Review)
TABLE = {
    "review_id": ["a", "b", "c"],
    "text": ["I loved it, \n🙂", "Never again.", "fail"],
    "stars": [5, None, 3],
}
GOOD = {"friendly": True, "topic": "price"}
TAIL = {"error_code", "error_message", "input_tokens", "output_tokens"}


def answer(line):
    """Fails where the prompt ends in `fail`, and answers no JSON where it ends in `odd`."""
    asked = line["body"]["messages"][-1]["content"]
    if asked.endswith("fail"):
        return 400, {"error": {"message": "no", "code": "nope", "type": "invalid_request_error"}}
    text = "I'm sorry" if asked.endswith("odd") else json.dumps(GOOD)
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    return {"object": "chat.completion", "choices": [{"message": {"content": text}}], "usage": usage}


@pytest.fixture
def service():
    with Service(answer) as service:
        yield service


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def client(service, clock, tmp_path):
    with calling("blocking", base_url=service.base_url, token=TOKEN, home=tmp_path / "home") as api:
        api.settings.clock = clock
        yield api


EXPECTED = pl.DataFrame(
    {
        **TABLE,
        "friendly": [True, True, None],
        "topic": ["price", "price", None],
        "error_code": [None, None, "nope"],
        "error_message": [None, None, "no"],
        "input_tokens": [7, 7, None],
        "output_tokens": [3, 3, None],
    }
)


def frame(answers):
    """As polars has it, with text for what is a dictionary."""
    return answers.to_polars().with_columns(pl.col(pl.Categorical).cast(pl.String))


def rows_of(table):
    names = list(table)
    return [dict(zip(names, row, strict=True)) for row in zip(*table.values(), strict=True)]


def _csv(path):
    pl.DataFrame(TABLE).write_csv(path / "reviews.csv")
    return str(path / "reviews.csv")


def _parquet(path):
    pl.DataFrame(TABLE).write_parquet(path / "reviews.parquet")
    return path / "reviews.parquet"


def _jsonl(path):
    pl.DataFrame(TABLE).write_ndjson(path / "reviews.jsonl")
    return path / "reviews.jsonl"


def _arrow(path):
    pl.DataFrame(TABLE).write_ipc(path / "reviews.arrow")
    return path / "reviews.arrow"


def _folder(path):
    (path / "reviews").mkdir()
    pl.DataFrame(TABLE)[:1].write_parquet(path / "reviews" / "1.parquet")
    pl.DataFrame(TABLE)[1:].write_csv(path / "reviews" / "2.csv")
    (path / "reviews" / "_SUCCESS").touch()
    return path / "reviews"


TABLES = {
    "polars": lambda _: pl.DataFrame(TABLE),
    "pandas": lambda _: pd.DataFrame(TABLE).astype({"stars": "Int64"}),
    "pyarrow": lambda _: pa.table(TABLE),
    "a batch": lambda _: pa.RecordBatch.from_pydict(TABLE),
    "a reader": lambda _: pa.table(TABLE).to_reader(),
    "duckdb": lambda _: duckdb.from_arrow(pa.table(TABLE)),
    "dicts": lambda _: rows_of(TABLE),
    "a generator": lambda _: (row for row in rows_of(TABLE)),
    "CSV": _csv,
    "Parquet": _parquet,
    "JSON lines": _jsonl,
    "Arrow": _arrow,
    "a folder": _folder,
    "a pattern": lambda path: f"{_folder(path)}/*.*",
}


@pytest.mark.parametrize("make", [pytest.param(make, id=name) for name, make in TABLES.items()])
def test_whatever_the_table_the_answers_stand_beside_it(client, tmp_path, make):
    answers = client.jobs.map(make(tmp_path), CHAT, key="review_id")
    assert_frame_equal(frame(answers), EXPECTED)


def test_with_clients_of_all_kinds(connect, service, clock):
    answers = connect(service.base_url, clock=clock).jobs.map(rows_of(TABLE), CHAT, key="review_id")
    assert_frame_equal(frame(answers), EXPECTED)


def test_rows_may_come_from_an_asynchronous_generator(service, clock, tmp_path):
    async def rows():
        for row in rows_of(TABLE):
            yield row

    with calling("trio", base_url=service.base_url, token=TOKEN, home=tmp_path / "home") as api:
        api.settings.clock = clock
        assert_frame_equal(frame(api.jobs.map(rows(), CHAT, key="review_id")), EXPECTED)


def test_the_rows_one_by_one(client):
    table = {"id": [7, 8, 9], "text": ["good", "odd", "fail"]}
    rows = list(client.jobs.map(pa.table(table), CHAT, key="id"))
    assert [row.key for row in rows] == ["7", "8", "9"]
    assert [row.ok for row in rows] == [True, False, False]
    assert [row.error and row.error.code for row in rows] == [None, "unexpected_text", "nope"]
    assert [row.row for row in rows] == rows_of(table)
    assert [row.result.custom_id for row in rows] == ["7", "8", "9"]
    assert rows[0].answer == Review(**GOOD)
    for row in rows[1:]:
        with pytest.raises(ResultError):
            _ = row.answer


def test_whoever_reads_arrow_reads_answers(client, tmp_path):
    answers = client.jobs.map(pa.table(TABLE), CHAT, key="review_id")
    assert len(answers) == 3
    table = pa.table(answers)
    assert table.column_names == EXPECTED.columns
    assert table.schema.field("topic").type == pa.dictionary(pa.int32(), pa.string())
    assert_frame_equal(frame(answers), EXPECTED)
    assert pl.DataFrame(answers).height == answers.to_arrow().num_rows == len(answers.to_pandas()) == 3
    count = duckdb.sql("select count(*), count(friendly), sum(input_tokens) from answers").fetchall()
    assert count == [(3, 2, 14)]
    assert "3 rows of review_id, text" in repr(answers)
    assert pa.schema(answers).names == EXPECTED.columns


def test_two_may_be_read_at_once_and_again(client):
    answers = client.jobs.map(pa.table(TABLE), CHAT, key="review_id")
    for one, other in zip(answers, answers, strict=True):
        assert one.row == other.row
    assert answers.to_arrow() == answers.to_arrow()


def test_without_a_key_rows_are_numbered(client):
    answers = client.jobs.map(pa.table(TABLE), CHAT)
    assert [row.key for row in answers] == ["1", "2", "3"]


def test_a_function_of_the_row(client):
    def body(row):
        return {"model": "m", "messages": [{"role": "user", "content": f"{row['stars']} {row['text']}"}]}

    rows = list(client.jobs.map(pl.DataFrame(TABLE), body, key="review_id"))
    assert json.loads(rows[0].answer) == GOOD
    answers = client.jobs.map(pl.DataFrame(TABLE), body, key="review_id", prefix="its_")
    assert {*answers.to_polars().columns} == {*TABLE, "its_answer", *(f"its_{name}" for name in TAIL)}


def test_the_same_call_pays_once_and_another_prompt_is_another_job(client, service):
    first = client.jobs.map(pl.DataFrame(TABLE), CHAT, key="review_id")
    again = client.jobs.map(rows_of(TABLE), CHAT, key="review_id")
    assert first.job.id == again.job.id
    assert service.count("POST", "/batches") == 1
    # A column that is not asked about changes nothing of the job, and is there all the same.
    other = client.jobs.map(pl.DataFrame(TABLE).with_columns(shop=pl.lit("x")), CHAT, key="review_id")
    assert other.job.id == first.job.id
    assert other.to_polars()["shop"].to_list() == ["x"] * 3
    changed = client.jobs.map(pl.DataFrame(TABLE), Chat("m", "Kind? {text}", answer=Review), key="review_id")
    assert changed.job.id != first.job.id
    assert service.count("POST", "/batches") == 2


def test_vectors(clock, tmp_path):
    def vectors(line):
        length = 2 if line["body"]["input"] == "short" else 3
        data = [{"object": "embedding", "index": 0, "embedding": [0.5] * length}]
        return {"object": "list", "data": data, "usage": {"prompt_tokens": 1, "total_tokens": 1}}

    table = pa.table({"text": ["a", "short", "c"]})
    with (
        Service(vectors) as service,
        calling("blocking", base_url=service.base_url, token=TOKEN, home=tmp_path) as api,
    ):
        api.settings.clock = clock
        fixed = api.jobs.map(table, Embed("m", "text", dimensions=3)).to_arrow()
        free = api.jobs.map(table, Embed("m", "text")).to_arrow()
    assert fixed.schema.field("embedding").type == pa.list_(pa.float32(), 3)
    assert fixed["embedding"].to_pylist() == [[0.5] * 3, None, [0.5] * 3]
    assert fixed["error_code"].to_pylist() == [None, "unexpected_value", None]
    assert free.schema.field("embedding").type == pa.list_(pa.float32())
    assert free["embedding"].to_pylist() == [[0.5] * 3, [0.5] * 2, [0.5] * 3]


def test_map_takes_what_submit_takes():
    submitted = inspect.signature(verbs.submit).parameters
    named = {name for name, each in submitted.items() if each.kind is each.KEYWORD_ONLY}
    assert {*get_type_hints(SubmitOptions)} == named - {"answer"}, "the template has the type of answers"
    assert inspect.signature(Jobs.map).parameters["options"].kind is inspect.Parameter.VAR_KEYWORD


def test_what_is_no_table(client, service):
    for table, told in [
        (7, "a table is a path"),
        ({"a": [1]}, "a table is a path"),
        (pl.DataFrame(TABLE).lazy(), "collect"),
        ([["a"]], "a row is a dict"),
    ]:
        with pytest.raises((ConfigurationError, InvalidInputError), match=told):
            client.jobs.map(table, CHAT)
    with pytest.raises(ConfigurationError, match="no file"):
        client.jobs.map(pl.DataFrame(TABLE), CHAT, csv={"delimiter": ";"})
    assert service.requests == []


def test_a_notebook_shows_the_first_rows(client):
    table = {"review_id": [str(n) for n in range(25)], "text": ["<b>bold</b>"] * 25}
    answers = client.jobs.map(pl.DataFrame(table), CHAT, key="review_id")
    shown = answers._repr_html_()
    assert shown.count("<tr>") == 1 + 20
    assert "5 more rows" in shown
    assert "&lt;b&gt;bold" in shown
    assert "<b>" not in shown
