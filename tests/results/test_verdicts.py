"""What counts as an answer, whatever a service writes: each case is a line, and what a result makes of it."""

import json
from pathlib import Path

import pytest

from overlay import Result
from overlay.jobs.merging import may_succeed
from overlay.results.reading import read_loosely

CASES = [
    json.loads(line)
    for path in ("cases.jsonl", "more_cases.jsonl")
    for line in (Path(__file__).parent / path).read_text(encoding="utf-8").splitlines()
]


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
def test_the_fast_way_and_the_thorough_one_agree(case):
    line = json.dumps(case["line"]).encode()
    result, reading = Result(line), read_loosely(line)
    assert (result.error, result.text, result.custom_id) == (reading.error, reading.text, reading.custom_id)
    assert (result.status_code, result.usage) == (reading.status_code, reading.usage)
