"""One answer line: what the API documents, what independent services write, and what nobody should."""

import json
import pickle
from contextlib import suppress

import pytest
from support.answer_lines import CHAT, answer, chat, failure

from overlay.errors import ResultError
from overlay.results.result import Result, missing_result, renamed
from overlay.results.shapes import LineError, Usage


def test_a_success():
    line = answer("a")
    result = Result(line + b"\n").raise_for_error()
    assert result.raw == line
    assert result.ok
    assert (result.custom_id, result.status_code, result.request_id) == ("a", 200, "req-a")
    assert (result.text, result.error) == ("hello", None)
    assert result.body == CHAT
    assert result.body is result.body
    assert result.usage == Usage(input_tokens=3, output_tokens=5, total_tokens=8)
    assert repr(result) == "<Result 'a' ok>"


def test_a_failure():
    result = Result(failure("a"))
    assert not result.ok
    assert (result.custom_id, result.status_code, result.request_id) == ("a", 429, "req-a")
    assert result.error == LineError("rate_limit_exceeded", "slow down")
    assert (result.text, result.usage) == (None, None)
    assert result.body["error"]["message"] == "slow down"
    with pytest.raises(ResultError, match=r"^rate_limit_exceeded: slow down") as caught:
        result.raise_for_error()
    error = pickle.loads(pickle.dumps(caught.value))
    assert (error.custom_id, error.code, error.status_code) == ("a", "rate_limit_exceeded", 429)


@pytest.mark.parametrize("code", ["batch_expired", "batch_cancelled"])
def test_a_request_that_never_ran(code):
    result = Result(answer(response=None, error={"code": code, "message": "it is over"}))
    assert result.error == LineError(code, "it is over")
    assert (result.ok, result.status_code, result.body) == (False, None, None)


def test_a_request_that_was_given_up_without_a_word():
    """OpenAI's own error files hold such lines."""
    result = Result(answer(body={}, status_code=0))
    assert result.error == LineError("never_ran", "the service gave this request up before it ran")
    assert (result.ok, result.status_code, result.request_id) == (False, 0, "req-a")


def test_a_missing_answer_is_a_line_like_others():
    result = missing_result('quoted " ü')
    assert result.error.code == "missing"
    assert json.loads(result.raw) == {
        "id": None,
        "custom_id": 'quoted " ü',
        "response": None,
        "error": {"code": "missing", "message": result.error.message},
    }


RESPONSES = {
    "error": None,
    "output": [
        {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]},
        {
            "type": "message",
            "content": [{"type": "output_text", "text": "a"}, {"type": "refusal", "refusal": "b"}],
        },
        {"type": "function_call", "arguments": "{}"},
        {"type": "message", "content": [{"type": "output_text", "text": "c"}]},
    ],
    "usage": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
}
PARTS = [{"type": "text", "text": "a"}, {"type": "image_url"}, {"type": "text", "text": "b"}]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (chat("x\u2028ü😀"), "x\u2028ü😀"),
        (chat(""), ""),
        (chat(None), None),
        (chat(PARTS), "ab"),
        (chat([]), None),
        (chat([{"type": "text", "text": 7}]), None),
        (chat({"odd": 1}), None),
        ({"choices": [None]}, None),
        ({"choices": "none"}, None),
        ({"choices": [{"text": "completed", "index": 0}]}, "completed"),
        ({"choices": [{"message": None}]}, None),
        (RESPONSES, "ac"),
        (RESPONSES | {"output": [*RESPONSES["output"], 7]}, "ac"),
        ({"output": [], "status": "incomplete"}, None),
        ({"output": [], "output_text": "said"}, "said"),
        ({"data": [{"embedding": [0.5], "index": 0}]}, None),
        ({"results": [{"flagged": False}]}, None),
    ],
)
def test_text(body, text):
    # Once as the documented shape, once over the way of the odd ones.
    assert Result(answer(body=body)).text == text
    assert Result(answer(body=body, status_code="200")).text == text
    assert Result(answer(body=body)).ok


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 1, "total_tokens": 1}, Usage(1, None, 1)),
        (RESPONSES["usage"], Usage(1, 2, 3)),
        ({"prompt_tokens": True, "completion_tokens": "2"}, Usage(None, None, None)),
        (None, None),
        ("many", None),
        ([], None),
    ],
)
def test_usage(usage, expected):
    assert Result(answer(body=CHAT | {"usage": usage})).usage == expected
    assert Result(answer(body=CHAT | {"usage": usage}, status_code="200")).usage == expected


