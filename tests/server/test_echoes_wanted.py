"""The echo gives the data and the calls of tools that a request insists on, in the form that it wants them in."""

import json
from datetime import date
from enum import StrEnum
from typing import Annotated, Literal, Optional
from uuid import UUID

import httpx2
import openai
import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel, Field
from support.asking import CHAT, CHAT_TOOLS, FORMAT, RESPONSES, SCHEMA, TOOLS, asked

from overlay.server import echo


class Colour(StrEnum):
    RED = "red"
    GREEN = "green"


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = Field(ge=1, le=9)


class Dog(BaseModel):
    kind: Literal["dog"]
    weight: float = Field(gt=0, lt=90)


class Node(BaseModel):
    name: str = Field(min_length=1, max_length=12)
    children: list["Node"]
    next: Optional["Node"] = None


class Review(BaseModel):
    summary: str
    colour: Colour
    code: str = Field(pattern=r"^[A-Z]{2}-\d{3}$")
    score: Annotated[int, Field(multiple_of=5, ge=0, le=100)]
    born: date
    id: UUID
    tags: list[str] = Field(min_length=2, max_length=4)
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    tree: Node
    pair: tuple[int, str]
    counts: dict[str, int]
    note: str | None = None


@pytest.fixture
def client():
    """The official client, strict, with the echo in the place of the network."""

    def answer(request):
        reply = echo({"url": request.url.path, "body": json.loads(request.content)})
        status, body = reply if isinstance(reply, tuple) else (200, reply)
        return httpx2.Response(status, json=body)

    with openai.OpenAI(
        api_key="any",
        base_url="http://echo.invalid/v1",
        max_retries=0,
        http_client=openai.DefaultHttpxClient(transport=httpx2.MockTransport(answer)),
        _strict_response_validation=True,
    ) as client:
        yield client


def test_the_official_client_parses_a_chat_into_a_model(client):
    answer = client.chat.completions.parse(
        model="m", messages=[{"role": "user", "content": "who?"}], response_format=Review
    )
    review = answer.choices[0].message.parsed
    assert isinstance(review, Review)
    assert review.summary == "echo: summary: who?"
    assert review.note == "echo: note: who?"


def test_the_official_client_parses_a_response_into_a_model(client):
    answer = client.responses.parse(model="m", input="who?", text_format=Review)
    assert isinstance(answer.output_parsed, Review)
    assert answer.output_parsed.tags[0].startswith("echo: tags")


def test_the_official_client_parses_a_call_into_a_model(client):
    tool = openai.pydantic_function_tool(Review)
    answer = client.chat.completions.parse(
        model="m", messages=[{"role": "user", "content": "who?"}], tools=[tool], tool_choice="required"
    )
    (call,) = answer.choices[0].message.tool_calls
    assert isinstance(call.function.parsed_arguments, Review)


def contents(body):
    return [each["message"]["content"] for each in body["choices"]]


@pytest.mark.parametrize("model", [Review, Node, Cat, Dog])
@pytest.mark.parametrize("url", [CHAT, RESPONSES])
def test_a_schema_without_strictness_is_filled_as_well(url, model):
    schema = model.model_json_schema()
    if url == CHAT:
        (text,) = contents(
            asked(CHAT, response_format={"type": "json_schema", "json_schema": {"schema": schema}})
        )
    else:
        body = asked(RESPONSES, text={"format": {"type": "json_schema", "name": "n", "schema": schema}})
        text = body["output"][0]["content"][0]["text"]
    Draft202012Validator(schema).validate(json.loads(text))
    model.model_validate_json(text)


def test_the_same_request_has_the_same_data_and_another_one_other_data():
    def texts(question):
        messages = [{"role": "user", "content": question}]
        return contents(asked(CHAT, response_format=FORMAT, messages=messages, n=3))

    first, second = texts("one"), texts("two")
    assert first == texts("one")
    assert len({*first, *second}) == 6
    assert {json.loads(each)["name"] for each in first} == {"echo: name: one"}


def test_a_json_object_is_one():
    (text,) = contents(asked(CHAT, response_format={"type": "json_object"}))
    assert json.loads(text) == {"echo": "echo: who is it?"}
    body = asked(RESPONSES, text={"format": {"type": "json_object"}})
    assert json.loads(body["output"][0]["content"][0]["text"]) == {"echo": "echo: who is it?"}


def test_data_is_cut_at_the_limit_as_any_text_is():
    (choice,) = asked(CHAT, response_format=FORMAT, max_tokens=1)["choices"]
    assert choice["finish_reason"] == "length"
    with pytest.raises(json.JSONDecodeError):
        json.loads(choice["message"]["content"])


CHAT_ALLOWED = {
    "type": "allowed_tools",
    "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "save"}}]},
}
ALLOWED = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "save"}]}


