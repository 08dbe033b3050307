"""Whatever the bytes: requests are refused with a typed error, and results come out with every byte that went in.

`OVERLAY_FUZZ` is how many mutated files each test reads; 2,000 by default, a million over a night.
"""

import json
import os
import random
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from support.answer_lines import CHAT, answer, chat, failure
from support.request_lines import BODY, line

from overlay.errors import InvalidInputError, InvalidResponseError, ResultError
from overlay.lines import check_complete
from overlay.requests.request import Limits, Request, check_requests, read_requests, write_requests
from overlay.results.files import join_results, read_results
from overlay.results.result import Result
from overlay.results.shapes import LineError, Usage

MUTATIONS = int(os.environ.get("OVERLAY_FUZZ", "2000"))
ROUNDS = settings(
    max_examples=max(50, MUTATIONS // 20),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

REQUESTS = [
    line("a"),
    line("b"),
    line("ü"),
    line(
        "c",
        body=BODY | {"tools": [{"type": "function", "function": {"parameters": {"x": [1.5, None, True]}}}]},
    ),
    line("d", url="/v1/embeddings", body={"model": "e", "input": ["x", "y"]}),
]
ANSWERS = [
    answer("a"),
    failure("b"),
    answer("c", chat([{"type": "text", "text": "\ud800 ü"}])),
    answer("d", json.dumps(CHAT)),
    answer(
        "e", {"output": [{"content": [{"type": "output_text", "text": "x"}]}], "usage": {"input_tokens": 1}}
    ),
    answer("f", response=None, error={"code": "batch_expired", "message": "late"}),
    answer("g", response=..., error="plain"),
]
PIECES = [
    b"\n",
    b"\r\n",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b'"',
    b"\\",
    b"\\ud800",
    b"{",
    b"}",
    b"[" * 300,
    b"]",
]
PIECES += [
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"9" * 5000,
    b"null",
    b'"custom_id": "a",',
    b"\xe2\x80\xa8",
    b" ",
    b",",
    b":",
]


def mutated(lines):
    """Files that were right once: bits flipped, pieces cut, doubled, moved, put in."""
    chance = random.Random(lines[0])
    for _ in range(MUTATIONS):
        content = bytearray(b"\n".join(chance.choices(lines, k=chance.randint(1, 6))) + b"\n")
        for _ in range(chance.choice([1, 1, 2, 5])):
            at = chance.randrange(len(content) + 1)
            end = min(len(content), at + chance.choice([1, 1, 8, 200]))
            match chance.randrange(5):
                case 0 if at < len(content):
                    content[at] ^= 1 << chance.randrange(8)
                case 1:
                    del content[at:end]
                case 2:
                    content[at:at] = content[at:end]
                case 3:
                    content[at:at] = chance.choice(PIECES)
                case _:
                    content[at:end] = bytes(chance.randrange(256) for _ in range(end - at))
        yield bytes(content)


def kept(content):
    """The lines that carry anything."""
    return [each for each in content.split(b"\n") if each.strip()]


def look_at_everything(result):
    """Ask a result for all it has; what it answers fits together."""
    assert isinstance(result.custom_id, str | None)
    assert isinstance(result.status_code, int | None)
    assert isinstance(result.request_id, str | None)
    assert isinstance(result.text, str | None)
    assert isinstance(result.usage, Usage | None)
    assert isinstance(result.error, LineError | None)
    assert result.ok == (result.error is None)
    assert result.custom_id is not None or result.error.code == "malformed_line"
    for text in (result.custom_id, result.text, repr(result)):
        (text or "").encode()
    with suppress(ResultError):
        _ = result.body
    with suppress(ResultError):
        result.parse(dict[str, int])


def read_everything(path, content):
    results = list(read_results(path))
    assert [result.raw for result in results] == kept(content)
    for result in results:
        look_at_everything(result)
    with suppress(InvalidResponseError):
        check_complete(path)


def join_everything(path, content):
    """Every line is handed out, counted as said before, or among the strays."""
    order = ["a", "b", "c", "d", "e", "f", "none"]
    with join_results(order, [path]) as joined:
        results = list(joined)
        strays = list(joined.strays())
    assert [result.custom_id for result in results] == order
    for result in results + strays:
        look_at_everything(result)
    report = joined.report
    assert (report.total, report.ok) == (len(order), sum(result.ok for result in results))
    handed = [result.raw for result in results if result.error is None or result.error.code != "missing"]
    assert len(handed) + len(strays) + report.duplicates == len(kept(content))
    assert report.missing == len(order) - len(handed)


def refusal(path):
    try:
        check_requests(path)
    except InvalidInputError as error:
        return error
    return None


def check_everything(path, content):
    error = refusal(path)
    if error is None:
        with suppress(InvalidInputError):  # a number that Python cannot hold
            assert len(list(read_requests(path))) == check_requests(path).requests
        return
    assert error.count >= len(error.problems) >= 1
    number = content.count(b"\n") + 1
    assert all(problem.line is None or 1 <= problem.line <= number for problem in error.problems)
    str(error).encode()
    with pytest.raises(InvalidInputError):
        list(read_requests(path))


@pytest.mark.parametrize(
    ("lines", "use"), [(ANSWERS, read_everything), (ANSWERS, join_everything), (REQUESTS, check_everything)]
)
def test_mutated_files(tmp_path, lines, use):
    path = tmp_path / "lines.jsonl"
    for content in mutated(lines):
        path.write_bytes(content)
        use(path, content)


@ROUNDS
@given(st.binary(max_size=300) | st.text().map(str.encode))
def test_any_bytes(tmp_path, content):
    path = tmp_path / "lines.jsonl"
    path.write_bytes(content)
    read_everything(path, content)
    join_everything(path, content)
    check_everything(path, content)


text = st.text(st.characters(exclude_categories=["Cs"]))
value = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=20,
)
body = st.dictionaries(text.filter(lambda name: name != "model"), value, max_size=5)


@ROUNDS
@given(st.lists(st.tuples(text.filter(bool), body), min_size=1, max_size=6, unique_by=lambda pair: pair[0]))
def test_requests_go_round(tmp_path, pairs):
    path = tmp_path / "in.jsonl"
    requests = [Request(custom_id, body) for custom_id, body in pairs]
    assert write_requests(path, requests, service="other") == len(requests)
    assert list(read_requests(path, service="other")) == requests
    assert check_requests(path, service="other").requests == len(requests)
    assert len(path.read_bytes().decode().splitlines()) == len(requests)


@ROUNDS
@given(value)
def test_any_json_value_is_an_answer(said):
    raw = json.dumps(said).encode()
    look_at_everything(Result(raw))
    for name in ("response", "error", "custom_id", "id"):
        look_at_everything(Result(answer(**{name: said})))
    for name in ("choices", "output", "usage", "error"):
        look_at_everything(Result(answer(body=CHAT | {name: said})))
        look_at_everything(Result(answer(body={name: said}, status_code=500)))
    look_at_everything(Result(answer(body={"choices": [said]})))
    look_at_everything(Result(answer(body=chat(said))))
    look_at_everything(Result(answer(body=said)))
    look_at_everything(Result(answer(status_code=said)))


@ROUNDS
@given(text, st.booleans())
def test_answers_are_found_whatever_the_id(tmp_path, custom_id, escaped):
    path = tmp_path / "out.jsonl"
    fields = json.loads(answer(custom_id, chat(custom_id)))
    path.write_text(json.dumps(fields, ensure_ascii=escaped), encoding="utf-8", newline="\n")
    (result,) = join_results([custom_id], [path])
    assert (result.ok, result.custom_id, result.text) == (True, custom_id, custom_id)


def test_limits_hold_over_mutations(tmp_path):
    path = tmp_path / "lines.jsonl"
    for content in list(mutated(REQUESTS))[:200]:
        path.write_bytes(content)
        with suppress(InvalidInputError):
            summary = check_requests(path, limits=Limits(requests=3, bytes=600, line_bytes=200, nesting=3))
            assert (summary.requests <= 3, summary.bytes <= 600) == (True, True)
