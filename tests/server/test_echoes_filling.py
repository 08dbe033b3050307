"""Data that the echo makes up fits the schema, for any schema that has such data."""

import json
import time

import jsonschema_rs
import openai.types.chat
import openai.types.responses
import pytest
from hypothesis import given, settings, strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel
from support.schemas_with_data import schemas

from overlay.server import echo
from overlay.server.answers.echoes.filling.documents import UnfillableError
from overlay.server.answers.echoes.filling.filler import fill
from overlay.server.answers.echoes.filling.formats import FORMATS


def check(schema, value):
    """By two validators that have nothing in common, one of them with formats."""
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(value)
    jsonschema_rs.validator_for(schema, validate_formats=True).validate(value)


def filled(schema, asked="who is it?", seed=0):
    value = fill(schema, asked=asked, seed=seed)
    check(schema, value)
    assert json.loads(json.dumps(value, allow_nan=False)) == value
    assert fill(schema, asked=asked, seed=seed) == value
    return value


@settings(max_examples=200, deadline=None)
@given(schemas(), st.text(max_size=10), st.integers(0, 1000))
def test_any_schema_that_has_data_is_filled(schema, asked, seed):
    filled(schema, asked, seed)


NODE = {
    "type": "object",
    "properties": {
        "value": {"type": "string"},
        "left": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
        "right": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
    },
    "required": ["value", "left", "right"],
    "additionalProperties": False,
}


def language(kinds):
    """Kinds of expressions, each made of three of any kind, but for one that ends: a tree with room to grow."""
    any_kind = {"anyOf": [{"$ref": f"#/$defs/k{number}"} for number in range(kinds)]}
    made_of = {"type": "object", "required": ["a", "b", "c"], "properties": dict.fromkeys("abc", any_kind)}
    return {
        "$defs": {
            **{f"k{number}": made_of for number in range(kinds - 1)},
            f"k{kinds - 1}": {"type": "integer"},
        },
        **any_kind,
    }


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({}, "echo: hi"),
        (True, "echo: hi"),
        ({"type": ["null", "string"]}, "echo: hi"),
        ({"type": "object"}, {"echo": "echo: hi"}),
        ({"type": "object", "properties": {}}, {}),
        ({"type": "object", "properties": {"a": {"type": "string"}}}, {"a": "echo: a: hi"}),
        ({"type": "object", "additionalProperties": False}, {}),
        ({"type": "object", "additionalProperties": {"type": "null"}}, {"echo": None}),
        ({"type": "array", "items": {"type": "string"}}, ["echo: hi", "echo: hi"]),
        ({"type": "array", "items": {"type": "string"}, "uniqueItems": True}, ["echo: hi", "echo: hi 2"]),
        ({"type": "array", "maxItems": 0}, []),
        ({"type": "string", "maxLength": 6}, "echo:"),
        ({"type": "string", "minLength": 12}, "echo: hi ech"),
        ({"type": "string", "pattern": "i"}, "echo: hi"),
        ({"type": "string", "pattern": "^[a-z]{4}$"}, "echo"),
        ({"const": {"a": 1}}, {"a": 1}),
        ({"anyOf": [{"type": "null"}, {"type": "string"}]}, "echo: hi"),
    ],
)
def test_data_says_what_it_is_as_far_as_it_may(schema, expected):
    assert filled(schema, asked=" hi\n") == expected


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer", "minimum": 3, "maximum": 3},
        {"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 5},
        {"type": "integer", "minimum": 10**30, "multipleOf": 7},
        {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1e-9},
        {"type": "number", "minimum": 0.1, "maximum": 0.1},
        {"type": "number", "multipleOf": 0.01, "minimum": 0.28, "maximum": 0.3},
        {"type": "number", "exclusiveMaximum": -1e300},
        {"allOf": [{"type": "integer", "multipleOf": 4}, {"multipleOf": 6, "minimum": 13}]},
        {"allOf": [{"type": "number"}, {"type": ["integer", "string"]}]},
        {"type": "integer", "not": {"enum": [*range(50)]}},
        {"oneOf": [{"type": "integer"}, {"type": "number"}]},
        {"not": {"type": ["string", "number", "object"]}},
        {"enum": [None, 1, "a", {"b": []}], "type": ["object", "null"]},
        {"type": "object", "required": ["b", "a"], "additionalProperties": {"type": "integer"}},
        {"type": "object", "patternProperties": {"^x-": {"type": "string"}}, "additionalProperties": False,
         "minProperties": 2},
        {"type": "object", "propertyNames": {"pattern": "^[A-Z]{3}$"}, "minProperties": 4},
        {"type": "object", "properties": {"a": {}, "b": {}, "c": {}}, "maxProperties": 2, "required": ["c"]},
        {"type": "object", "properties": {"a": {}, "b": {}}, "dependentRequired": {"a": ["z"]}},
        {"type": "object", "properties": {"a": {}}, "dependentSchemas": {"a": {"required": ["z"]}}},
        {"type": "object", "properties": {"a": False, "b": {"type": "null"}}},
        {"properties": {"kind": {"enum": ["a", "b"]}}, "required": ["kind"], "type": "object",
         "if": {"properties": {"kind": {"const": "a"}}}, "then": {"required": ["x"]}, "else": {"required": ["y"]}},
        {"allOf": [{"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
                   {"properties": {"a": {"maxLength": 2}, "b": {"const": 1}}, "required": ["b"]}]},
        {"type": "array", "prefixItems": [{"const": 1}, {"type": "string"}], "items": False, "minItems": 2},
        {"type": "array", "prefixItems": [{"const": 1}], "items": {"type": "null"}, "minItems": 4},
        {"type": "array", "contains": {"const": 5}, "minContains": 2, "maxContains": 2, "maxItems": 3},
        {"type": "array", "items": {"enum": ["a", "b", "c"]}, "minItems": 3, "uniqueItems": True},
        {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"],
                                    "additionalProperties": False}, "minItems": 2, "uniqueItems": True},
        {"type": "array", "items": {"type": "integer"}, "minItems": 50, "uniqueItems": True},
        {"$defs": {"a/b~c d": {"type": "string"}}, "$ref": "#/$defs/a~1b~0c%20d"},
        {"$defs": {"x": {"$anchor": "here", "type": "integer"}}, "$ref": "#here", "minimum": 40},
        {"$defs": {"x": {"$id": "https://x.example/y", "type": "boolean"}}, "$ref": "https://x.example/y"},
        {"$defs": {"node": NODE}, "$ref": "#/$defs/node"},
        {"type": "object", "properties": {"me": {"$ref": "#"}, "mine": {"type": "array", "items": {"$ref": "#"}}}},
        {"$defs": {"endless": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/endless"}}},
         "type": "object", "properties": {"a": {"$ref": "#/$defs/endless"}, "b": {"type": "string"}}},
        language(12),
    ],
)  # fmt: skip
@pytest.mark.parametrize("seed", [0, 1, 7])
def test_every_keyword_is_heeded(schema, seed):
    began = time.process_time()
    value = filled(schema, seed=seed)
    assert time.process_time() - began < 2
    assert len(json.dumps(value)) < 20_000


