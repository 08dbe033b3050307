"""Answers of every type as columns, and what becomes of them when something goes wrong."""

import datetime as dt
import enum
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict

import attrs
import msgspec
import polars as pl
import pyarrow as pa
import pydantic
import pytest
from support.calling import TOKEN, FakeClock, calling

from overlay import Chat, ConfigurationError, JobNotFoundError, Response
from overlay.server import Service
from overlay.tables import columns

WORDS = pa.dictionary(pa.int32(), pa.string())


class Mood(enum.Enum):
    GOOD = "good"
    BAD = "bad"


class Stars(enum.IntEnum):
    ONE = 1
    TWO = 2


@dataclass
class Part:
    name: str
    words: list[Literal["x", "y"]]


@dataclass
class Everything:
    mood: Mood
    stars: Stars
    maybe: int | None
    part: Part
    no_part: Part | None
    parts: list[Part]
    day: dt.date
    share: float
    either: int | str


@attrs.define
class Attrs:
    mood: Mood


class Typed(TypedDict):
    count: int


class Lean(msgspec.Struct, omit_defaults=True, rename="camel"):
    how_many: int = 0
    name: str | None = "nobody"


class Tree(msgspec.Struct):
    value: int
    kids: list["Tree"]


class Model(pydantic.BaseModel):
    day: dt.date
    mood: Mood | None
    other: int = pydantic.Field(alias="theOther")


EVERYTHING = {
    "mood": "good",
    "stars": 2,
    "maybe": None,
    "part": {"name": "a", "words": ["x", "y", "x"]},
    "no_part": None,
    "parts": [{"name": "b", "words": []}],
    "day": "2026-01-02",
    "share": 1.0,
    "either": "one",
}
DAY = dt.date(2026, 1, 2)
TIMES = {
    "type": "object",
    "properties": {
        "at": {"type": "string", "format": "date-time"},
        "clock": {"type": ["string", "null"], "format": "time"},
        "count": {"type": ["integer", "number"]},
        "what": {"type": "array", "items": {"anyOf": [{"type": "integer"}, {"type": "string"}]}},
    },
}
ANSWERS = {
    "a dataclass": (
        Everything,
        EVERYTHING,
        EVERYTHING | {"day": DAY, "either": '"one"'},
        {
            "mood": WORDS,
            "stars": pa.int64(),
            "day": pa.date32(),
            "share": pa.float64(),
            "either": pa.string(),
        },
    ),
    "attrs": (Attrs, {"mood": "bad"}, {"mood": "bad"}, {"mood": WORDS}),
    "a TypedDict": (Typed, {"count": 3}, {"count": 3}, {"count": pa.int64()}),
    "msgspec": (
        Lean,
        {"howMany": 0, "name": "nobody"},
        {"howMany": 0, "name": "nobody"},
        {"howMany": pa.int64()},
    ),
    "a tree": (
        Tree,
        {"value": 1, "kids": [{"value": 2, "kids": []}]},
        {"value": 1, "kids": [{"value": 2, "kids": []}]},
        {"value": pa.int64()},
    ),
    "pydantic": (
        Model,
        {"day": "2026-01-02", "mood": None, "theOther": 1},
        {"day": DAY, "mood": None, "theOther": 1},
        {"day": pa.date32(), "mood": WORDS},
    ),
    "a schema": (
        TIMES,
        {"at": "2026-01-02T03:04:05Z", "clock": "03:04:05", "count": 1, "what": [1, "a"]},
        {
            "at": dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC),
            "clock": dt.time(3, 4, 5),
            "count": 1.0,
            "what": ["1", '"a"'],
        },
        {"at": pa.timestamp("us", tz="UTC"), "clock": pa.time64("us"), "count": pa.float64()},
    ),
}


def answer(line):
    """Whatever the prompt is."""
    if "input" in line["body"]:
        content = [{"type": "output_text", "text": line["body"]["input"]}]
        return {
            "object": "response",
            "status": "completed",
            "output": [{"type": "message", "content": content}],
        }
    text = line["body"]["messages"][-1]["content"]
    return {"object": "chat.completion", "choices": [{"message": {"content": text}}]}


@pytest.fixture(scope="module")
def service():
    with Service(answer) as service:
        yield service


@pytest.fixture
def client(service, tmp_path):
    with calling("blocking", base_url=service.base_url, token=TOKEN, home=tmp_path / "home") as api:
        api.settings.clock = FakeClock()
        yield api


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_of_each_type_is_in_columns_of_its_own(client, name):
    kind, said, found, types = ANSWERS[name]
    rows = [{"prompt": json.dumps(said)}, {"prompt": "I'm sorry"}]
    template = (Response if name == "a TypedDict" else Chat)("m", "{prompt}", answer=kind)
    table = client.jobs.map(rows, template).to_arrow()
    good, bad = table.select(list(said)).to_pylist()
    assert good == found
    assert bad == dict.fromkeys(said)
    assert table["error_code"].to_pylist() == [None, "unexpected_text"]
    assert {each: table.schema.field(each).type for each in types} == types
    assert pl.from_arrow(table).height == 2


