"""What is in an answer besides its text, in the shapes of the endpoints and of other services."""

import base64
import json
from array import array

import pytest
from hypothesis import given, strategies as st
from support.answer_lines import answer

from overlay import Result, ResultError, ToolCall

PNG = b"\x89PNG\r\n\x1a\n"
CODED = base64.b64encode(PNG).decode()


def result(**body):
    return Result(answer(body=body))


def choice(finish="stop", index=0, **message):
    return {"index": index, "message": {"role": "assistant", **message}, "finish_reason": finish}


@pytest.mark.parametrize(
    ("said", "finish"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("content_filter", "content_filter"),
        ("tool_calls", "tool_calls"),
        ("function_call", "tool_calls"),
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("end_turn", "stop"),
        ("SAFETY", "content_filter"),
        ("model_length", "length"),
        ("something_new", "something_new"),
        (None, None),
        (7, None),
    ],
)
def test_one_vocabulary_for_how_it_ended(said, finish):
    assert result(choices=[choice(said, content="hi")]).finish == finish


@pytest.mark.parametrize(
    ("fields", "finish"),
    [
        ({"status": "completed"}, "stop"),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "length"),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "content_filter"),
        ({"status": "incomplete"}, "incomplete"),
        ({}, None),
    ],
)
def test_of_responses_too(fields, finish):
    message = {"type": "message", "content": [{"type": "output_text", "text": "hi"}]}
    assert result(object="response", output=[message], **fields).finish == finish


def test_calls_of_tools_of_each_endpoint():
    chat = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    decoded = {"function": {"name": "g", "arguments": {"b": 2}}}
    assert result(choices=[choice("tool_calls", content=None, tool_calls=[chat, decoded])]).tool_calls == [
        ToolCall("f", '{"a": 1}', "c1"),
        ToolCall("g", '{"b": 2}', None),
    ]
    legacy = choice("function_call", content=None, function_call={"name": "f", "arguments": "{}"})
    assert result(choices=[legacy]).tool_calls == [ToolCall("f", "{}", None)]
    item = {"type": "function_call", "call_id": "c2", "name": "f", "arguments": "{}", "id": "fc_1"}
    response = result(object="response", status="completed", output=[item])
    assert response.tool_calls == [ToolCall("f", "{}", "c2")]
    assert response.finish == "tool_calls"
    assert response.parse(dict) == {}


def test_refusals_of_each_endpoint():
    part = {"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}
    assert result(object="response", status="completed", output=[part]).refusal == "No."
    assert result(choices=[choice(content=None, refusal="No.")]).refusal == "No."
    assert result(choices=[choice(content="hi", refusal=None)]).refusal is None


def test_of_several_choices_a_failed_one_does_not_fail_the_line():
    failed = choice("error", 1, content=None)
    found = result(choices=[choice(content="b", index=2), failed, choice(content="a")])
    assert (found.ok, found.text, found.texts) == (True, "a", ["a", "b"])


def test_vectors_in_the_order_of_the_texts():
    numbers = [{"index": 1, "embedding": [3, 4.5]}, {"index": 0, "embedding": [1, 2]}]
    first, second = result(object="list", data=numbers).embeddings
    assert (first, second) == (array("f", [1, 2]), array("f", [3, 4.5]))
    assert memoryview(first).format == "f"


@pytest.mark.parametrize("embedding", ["no base64!", "AAA=", ["a"], {"a": 1}, [[1]]])
def test_a_vector_that_is_none(embedding):
    found = result(object="list", data=[{"object": "embedding", "index": 0, "embedding": embedding}])
    with pytest.raises(ResultError, match="an embedding is no") as told:
        _ = found.embeddings
    assert told.value.code == "unexpected_embedding"


def test_pictures_of_each_endpoint():
    found = result(created=1, data=[{"b64_json": CODED}, {"url": "https://example.com/a.png"}])
    assert found.images == [PNG, "https://example.com/a.png"]
    item = {"type": "image_generation_call", "result": CODED}
    assert result(object="response", status="completed", output=[item]).images == [PNG]
    with pytest.raises(ResultError, match="an image is no base64"):
        _ = result(data=[{"b64_json": "%"}]).images


def test_nothing_is_in_a_failure():
    body = {"choices": [choice(content="hi")], "results": [{"flagged": True}]}
    failed = Result(answer(status_code=500, body=body))
    assert (failed.finish, failed.refusal, failed.flagged) == (None, None, None)
    assert (failed.texts, failed.tool_calls, failed.embeddings, failed.images) == ([], [], [], [])


def test_failures_can_be_counted_by_their_message():
    told = set()
    for name in ("a", "b"):
        cut = Result(answer(name, body={"choices": [choice("length", content="{")]}))
        with pytest.raises(ResultError) as caught:
            cut.parse(dict)
        told.add(str(caught.value))
    assert told == {"the answer reached its limit before it was a valid dict"}


NAMES = (
    *("choices", "message", "content", "output", "data", "embedding", "b64_json", "results", "flagged"),
    *("tool_calls", "function", "name", "arguments", "refusal", "finish_reason", "index", "type", "text"),
    *("status", "incomplete_details", "reason", "usage", "prompt_tokens_details"),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_whatever_is_there_nothing_raises_but_result_error(body):
    line = {"custom_id": "a", "response": {"status_code": 200, "body": body}, "error": None}
    found = Result(json.dumps(line).encode())
    for name in ("finish", "refusal", "tool_calls", "texts", "flagged", "usage", "text"):
        getattr(found, name)
    for read in (lambda: found.embeddings, lambda: found.images, lambda: found.parse(dict)):
        try:
            read()
        except ResultError as error:
            assert error.code or found.error is not None  # noqa: PT017 - most bodies raise none