@pytest.mark.parametrize(
    "pattern",
    [
        r"^\d{3}-\d{4}$", r"^[A-Z]{2}\d+$", r"^(\+\d{1,3} )?\(?\d{3}\)?$", r"^[^@\s]+@[^@\s]+\.[a-z]{2,}$",
        r"^#[0-9a-fA-F]{6}$", r"^(?:red|green|blue)$", r"^v?\d+\.\d+\.\d+(?:-[\w.]+)?$",
        r"^[a-z0-9]+(?:-[a-z0-9]+)*$",
        r"^(?=.*[A-Z])(?=.*\d).{8,}$", r"^(?!foo)[a-z]{3}$", r"^\d{4}-(0[1-9]|1[0-2])-\d{2}T$", r"^\$\d+\.\d{2}$",
        r"^(?<year>\d{4})$", r"^[\w.-]+\/[\w.-]+$", r"^[-+]?[0-9]*\.?[0-9]+$", r"\bcat\b", r"^.{5}$", r"^$",
        r"^\u0041\x42$", r"^[\u4e00-\u9fff]{2}$", r"^[\]\-^a]{9}$", r"^a|b$", r"^x*?y+?$", r"^\S+\s\W\D$",
        r"^(?![eE])[a-zA-Z]+$",
    ],
)  # fmt: skip
def test_patterns_are_matched(pattern):
    schema = {"type": "string", "pattern": pattern}
    validator = jsonschema_rs.validator_for(
        schema
    )  # which reads patterns as ECMAScript does, named groups too
    for seed in range(5):
        validator.validate(fill(schema, asked="who is it?", seed=seed))


