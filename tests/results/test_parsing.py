"""A model's text as the caller's own type."""

import dataclasses
import datetime as dt
from typing import TypedDict

import attrs
import msgspec
import pydantic
import pytest
from support.answer_lines import answer, chat, failure

from overlay.errors import ResultError
from overlay.results.result import Result


@dataclasses.dataclass
class Dataclass:
    x: int


@attrs.define
class Attrs:
    x: int


class Typed(TypedDict):
    x: int


class Struct(msgspec.Struct):
    x: int


class Model(pydantic.BaseModel):
    x: int


@dataclasses.dataclass
class Nested:
    inner: list[Model]


def said(text):
    return Result(answer("a", chat(text)))


@pytest.mark.parametrize("type_", [Dataclass, Attrs, Typed, Struct, Model])
@pytest.mark.parametrize(
    "text", ['{"x": 7}', ' {"x":7}\n', '```json\n{"x": 7}\n```', '\n```\r\n{"x": 7}\r\n```\n']
)
def test_parse(type_, text):
    value = said(text).parse(type_)
    assert value == ({"x": 7} if type_ is Typed else type_(x=7))
    assert isinstance(value, dict if type_ is Typed else type_)


def test_parse_other_types():
    assert said("[1, 2]").parse(list[int]) == [1, 2]
    assert said('{"inner": [{"x": 1}]}').parse(Nested) == Nested([Model(x=1)])


class Strict(pydantic.BaseModel, strict=True):
    day: dt.date


def test_parse_asks_a_strict_model_as_json_is_asked():
    assert said('{"day": "2026-11-22"}').parse(Strict).day == dt.date(2026, 11, 22)


@pytest.mark.parametrize("type_", [Dataclass, Attrs, Typed, Struct, Model, Nested, list[int]])
@pytest.mark.parametrize(
    "text", ["{}", "not json", '{"x": "seven"}', "[" * 100_000, '{"x": 1} tail', "```\nx\n```"]
)
def test_parse_tells_what_does_not_fit(type_, text):
    with pytest.raises(ResultError, match=r"^the answer is not a valid ") as caught:
        said(text).parse(type_)
    assert (caught.value.custom_id, caught.value.code) == ("a", "unexpected_text")
    assert caught.value.__cause__ is not None
    assert caught.value.__notes__ == ["of request 'a'"]


def test_parse_of_no_text_and_of_a_failure():
    with pytest.raises(ResultError, match="no text") as caught:
        said(None).parse(Model)
    assert caught.value.code == "no_text"
    with pytest.raises(ResultError, match="slow down"):
        Result(failure()).parse(Model)


def test_parse_refuses_a_type_that_json_cannot_become():
    class Plain:
        pass

    with pytest.raises(NotImplementedError, match="Plain"):
        said("{}").parse(Plain)


@pytest.mark.parametrize("text", ['{"x": "no number"}', "hello", "[" * 5000])
@pytest.mark.parametrize("type_", [Attrs | None, Attrs | list[int], list[Attrs], int | None, dict[str, int]])
def test_a_type_without_a_name_of_its_own_is_named_all_the_same(type_, text):
    with pytest.raises(ResultError, match="not a valid") as caught:
        said(text).parse(type_)
    assert caught.value.code == "unexpected_text"


def test_none_is_a_value_of_a_type_that_may_be_none():
    assert said("null").parse(Attrs | None) is None
    assert said('{"x": 1}').parse(Attrs | None) == Attrs(1)
