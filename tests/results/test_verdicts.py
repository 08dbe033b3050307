"""What counts as an answer, whatever a service writes: each case is a line, and what a result makes of it."""

import json
from pathlib import Path

import attrs
import pytest

from overlay import Result, ResultError
from overlay.jobs.merging import may_succeed
from overlay.results.reading import read_loosely

CASES = [
    json.loads(line)
    for path in ("cases.jsonl", "more_cases.jsonl")
    for line in (Path(__file__).parent / path).read_text(encoding="utf-8").splitlines()
]


READ = {"finish", "refusal", "texts", "flagged", "embeddings", "usage", "parsed", "parse_code"}


@pytest.mark.parametrize("case", CASES, ids=[case["case"] for case in CASES])
def test_a_line_is_a_success_a_failure_or_worth_another_try(case):
    line = json.dumps(case["line"]).encode()
    result = Result(line + b"\n")
    assert result.ok == case["ok"]
    if "again" in case:
        assert may_succeed(result) == case["again"]
    assert not (result.ok and may_succeed(result))
    if "code" in case:
        assert result.error.code == case["code"]
    if "message" in case:
        assert result.error.message == case["message"]
    assert result.custom_id == case.get("custom_id", case["line"].get("custom_id"))
    if "text" in case:
        assert result.text == case["text"]


@pytest.mark.parametrize("case", CASES, ids=[case["case"] for case in CASES])
def test_what_is_in_an_answer_besides_its_text(case):
    result = Result(json.dumps(case["line"]).encode() + b"\n")
    for name in ("finish", "refusal", "texts", "flagged"):
        if name in case:
            assert getattr(result, name) == case[name]
    if "embeddings" in case:
        assert [list(vector) for vector in result.embeddings] == case["embeddings"]
    if "usage" in case:
        assert attrs.asdict(result.usage) == case["usage"]
    if "parsed" in case:
        assert result.parse(dict) == case["parsed"]
    if "parse_code" in case:
        with pytest.raises(ResultError) as told:
            result.parse(dict)
        assert told.value.code == case["parse_code"]
    unknown = case.keys() - {"case", "line", "ok", "again", "code", "message", "custom_id", "text"} - READ
    assert not unknown, "each key of a case is looked at"


@pytest.mark.parametrize("case", CASES, ids=[case["case"] for case in CASES])
def test_the_fast_way_and_the_thorough_one_agree(case):
    line = json.dumps(case["line"]).encode()
    result, reading = Result(line), read_loosely(line)
    assert (result.error, result.text, result.custom_id) == (reading.error, reading.text, reading.custom_id)
    assert (result.status_code, result.usage) == (reading.status_code, reading.usage)
