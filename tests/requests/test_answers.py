"""Types of answers become schemas of the strict subset, and the same types read the answers."""

import datetime as dt
import decimal
import enum
import json
import uuid
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

import jsonschema
import msgspec
import pydantic
import pytest
from hypothesis import HealthCheck, assume, given, settings, strategies as st
from support import answer_types as types
from support.answer_lines import answer as answer_line, chat
from support.answer_types import ALL, OPEN_TO_ANY_VALUE, Review

from overlay import Client, ConfigurationError, Request, Result
from overlay.requests.answers import answer_schema
from overlay.requests.strict_subset import slips

names = pytest.mark.parametrize("answer", ALL, ids=lambda each: getattr(each, "__name__", str(each)))


def objects(schema):
    """Every object in a schema."""
    if isinstance(schema, list):
        for part in schema:
            yield from objects(part)
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield schema
        for part in schema.values():
            yield from objects(part)


@names
def test_a_type_becomes_a_schema_that_the_service_takes(answer):
    schema = answer_schema(answer).schema
    assert not list(slips(schema))
    jsonschema.Draft202012Validator.check_schema(schema)
    found = list(objects(schema))
    assert found
    for each in found:
        assert each["required"] == list(each["properties"])
        assert each["additionalProperties"] is False
        assert not any("default" in part for part in each["properties"].values())


def test_there_are_more_than_forty():
    assert len({id(each) for each in ALL}) == len(ALL) >= 40


def encoded(value):
    if isinstance(value, pydantic.BaseModel):
        return value.model_dump_json(by_alias=True)
    return msgspec.json.encode(value, enc_hook=lambda model: json.loads(model.model_dump_json())).decode()


def answered(text):
    return Result(answer_line(body=chat(text)) + b"\n")


def holds(answer, value):
    """An answer of that value is what the schema asks for, and reads as the same value."""
    text = encoded(value)
    assert answered(text).parse(answer) == value


@pytest.mark.parametrize("answer", OPEN_TO_ANY_VALUE, ids=lambda each: each.__name__)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(data=st.data())
def test_an_answer_reads_as_what_was_written(answer, data):
    value = data.draw(st.from_type(answer))
    assume(not any(word in repr(value) for word in ("nan", "inf")))  # JSON has neither
    holds(answer, value)


def test_so_do_those_with_bounds():
    number = uuid.UUID(int=7)
    holds(types.Odd, types.Odd(number, decimal.Decimal("1.50"), b"\x00\xff"))
    holds(types.Constrained, types.Constrained(5, "abc", ["a"]))
    holds(types.HoldsPairs, types.HoldsPairs(types.Pair(1, 2), types.Pair("a", "b")))
    holds(types.Pair[int], types.Pair(1, 2))
    moment = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
    holds(
        types.ModelDates,
        types.ModelDates(when=moment, day=moment.date(), id=number, price=decimal.Decimal("1.5")),
    )


def test_what_an_answer_is_to_be_is_said_where_the_subset_has_no_word_for_it():
    stars = answer_schema(types.Constrained).schema["properties"]["stars"]
    assert stars["description"] == "How many stars (at least 1; at most 5)"
    assert answer_schema(Review).schema["description"] == "A review of a product."


class Tuples(msgspec.Struct):
    place: tuple[int, str]


class Names(msgspec.Struct):
    counts: dict[str, int]


class Anything(pydantic.BaseModel):
    a: Any


class Loose(TypedDict):
    a: dict


@dataclass
class Empty:
    pass


@dataclass
class Nowhere:
    a: "NoSuchType"  # noqa: F821 - that it is not there is the point


class Complex(msgspec.Struct):
    a: complex


Many = enum.Enum("Many", {f"a{number}": f"a{number}" for number in range(1001)})


class TooMany(msgspec.Struct):
    a: Many


def nested(levels):
    found = Review
    for level in range(levels):
        found = msgspec.defstruct(f"Level{level}", [("inner", found)])
    return found