def test_a_body_that_is_an_object_in_a_string():
    result = Result(answer(body=json.dumps(CHAT)))
    assert (result.ok, result.text, result.body) == (True, "hello", CHAT)
    assert result.usage.total_tokens == 8
    failed = Result(answer(body='{"error": {"message": "no"}}', status_code=400))
    assert (failed.ok, failed.error) == (False, LineError(None, "no"))
    assert Result(answer(body="just text")).body == "just text"


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (answer(response=..., error={"message": "m"}), LineError(None, "m")),
        (answer(response=..., error="plain"), LineError(None, "plain")),
        (answer(response=..., error=["odd"]), LineError(None, '["odd"]')),
        (answer(response=..., error=...), LineError("malformed_line", "the line has no response")),
        (answer(response=None), LineError("malformed_line", "the line has no response")),
        (answer(response="odd"), LineError("malformed_line", "the line has no response")),
        (answer(error={"code": "c", "message": "m"}), LineError("c", "m")),
        (answer(error={"type": "t", "code": None}), LineError("t", '{"type": "t", "code": null}')),
        (answer(status_code=500, body=None), LineError(None, "status 500")),
        (answer(status_code=500, body="<html>"), LineError(None, "<html>")),
        (answer(status_code=500, body={}), LineError(None, "status 500")),
        (answer(status_code=422, body={"detail": "bad"}), LineError(None, "bad")),
        (answer(status_code=422, body={"message": "bad", "code": 7}), LineError("7", "bad")),
        (answer(status_code=404, body={"error": "gone"}), LineError(None, "gone")),
        (answer(status_code="404", body={"error": {"code": "c"}}), LineError("c", '{"code": "c"}')),
        (answer(status_code=..., body={"error": {"message": "m"}}), LineError(None, "m")),
        (answer(status_code=..., body=...), LineError("malformed_line", "the line has no response")),
        (answer(status_code=302, body={}), LineError(None, "status 302")),
        (
            answer(status_code=0, body={}),
            LineError("never_ran", "the service gave this request up before it ran"),
        ),
        (answer(status_code=0, body={"error": {"code": "c", "message": "m"}}), LineError("c", "m")),
        (answer(body={}), LineError("no_answer", "the response's body is empty")),
        (
            answer(body=[{"x": 1}]),
            LineError("no_answer", "the response's body is no JSON object: it is list"),
        ),
        (answer(body={"choices": []}), LineError("no_answer", "the answer's 'choices' is empty")),
        (b"", LineError("malformed_line", "the line is not a JSON object")),
        (b"[]", LineError("malformed_line", "the line is not a JSON object")),
        (b"\xff\xfe", LineError("malformed_line", "the line is not a JSON object")),
        (b"[" * 100_000, LineError("malformed_line", "the line is not a JSON object")),
        (answer(custom_id=...), LineError("malformed_line", "the line has no custom_id")),
        (answer(custom_id=None), LineError("malformed_line", "the line has no custom_id")),
        (answer(custom_id=True), LineError("malformed_line", "the line has no custom_id")),
    ],
)
def test_failures_of_odd_shapes(line, error):
    result = Result(line)
    assert result.error == error
    assert not result.ok
    assert result.text is None
    assert result.raw == line
    with pytest.raises(ResultError):
        result.raise_for_error()


@pytest.mark.parametrize(
    "line",
    [
        answer(error={}),
        answer(error={"code": None, "message": None}),
        answer(error=...),
        answer(status_code=...),
        answer(status_code="200"),
        answer(status_code=200.0),
        answer(status_code="200 OK"),
        answer(status_code=299),
        b"\xef\xbb\xbf" + answer(),
        answer(id=..., extra={"field": [1]}),
        b" " + answer() + b" \r",
        answer().replace(b'"index": 0', b'"logprob": NaN'),
        answer().replace(b'"index": 0', b'"large": 1e999, "larger": ' + b"9" * 400),
        answer().replace(b'"index": 0', b'"skipped": "\xff\xed\xa0\x80"'),
    ],
)
def test_successes_of_odd_shapes(line):
    result = Result(line)
    assert result.error is None
    assert (result.custom_id, result.text) == ("a", "hello")
    assert result.body["object"] == "chat.completion"


