"""Documents changed at random: refused in one sentence, or taken, written, and reported exactly."""

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings, strategies as st
from support.spec_documents import document, ref

from tools import generate
from tools.spec import convert
from tools.upstream.changes import compare
from tools.upstream.decoding import decode
from tools.upstream.promises import Promises
from tools.upstream.refusal import Refused
from tools.upstream.writing import dump

PROJECT = Path(__file__).resolve().parents[2]
SCHEMAS = (
    "Batch",
    "BatchError",
    "BatchRequestCounts",
    "CreateBatchRequest",
    "OpenAIFile",
    "BatchFileExpirationAfter",
)
UNLUCKY = (
    "d",
    "cls",
    "to_dict",
    "body",
    "<<",
    "08",
    "yes",
    "~",
    "class",
    "id",
    "a b",
    "x\n+ field",
    "\u2028",
    "é",
    "$ref",
)

names = st.sampled_from(UNLUCKY) | st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
values = st.sampled_from(["08", "1e3", "no", "", "ok", "2026-01-01", "a: b", "#", "'", '"', "\\"])
leaves = st.one_of(
    st.sampled_from(["string", "integer", "number", "boolean", "null", "object", "array", "nonsense"]).map(
        lambda kind: {"type": kind}
    ),
    st.sampled_from(SCHEMAS).map(ref),
    st.lists(values, min_size=1, max_size=3).map(lambda found: {"type": "string", "enum": found}),
    st.just({"type": "string", "format": "binary"}),
    st.just({"type": ["string", "null"]}),
    st.just({}),
    st.booleans(),
)
schemas = st.recursive(
    leaves,
    lambda inner: st.one_of(
        inner.map(lambda each: {"type": "array", "items": each}),
        st.lists(inner, min_size=1, max_size=3).map(lambda each: {"anyOf": each}),
        st.lists(inner, min_size=1, max_size=2).map(lambda each: {"oneOf": each, "nullable": True}),
        st.lists(inner, min_size=1, max_size=2).map(lambda each: {"allOf": each}),
        st.dictionaries(names, inner, min_size=1, max_size=3).map(
            lambda each: {"type": "object", "properties": each, "required": list(each)[:1]}
        ),
    ),
    max_leaves=6,
)
additions = st.tuples(st.just("add"), st.sampled_from(SCHEMAS), names, schemas)
removals = st.tuples(st.just("remove"), st.sampled_from(SCHEMAS), st.integers(0, 9), st.none())
changes = st.lists(additions | removals, min_size=1, max_size=4)


def changed(steps):
    upstream = document()
    for what, schema, where, value in steps:
        properties = upstream["components"]["schemas"][schema]["properties"]
        if what == "add":
            properties[where] = value
        elif properties:
            del properties[sorted(properties)[where % len(properties)]]
    return upstream


@pytest.fixture(scope="module")
def present():
    return convert(json.dumps(document()).encode(), {}, Promises())


def taken(data, present):
    """What a document leads to; None if it is refused. Anything else that is raised is a fault."""
    try:
        return convert(data, present, Promises())
    except Refused:
        return None


def fields_of(text):
    """Every field of every schema, by a reader that knows nothing of ours."""
    found = yaml.safe_load(text)["components"]["schemas"]
    return {(name, field) for name, schema in found.items() for field in schema.get("properties", {})}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes)
@example([("add", "Batch", "0\x85", {"type": "string"})])
@example([("add", "Batch", "\u2028x\r", {"type": "string", "enum": ["a\u2029", "\ufeff", "\x7f"]})])
def test_any_change_is_refused_in_a_sentence_or_taken_and_reported_exactly(present, steps):
    data = json.dumps(changed(steps)).encode()
    result = taken(data, present)
    if result is None:
        return
    text = dump(result)
    assert dump(decode(text.encode())) == text
    assert dump(convert(data, result, Promises())) == text, "the same document again changes nothing"
    before, after = fields_of(dump(present)), fields_of(text)
    report = [each for each in compare(present, result, Promises()) if each.kind == "field"]
    assert {each.place for each in report if each.sign == "+"} == {".".join(each) for each in after - before}
    assert {each.place for each in report if each.sign == "-"} == {".".join(each) for each in before - after}
    assert all("\n" not in str(each).partition("\n      BREAKING")[0] for each in report)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes)
def test_what_is_taken_becomes_python_that_runs_or_is_refused(tmp_path_factory, present, steps):
    result = taken(json.dumps(changed(steps)).encode(), present)
    if result is None:
        return
    folder = tmp_path_factory.mktemp("mutated")
    (folder / "openapi.yaml").write_text(dump(result))
    for name in ("generator-config.yml", "tools"):
        (folder / name).symlink_to(PROJECT / name)
    try:
        generate.generate(folder / "generated", project=folder)
    except generate.GenerateError:
        return
    assert (folder / "generated" / "models" / "batch.py").exists()