COUNT = {"type": "object", "properties": {"n": {"type": "integer"}}}


def test_an_answer_that_its_column_cannot_hold_fails_alone(client, tmp_path):
    texts = ['{"n": 1}', '{"n": 123456789012345678901234567890}', '{"n": "one"}', "[1]", "{}", '{"n": 2}']
    answers = client.jobs.map([{"text": each} for each in texts], Chat("m", "{text}", answer=COUNT))
    table = answers.to_arrow()
    assert table["n"].to_pylist() == [1, None, None, None, None, 2]
    codes = [None, "unexpected_value", "unexpected_value", "unexpected_text", None, None]
    assert table["error_code"].to_pylist() == codes
    answers.write(tmp_path / "out.csv")
    assert pl.read_csv(tmp_path / "out.csv")["n"].to_list() == [1, None, None, None, None, 2]


def test_long_answers_are_read_a_few_at_a_time(client, monkeypatch):
    answers = client.jobs.map([{"text": str(number)} for number in range(100)], Chat("m", "{text}"))
    whole = answers.to_arrow()
    monkeypatch.setattr(columns, "_MOST_BYTES", 1000)
    few = answers.to_arrow()
    assert few.column("answer").num_chunks > whole.column("answer").num_chunks == 1
    assert few == whole


def test_of_a_deleted_job_nothing_is_read_and_nothing_written(client, tmp_path):
    answers = client.jobs.map([{"text": "a"}], Chat("m", "{text}"))
    client.jobs.delete(answers.job.id)
    for read in (
        answers.to_arrow,
        answers.to_polars,
        lambda: list(answers),
        lambda: answers.write(tmp_path / "a.csv"),
    ):
        with pytest.raises(JobNotFoundError):
            read()
    assert not (tmp_path / "a.csv").exists()


def test_files_of_others_are_not_replaced(client, tmp_path):
    answers = client.jobs.map([{"text": "a"}], Chat("m", "{text}"))
    path = tmp_path / "out.csv"
    answers.write(path)
    answers.write(path)  # as this job has written it
    path.write_text("mine")
    with pytest.raises(ConfigurationError, match="overwrite=True"):
        answers.write(path)
    assert path.read_text() == "mine"
    answers.write(path, overwrite=True)
    assert pl.read_csv(path)["answer"].to_list() == ["a"]
    answers.write("memory://out/answers.parquet", overwrite=True)
    with pytest.raises(ConfigurationError, match="exists"):
        answers.write("memory://out/answers.parquet")
    assert [
        row.row["answer"]
        for row in client.jobs.map("memory://out/*.parquet", Chat("m", "{text}"), prefix="new_")
    ] == ["a"]


SPOOLING = """
def rows():
    for number in range(30_000):
        if number == 20_000:
            os.kill(os.getpid(), signal.SIGKILL)
        yield {"text": "x" * 100}

client.jobs.map(rows(), Chat("m", "{text}"))
"""
WRITING = """
def beside(self, rows, results, whole=AnswerColumns.beside):
    for number, batch in enumerate(whole(self, rows, results)):
        if number == 1 and not os.environ.get("GO_ON"):
            os.kill(os.getpid(), signal.SIGKILL)
        yield batch

answers = client.jobs.map(({"text": str(number)} for number in range(9_000)), Chat("m", "{text}"), poll=0.1)
AnswerColumns.beside = beside
answers.write("out.parquet")
"""


def python(service, folder, code, **env):
    begin = "import os, signal\nfrom overlay import Chat, Client\n"
    begin += "from overlay.tables.columns import AnswerColumns\n"
    begin += f"client = Client(token='t', base_url={service.base_url!r}, home='home')\n"
    words = [sys.executable, "-c", begin + code]
    return subprocess.run(words, cwd=folder, env=os.environ | env, check=False).returncode


def test_killed_while_rows_come_in_it_leaves_nothing(service, tmp_path):
    before = len(service.requests)
    assert python(service, tmp_path, SPOOLING) == -signal.SIGKILL
    assert {path.name for path in Path(tmp_path / "home").rglob("*")} == {"jobs", "spool"}
    assert len(service.requests) == before


def test_killed_while_it_writes_it_leaves_no_output_and_writes_it_the_next_time(service, tmp_path):
    assert python(service, tmp_path, WRITING) == -signal.SIGKILL
    assert not (tmp_path / "out.parquet").exists()
    batches = service.count("POST", "/batches")
    assert python(service, tmp_path, WRITING, GO_ON="1") == 0
    assert service.count("POST", "/batches") == batches
    assert {path.name for path in tmp_path.iterdir()} == {"home", "out.parquet"}
    assert pl.read_parquet(tmp_path / "out.parquet")["answer"].to_list() == [
        str(number) for number in range(9_000)
    ]