def test_bytes_that_are_not_utf_8_and_halves_of_pairs_read_as_replacements():
    assert Result(answer(body=chat("x")).replace(b'"x"', b'"x\xff"')).text == "x\ufffd"
    result = Result(answer("a\ud800", body=chat("x\ud83dy\ude00\ud83d\ude00")))
    assert (result.custom_id, result.text) == ("a\ufffd", "x\ufffdy\ufffd😀")


def test_a_torn_line_still_says_whose_it_is():
    result = Result(answer("b")[:-1])
    assert (result.custom_id, result.error.code) == ("b", "malformed_line")
    assert Result(answer("b")[:30]).custom_id is None


def test_a_body_nested_too_deep_is_not_handed_out():
    deep = answer(body={"x": json.loads("[" * 199 + "]" * 199), "y": "[" * 300})
    assert Result(deep).body["y"] == "[" * 300
    deeper = Result(answer("b", body=chat("hi") | {"x": json.loads("[" * 200 + "]" * 200)}))
    assert (deeper.ok, deeper.text) == (True, "hi")
    with pytest.raises(ResultError, match=r"^the body is nested more than 200 deep"):
        _ = deeper.body


def test_long_errors_are_kept_short_in_messages():
    result = Result(answer(status_code=500, body={"error": {"message": "x" * 100_000}}))
    assert len(result.error.message) < 1_100
    assert len(repr(result)) < 150
    assert len(result.body["error"]["message"]) == 100_000


def test_results_are_equal_by_their_bytes_and_pickle():
    result = Result(answer() + b"\n")
    assert result.text == "hello"
    copy = pickle.loads(pickle.dumps(result))
    assert copy == result
    assert copy.text == "hello"
    assert {result, copy, Result(answer())} == {result}
    assert result != Result(answer("b"))
    assert result != answer()


@pytest.mark.parametrize(
    "line",
    [
        answer(custom_id=None),
        answer(custom_id="another"),
        answer(custom_id=...),
        b"\xef\xbb\xbf" + answer(custom_id=7),
        answer(custom_id=None).replace(b'"index": 0', b'"logprob": NaN'),
        answer(custom_id=None).replace(b'"index": 0', b'"skipped": "\xff\xed\xa0\x80"'),
    ],
)
def test_an_answer_under_the_id_of_its_request(line):
    result = renamed(Result(line + b"\n"), 'the "ü"')
    assert (result.ok, result.custom_id, result.text) == (True, 'the "ü"', "hello")
    assert result.usage == Usage(3, 5, 8)
    assert b"\n" not in result.raw


def test_all_but_the_id_stays_as_it_was():
    line = b'{"x": 1.10, "id":"q","custom_id": null,"response":{ "status_code":200,"body":{"score": 1e2}}}'
    said = b'{"id":"q","custom_id":"a","x":1.10,"response":{ "status_code":200,"body":{"score": 1e2}}}'
    assert renamed(Result(line), "a").raw == said


@pytest.mark.parametrize("line", [b"", b"nope", b"[1]", b"[" * 100_000])
def test_a_line_that_cannot_be_read_becomes_one_that_says_so(line):
    result = renamed(Result(line), "a")
    assert (result.custom_id, result.error.code) == ("a", "malformed_line")


ODD = [7, -1, 10**30, 1e300, True, None, "x", [], ["text"], [[]], {}, {"type": "text"}, "\ud800"]


@pytest.mark.parametrize("odd", ODD, ids=repr)
@pytest.mark.parametrize(
    "place", ["type", "text", "part", "content", "message", "choices", "usage", "status", "code"]
)
def test_a_line_with_a_field_that_makes_no_sense_is_read(place, odd):
    part = {"type": "text", "text": "hello"}
    if place in part:
        part[place] = odd
    content = [odd if place == "part" else part, {"type": "text", "text": "!"}]
    message = {"role": "assistant", "content": odd if place == "content" else content}
    body = {"choices": [{"message": odd if place == "message" else message}], "usage": {"prompt_tokens": 1}}
    body |= {place: odd} if place in {"choices", "usage"} else {}
    status = odd if place == "status" else 200
    error = {"code": odd, "message": odd} if place == "code" else None
    line = {"custom_id": "r", "response": {"status_code": status, "body": body}, "error": error}
    result = Result(json.dumps(line).encode())
    for name in ("ok", "text", "usage", "error", "body", "status_code", "request_id", "custom_id"):
        getattr(result, name)
    assert repr(result).isprintable()
    assert result.text is None or result.text.encode()
    with suppress(ResultError):
        result.parse(dict)