@pytest.mark.parametrize(
    ("choice", "name", "reason"),
    [
        ("required", "note", "tool_calls"),
        (CHAT_ALLOWED, "save", "tool_calls"),
        ({"type": "function", "function": {"name": "save"}}, "save", "stop"),
        ({"type": "function", "function": {"name": "stop"}}, "stop", "stop"),
        ({"type": "custom", "custom": {"name": "note"}}, "note", "stop"),
    ],
)
def test_a_chat_calls_the_tool_that_it_must(choice, name, reason):
    body = asked(CHAT, tools=CHAT_TOOLS, tool_choice=choice)
    (answer,) = body["choices"]
    assert (answer["message"]["content"], answer["finish_reason"]) == (None, reason)
    (call,) = answer["message"]["tool_calls"]
    assert call["id"].startswith("call_")
    check_call(call[call["type"]], name)
    assert body["usage"]["completion_tokens"] > 0


@pytest.mark.parametrize(
    ("choice", "name"),
    [
        ("required", "note"),
        (ALLOWED, "save"),
        ({"type": "function", "name": "save"}, "save"),
        ({"type": "function", "name": "stop"}, "stop"),
        ({"type": "custom", "name": "note"}, "note"),
    ],
)
def test_a_response_calls_the_tool_that_it_must(choice, name):
    (call,) = asked(RESPONSES, tools=TOOLS, tool_choice=choice)["output"]
    assert call["type"] == ("custom_tool_call" if name == "note" else "function_call")
    assert call["call_id"].startswith("call_")
    check_call(call, name)


def check_call(call, name):
    assert call["name"] == name
    if name == "note":
        assert call["input"] == "echo: who is it?"
    elif name == "stop":
        assert call["arguments"] == "{}"
    else:
        Draft202012Validator(SCHEMA).validate(json.loads(call["arguments"]))


def test_the_deprecated_functions_are_called():
    functions = [{"name": "other"}, {"name": "save", "parameters": SCHEMA}]
    (choice,) = asked(CHAT, functions=functions, function_call={"name": "save"})["choices"]
    check_call(choice["message"]["function_call"], "save")
    assert "tool_calls" not in choice["message"]


@pytest.mark.parametrize(
    "choice",
    [
        "auto",
        "none",
        None,
        {"type": "function", "function": {"name": "absent"}},
        {**CHAT_ALLOWED, "allowed_tools": {**CHAT_ALLOWED["allowed_tools"], "mode": "auto"}},
    ],
)
def test_a_tool_that_need_not_be_called_is_not(choice):
    assert contents(asked(CHAT, tools=CHAT_TOOLS, tool_choice=choice)) == ["echo: who is it?"]


@pytest.mark.parametrize(
    "choice", ["auto", {"type": "web_search_preview"}, {"type": "mcp", "server_label": "x"}]
)
def test_hosted_tools_are_not_called(choice):
    (output,) = asked(RESPONSES, tools=TOOLS, tool_choice=choice)["output"]
    assert output["type"] == "message"


def test_a_call_is_cut_at_the_limit():
    choice = {"type": "function", "function": {"name": "save"}}
    (answer,) = asked(CHAT, tools=CHAT_TOOLS, tool_choice=choice, max_tokens=1)["choices"]
    assert answer["finish_reason"] == "length"
    body = asked(
        RESPONSES, tools=TOOLS, tool_choice={"type": "function", "name": "save"}, max_output_tokens=1
    )
    assert (body["status"], body["output"][0]["status"]) == ("incomplete", "incomplete")


@pytest.mark.parametrize(
    ("url", "body", "param", "code"),
    [
        (CHAT, {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": False}}},
         "response_format", None),
        (RESPONSES, {"text": {"format": {"type": "json_schema", "name": "x", "schema": {"type": "strin"}}}},
         "text.format.schema", "invalid_json_schema"),
        (CHAT, {"tools": [{"type": "function", "function": {"name": "x", "parameters": {"type": "string"}}}],
                "tool_choice": "required"},
         "tools[0].function.parameters", "invalid_function_parameters"),
        (RESPONSES, {"tools": [TOOLS[0], {"type": "function", "name": "x", "parameters": {"$ref": "#/no"}}],
                     "tool_choice": "required"},
         "tools[1].parameters", "invalid_function_parameters"),
        (CHAT, {"functions": [{"name": "x", "parameters": {"type": "array"}}], "function_call": {"name": "x"}},
         "functions[0].parameters", "invalid_function_parameters"),
    ],
)  # fmt: skip
def test_a_schema_that_nothing_fits_is_refused(url, body, param, code):
    status, refusal = echo({"url": url, "body": {"model": "m", "messages": [], "input": "x", **body}})
    error = refusal["error"]
    assert (status, error["type"], error["param"], error["code"]) == (
        400,
        "invalid_request_error",
        param,
        code,
    )
    assert error["message"].startswith("Invalid schema for ")
    assert "'x'" in error["message"]