def in_itself():
    return {"$ref": "#/$defs/X", "$defs": {"X": {"$ref": "#/$defs/X"}}}


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (int, "an answer must be an object with fields, and int is none"),
        (list[Review], "must be an object"),
        (Literal["a"], "must be an object"),
        (None, "must be an object"),
        (Review | types.Scalars, "cannot be the type of an answer"),
        (Tuples, r"Tuples\.place .*use a class with fields"),
        (Names, r"Names\.counts .*list of name and value"),
        (Anything, r"Anything\.a .*give it a type"),
        (Loose, r"Loose\.a "),
        (Empty, "has no fields"),
        (Nowhere, "cannot be found"),
        (Complex, "Complex cannot be the type of an answer"),
        (TooMany, "1,001 enum values"),
        (nested(12), "nested more than 10 deep"),
        ({"type": "array"}, "must be an object"),
        ({}, "must be an object"),
        (in_itself(), "refers to itself"),
        ({"$ref": "#/$defs/X"}, "leads nowhere"),
        ({"type": "object", "properties": {"a": {"not": {}}}}, r'answer\.a .*"not" is outside'),
        ({"type": "object", "properties": {"a": {"type": "strin"}}}, r"answer\.a "),
        ({"type": "object", "properties": {"a": {"enum": []}}}, "no value that it may be"),
        ({"type": "object", "properties": ["a"]}, "answer"),
        (3, "."),
        ("Review", "."),
        (len, "."),
    ],
)
def test_what_the_subset_cannot_hold_is_refused_by_name_and_place(answer, told):
    with pytest.raises(ConfigurationError, match=told):
        answer_schema(answer)


def test_a_schema_of_ones_own_is_rewritten_too():
    found = answer_schema({"type": "object", "properties": {"a": {"type": "string", "default": "x"}}})
    assert found.named() == {
        "name": "answer",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"a": {"type": "string"}},
            "required": ["a"],
            "additionalProperties": False,
        },
    }


# Requests that are written for you.


def test_requests_of_each_endpoint():
    chat = Request.chat("a", model="m", prompt="hi", system="be short", temperature=0)
    assert chat.body == {
        "model": "m",
        "messages": [{"role": "system", "content": "be short"}, {"role": "user", "content": "hi"}],
        "temperature": 0,
    }
    response = Request.response("b", model="m", prompt="hi", system="be short", answer=Review)
    assert (response.url, response.body["instructions"]) == ("/v1/responses", "be short")
    assert response.body["text"]["format"]["schema"] == answer_schema(Review).schema
    embedding = Request.embedding("c", model="m", input=["x", "y"], dimensions=8)
    assert (embedding.url, embedding.body["dimensions"]) == ("/v1/embeddings", 8)
    moderation = Request.moderation("d", model="m", input="x")
    assert (moderation.url, moderation.body) == ("/v1/moderations", {"model": "m", "input": "x"})


def test_images_by_path_address_and_content(tmp_path):
    png = b"\x89PNG\r\n\x1a\n" + b"0" * 10
    (tmp_path / "a.png").write_bytes(png)
    request = Request.chat(
        "a", model="m", prompt="what?", images=[tmp_path / "a.png", "https://example.com/b.jpg", png]
    )
    _, *images = request.body["messages"][0]["content"]
    urls = [each["image_url"]["url"] for each in images]
    assert urls[0] == urls[2]
    assert urls[0].startswith("data:image/png;base64,")
    assert urls[1] == "https://example.com/b.jpg"


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "give prompt= or messages="),
        ({"prompt": "a", "messages": []}, "one of the two"),
        ({"messages": [], "images": ["x"]}, "images= go with prompt="),
        ({"prompt": "a", "images": ["nowhere.png"]}, "cannot be read"),
        ({"prompt": "a", "images": [b"no picture"]}, "no PNG"),
        ({"prompt": "a", "answer": Review, "response_format": {}}, "response_format= is given twice"),
    ],
)
def test_what_cannot_be_asked_is_refused(fields, told):
    with pytest.raises(ConfigurationError, match=told):
        Request.chat("a", model="m", **fields)


def test_a_job_of_typed_requests(service, tmp_path):
    """The embedded service writes what the schema asks for."""
    answers = [types.Nested, types.Enums, types.Optionals, types.AttrsNested, types.ModelPets]
    requests = [
        make(f"{make.__name__}-{number}", model="m", prompt="hi", answer=answer)
        for number, answer in enumerate(answers)
        for make in (Request.chat, Request.response)
    ]
    with Client(token="t", base_url=service.base_url, home=tmp_path) as client:
        for result in client.jobs.run(requests):
            answer = answers[int(result.custom_id.rpartition("-")[2])]
            assert isinstance(result.parse(answer), answer)