@pytest.mark.parametrize("name", FORMATS)
def test_strings_have_the_format(name):
    values = {filled({"type": "string", "format": name}, seed=seed) for seed in range(40)}
    assert len(values) > 20
    assert all(FORMATS[name].fits(each) for each in values)
    two = {"type": "array", "items": {"type": "string", "format": name}, "minItems": 2, "uniqueItems": True}
    filled(two)
    assert not FORMATS[name].fits("no such \\ thing (")


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (False, "fits it"),
        (3, "fits it"),
        ({"type": "string", "minLength": 2, "maxLength": 1}, "fits it"),
        ({"type": "object", "required": ["a"], "properties": {"a": False}}, "fits a"),
        ({"type": "object", "required": ["a"], "properties": {"a": {"type": "array", "items": {"enum": []},
          "minItems": 1}}}, r"fits a\[0\]"),
        ({"$ref": "#/$defs/none"}, "'#/\\$defs/none' leads nowhere"),
        ({"$ref": "https://elsewhere.example"}, "leads nowhere"),
        ({"$ref": "#"}, "fits it"),
        ({"type": "object", "required": ["a"], "properties": {"a": {"$ref": "#"}}}, "fits a"),
        ({"type": "strin"}, "no type 'strin'"),
        ({"type": "string", "minLength": "x"}, "not valid"),
        ({"type": "integer", "multipleOf": 0}, "not valid"),
        ({"type": "integer", "multipleOf": "x"}, "not valid"),
        ({"type": "integer", "maximum": {}}, "not valid"),
        ({"type": "string", "pattern": "^((a{9000}){9000}){9000}b{9}$"}, "fits it"),
        ({"type": "string", "pattern": r"^(a)\1$"}, "fits it"),
        ({"type": "string", "pattern": "("}, "fits it"),
        ({"type": "string", "pattern": "^((a{999}){999}){999}$"}, "fits it"),
        ({"type": "array", "minItems": 10**9}, "20,000 tries"),
        ({"type": "string", "minLength": 10**9}, "fits it"),
    ],
)  # fmt: skip
def test_what_nothing_fits_is_said_to_be_so(schema, reason):
    with pytest.raises(UnfillableError, match=reason):
        fill(schema, asked="x", seed=0)


def test_the_seed_decides_between_values_that_fit_alike():
    schema = {
        "type": "array",
        "prefixItems": [{"enum": [*range(9)]}, {"type": "boolean"}, {"type": "number"}],
    }
    assert len({json.dumps(filled(schema, seed=seed)) for seed in range(50)}) > 30


def test_a_circle_of_references_is_left():
    """Of which the validators, other than the echo, never find the end."""
    loop = {"anyOf": [{"$ref": "#/$defs/loop"}, {"type": "integer"}]}
    assert isinstance(fill({"$defs": {"loop": loop}, "$ref": "#/$defs/loop"}, asked="x", seed=0), int)


OFFICIAL = {
    each.__name__: each
    for module in (openai.types.chat, openai.types, openai.types.responses)
    for each in vars(module).values()
    if isinstance(each, type) and issubclass(each, BaseModel)
}


def test_schemas_as_they_are_in_the_wild_are_filled():
    """Those of the official client's own types: some are recursive, some have dozens of alternatives."""
    assert len(OFFICIAL) > 200
    for name, model in OFFICIAL.items():
        schema = model.model_json_schema()
        value = fill(schema, asked="who?", seed=len(name))
        Draft202012Validator(schema).validate(value)
        model.model_validate(value)


@pytest.mark.parametrize(
    "pattern", ["(.*)*Q{3}$", "(a|a)+$", "^(([a-z])+.)+[A-Z]([a-z])+$", ".*.*.*.*=x", "(?:x{1,9}){1,9}y$"]
)
def test_a_pattern_that_a_search_gets_lost_in_holds_nothing_up(pattern):
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": "a" * 5_000}],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "s", "schema": {"type": "string", "pattern": pattern}},
        },
    }
    answer = echo(
        {"url": "/v1/chat/completions", "body": body}
    )  # in moments: else the test runs into its timeout
    assert answer
