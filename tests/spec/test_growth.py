"""New fields, values and shapes reach generated code without a warning, and it reads whatever services send."""

import importlib
import sys

import attrs
import pytest
from support.spec_documents import batch, document, encoded, query, ref

from tools import generate
from tools.spec import convert
from tools.upstream.canonical import schemas_of
from tools.upstream.decoding import decode
from tools.upstream.promises import Promises
from tools.upstream.writing import dump


def grown():
    """A document whose batch has a field of every shape."""
    upstream = document()
    schemas = upstream["components"]["schemas"]
    for kind in ("person", "robot"):
        schemas[kind.title()] = {
            "type": "object",
            "required": ["kind"],
            "properties": {"kind": {"type": "string", "const": kind}, f"{kind}_name": {"type": "string"}},
        }
    # Names that generated modules need for themselves, or that another schema has by its place.
    schemas["File"] = {"type": "object", "properties": {"a": {"type": "string"}}}
    schemas["BatchErrors"] = {"type": "object", "properties": {"b": {"type": "string"}}}
    schemas["Tree"] = {"properties": {"children": {"type": "array", "items": ref("Tree")}}}
    schemas["Loop"] = {"anyOf": [ref("Loop"), {"type": "null"}]}
    batch(upstream).update(
        brand_new_field={"type": "string"},
        priority={"type": "string", "enum": ["low", "high"], "default": "low"},
        level={"type": "integer", "enum": [1, 2]},
        share={"type": "number", "enum": [0.5, 1]},
        sure={"type": "boolean", "enum": [True]},
        mixed={"enum": ["a", 1, None]},
        model={"anyOf": [{"type": "string"}, {"type": "string", "enum": ["x", "y"]}]},
        tags={"type": "array", "items": {"type": ["string", "null"], "enum": ["a", "b", None]}},
        steps={"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}}}},
        owner={"oneOf": [ref("Person"), ref("Robot")], "discriminator": {"propertyName": "kind"}},
        nested={
            "type": "object",
            "properties": {"deeper": {"type": "object", "properties": {"x": {"const": 1}}}},
        },
        mapping={"type": "object", "additionalProperties": {"type": "integer"}},
        scheduled={"type": "string", "format": "date-time"},
        trace={"type": "string", "format": "uuid"},
        parent={"anyOf": [ref("Batch"), {"type": "null"}]},
        expiry=ref("BatchFileExpirationAfter"),
        file=ref("File"),
        odd=ref("BatchErrors"),
        tree=ref("Tree"),
        loop=ref("Loop"),
        anything={},
        whatever=True,
        listed={"type": "array"},
        either={"type": ["integer", "array"], "items": {"type": "string"}},
        **{"class": {"type": "string"}, "a-b.c": {"type": "string"}, "1st": {"type": "string"}},
    )
    upstream["paths"]["/batches"]["get"]["parameters"] += [
        query("status", type="array", items={"type": "string", "enum": ["a"]}),
        query("created[gt]", type="integer"),
        {"name": "X-Beta", "in": "header", "schema": {"type": "string"}},
    ]
    upstream["paths"]["/batches"]["post"]["responses"]["202"] = {"description": "Later."}
    return upstream


@pytest.fixture(scope="module")
def present():
    return convert(encoded(document()), {}, Promises())


@pytest.fixture(scope="module")
def client(tmp_path_factory, present):
    """The models generated from the grown document."""
    folder = tmp_path_factory.mktemp("grown")
    (folder / "generator-config.yml").write_bytes((generate.PROJECT / "generator-config.yml").read_bytes())
    (folder / "tools").mkdir()
    (folder / "tools" / "templates").symlink_to(generate.PROJECT / "tools" / "templates")
    (folder / "openapi.yaml").write_text(dump(convert(encoded(grown()), present, Promises())))
    # Fails on a warning.
    generate.generate(folder / "grown_client", project=folder)
    sys.path.insert(0, str(folder))
    yield importlib.import_module("grown_client.models")
    sys.path.remove(str(folder))


def test_what_was_there_keeps_its_name(client, present):
    before = {"BatchErrors", "BatchError", "BatchStatus", "BatchRequestCounts", "BatchFileExpirationAfter"}
    assert before <= schemas_of(present).keys() & set(client.__all__)
    assert "data" in attrs.fields_dict(client.BatchErrors)
    assert attrs.fields_dict(client.BatchOdd).keys() == {"b", "additional_properties"}
    assert attrs.fields_dict(client.BatchFile).keys() == {"a", "additional_properties"}


def test_a_new_field_is_typed(client):
    fields = attrs.fields_dict(client.Batch)
    assert fields["brand_new_field"].type == "str | Unset"
    assert fields["priority"].type == "BatchPriority | str | Unset"
    assert fields["steps"].type == "list[BatchStepsItem] | Unset"
    assert fields["class_"].type == "str | Unset"
    assert fields["priority"].default is None


def test_it_reads_every_shape(client):
    body = {
        "id": "batch_1",
        "brand_new_field": "new",
        "priority": "urgent",
        "level": 3,
        "mixed": 1,
        "tags": ["a", "new", None],
        "steps": [{"name": "one", "extra": 1}],
        "nested": {"deeper": {"x": 2}},
        "mapping": {"a": 1},
        "scheduled": "soon",
        "trace": "no uuid",
        "parent": {"id": "batch_0"},
        "expiry": {"anchor": "new", "seconds": 1},
        "tree": {"children": [{"children": []}]},
        "class": "a",
        "a-b.c": "b",
        "never_heard_of": [1],
    }
    read = client.Batch.from_dict(body)
    assert read.to_dict() == body
    assert (read.brand_new_field, read.priority, read.mapping) == ("new", "urgent", {"a": 1})
    assert read.additional_properties == {"never_heard_of": [1]}


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ({"kind": "person", "person_name": "a"}, "Person"),
        ({"kind": "robot", "robot_name": "b"}, "Robot"),
        ({"kind": "new"}, "dict"),
        ("just a name", "str"),
    ],
)
def test_alternatives_are_told_apart_and_a_new_one_is_a_value(client, sent, read):
    parsed = client.Batch.from_dict({"id": "batch_1", "owner": sent})
    assert type(parsed.owner).__name__ == read
    assert parsed.to_dict()["owner"] == sent


def test_it_is_stable(present):
    text = dump(convert(encoded(grown()), present, Promises()))
    assert dump(convert(encoded(grown()), decode(text.encode()), Promises())) == text
