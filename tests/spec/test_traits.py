"""One batch section, spelt in every way that documents have spelt it, gives the same openapi.yaml."""

import copy
import json

import pytest
import yaml
from support.spec_documents import (
    JSON,
    answer,
    batch,
    body,
    document,
    encoded,
    operations,
    path_parameter,
    ref,
)

from tools.spec import convert
from tools.upstream.promises import Promises
from tools.upstream.writing import dump

NOTHING = Promises()


def converted(data, present):
    return dump(convert(data, present, NOTHING))


@pytest.fixture(scope="module")
def present():
    """What the plain document gives, with words of our own."""
    result = convert(encoded(document()), {}, NOTHING)
    result["components"]["schemas"]["Batch"]["description"] = "Our words."
    return result


def nullable_keyword(upstream):
    upstream["openapi"] = "3.0.3"
    for schema in batch(upstream).values():
        schema["nullable"] = True


def null_in_any_of(upstream):
    for name, schema in batch(upstream).items():
        batch(upstream)[name] = {"anyOf": [schema, {"type": "null"}], "description": "Theirs."}


def null_in_one_of(upstream):
    for name, schema in batch(upstream).items():
        batch(upstream)[name] = {"oneOf": [{"type": "null"}, schema]}


def null_in_type(upstream):
    for schema in batch(upstream).values():
        if "type" in schema:
            schema["type"] = [schema["type"], "null"]
        if "enum" in schema:
            schema["enum"] = [*schema["enum"], None]


def null_in_required_field(upstream):
    create = upstream["components"]["schemas"]["CreateBatchRequest"]["properties"]
    create["input_file_id"] = {"anyOf": [create["input_file_id"], {"type": "null"}]}


def inline_body(upstream):
    stated = upstream["components"]["schemas"].pop("CreateBatchRequest")
    upstream["paths"]["/batches"]["post"]["requestBody"] = body(stated)


def everything_inline(upstream):
    components = upstream["components"].pop("schemas")

    def inlined(node):
        if isinstance(node, dict):
            if "$ref" in node:
                return inlined(components[node["$ref"].rpartition("/")[2]])
            return {key: inlined(value) for key, value in node.items()}
        return [inlined(item) for item in node] if isinstance(node, list) else node

    upstream["paths"] = inlined(upstream["paths"])


def everything_named(upstream):
    components = upstream["components"]["schemas"]
    for key, name in (
        ("errors", "ErrorListOfABatch"),
        ("status", "StatusOfABatch"),
        ("object", "batch.object"),
    ):
        components[name] = batch(upstream)[key]
        batch(upstream)[key] = ref(name)


def renamed(upstream):
    text = (
        json.dumps(upstream).replace('schemas/Batch"', 'schemas/BatchJob"').replace("BatchError", "Problem")
    )
    changed = json.loads(text.replace("OpenAIFile", "FileObject"))
    changed["components"]["schemas"]["BatchJob"] = changed["components"]["schemas"].pop("Batch")
    upstream.update(changed)


def one_schema_for_two_places(upstream):
    """As if the two kinds of an expiry were merged into one: both of our names stay."""
    components = upstream["components"]["schemas"]
    components["Expiry"] = components.pop("BatchFileExpirationAfter")
    components["CreateBatchRequest"]["properties"]["output_expires_after"] = ref("Expiry")


def reference_beside_words(upstream):
    counts = {"allOf": [ref("BatchRequestCounts")], "description": "Theirs.", "nullable": True}
    batch(upstream)["request_counts"] = counts


def split_by_all_of(upstream):
    counts = upstream["components"]["schemas"]["BatchRequestCounts"]
    failed = {"type": "object", "properties": {"failed": counts["properties"].pop("failed")}}
    upstream["components"]["schemas"]["Counts"] = counts
    upstream["components"]["schemas"]["BatchRequestCounts"] = {"allOf": [ref("Counts"), failed]}


def constants(upstream):
    batch(upstream)["object"] = {"const": "batch"}


def timestamps_as_strings(upstream):
    for name, schema in batch(upstream).items():
        if name.endswith("_at"):
            schema.update({"type": "string", "format": "integer"})


def timestamps_as_dates(upstream):
    batch(upstream)["created_at"] = {"type": "string", "format": "date-time"}


def shared_titles(upstream):
    for schema in upstream["components"]["schemas"].values():
        schema["title"] = "A title"


def refusals_documented(upstream):
    upstream["components"]["responses"] = {"TooMany": {"description": "Slow down."}}
    for operation in operations(upstream):
        operation["responses"]["429"] = {"$ref": "#/components/responses/TooMany"}
        operation["responses"]["4XX"] = answer(ref("BatchError"))["200"]
        operation["responses"]["default"] = answer(ref("BatchError"))["200"]


def prefix(upstream):
    upstream["paths"] = {f"/v1{path}": item for path, item in upstream["paths"].items()}


def other_batches_too(upstream):
    upstream["paths"]["/organization/batches"] = copy.deepcopy(upstream["paths"]["/batches"])
    upstream["paths"]["/stores/{id}/file_batches"] = {"get": {"responses": {}}}


def other_tag(upstream):
    for operation in operations(upstream):
        operation["tags"] = ["Batches (beta)"]


def no_operation_ids(upstream):
    for operation in operations(upstream):
        operation.pop("operationId")


def renamed_path_parameter(upstream):
    item = upstream["paths"].pop("/batches/{batch_id}")
    item["get"]["parameters"] = [path_parameter("id")]
    upstream["paths"]["/batches/{id}/"] = item


def parameters_of_the_path(upstream):
    item = upstream["paths"]["/files/{file_id}"]
    item["parameters"] = [path_parameter("file_id")]
    for method in ("get", "delete"):
        del item[method]["parameters"]


def parts_by_reference(upstream):
    create, listing = upstream["paths"]["/batches"]["post"], upstream["paths"]["/batches"]["get"]
    upstream["components"].update(
        requestBodies={"Create": create["requestBody"]},
        responses={"One": create["responses"]["200"]},
        parameters={"After": listing["parameters"][0]},
        pathItems={"Files": upstream["paths"]["/files"]},
    )
    create["requestBody"] = {"$ref": "#/components/requestBodies/Create"}
    create["responses"]["200"] = {"$ref": "#/components/responses/One"}
    listing["parameters"][0] = {"$ref": "#/components/parameters/After"}
    upstream["paths"]["/files"] = {"$ref": "#/components/pathItems/Files"}


def media_types_with_parameters(upstream):
    response = upstream["paths"]["/batches/{batch_id}"]["get"]["responses"]["200"]
    response["content"] = {f"{JSON}; charset=utf-8": response["content"][JSON]}


def content_called_binary(upstream):
    content = {"application/binary": {"schema": {"type": "string", "format": "binary"}}}
    upstream["paths"]["/files/{file_id}/content"]["get"]["responses"]["200"]["content"] = content
    upload = upstream["components"]["schemas"]["CreateFileRequest"]["properties"]
    upload["file"] = {"type": "string", "contentMediaType": "application/octet-stream"}


def untyped_metadata_class(upstream):
    upstream["components"]["schemas"]["Metadata"]["properties"] = {"team": {"type": "string"}}


def rules_about_fields(upstream):
    upstream["components"]["schemas"]["CreateBatchRequest"]["anyOf"] = [
        {"required": ["metadata"]},
        {"required": []},
    ]


def discriminator_without_choice(upstream):
    upstream["components"]["schemas"]["Batch"]["discriminator"] = {"propertyName": "object"}


@pytest.mark.parametrize(
    "trait",
    [
        nullable_keyword,
        null_in_any_of,
        null_in_one_of,
        null_in_type,
        null_in_required_field,
        inline_body,
        everything_inline,
        everything_named,
        renamed,
        one_schema_for_two_places,
        reference_beside_words,
        split_by_all_of,
        constants,
        timestamps_as_strings,
        timestamps_as_dates,
        shared_titles,
        refusals_documented,
        prefix,
        other_batches_too,
        other_tag,
        no_operation_ids,
        renamed_path_parameter,
        parameters_of_the_path,
        parts_by_reference,
        media_types_with_parameters,
        content_called_binary,
        untyped_metadata_class,
        rules_about_fields,
        discriminator_without_choice,
    ],
)
def test_a_spelling_changes_nothing(trait, present):
    upstream = document()
    trait(upstream)
    assert upstream != document()
    assert converted(encoded(upstream), present) == dump(present)


def test_json_and_yaml_and_any_order_give_the_same(present):
    upstream = document()
    for data in (
        json.dumps(upstream, indent=2, sort_keys=True).encode(),
        yaml.safe_dump(upstream, sort_keys=False).encode(),
        b"\xef\xbb\xbf" + yaml.safe_dump(upstream, sort_keys=True, default_flow_style=None).encode(),
    ):
        assert converted(data, present) == dump(present)


def test_anchor_names_may_be_used_twice_and_keys_need_no_quotes(present):
    upstream = document()
    text = yaml.safe_dump(upstream, sort_keys=False).replace("'200':", "200:")
    example = "x-examples:\n  one: &example {a: 1}\n  two: &example {b: 2}\n  three: *example\n"
    assert converted((text + example).encode(), present) == dump(present)


def test_values_are_those_of_yaml_1_2(present):
    upstream = document()
    batch(upstream)["status"]["enum"] = ["on", "2026-01-01", "12:30:00"]
    text = yaml.safe_dump(upstream).replace("'on'", "on").replace("'2026-01-01'", "2026-01-01")
    result = convert(text.replace("'12:30:00'", "12:30:00").encode(), present, NOTHING)
    assert result["components"]["schemas"]["BatchStatus"]["enum"] == ["12:30:00", "2026-01-01", "on"]


def test_it_is_normalised(present):
    schemas = present["components"]["schemas"]
    assert schemas["Batch"]["required"] == ["id"]
    assert schemas["BatchRequestCounts"]["required"] == []
    assert schemas["CreateBatchRequest"]["required"] == ["endpoint", "input_file_id"]
    assert schemas["Batch"]["properties"]["status"]["anyOf"] == [ref("BatchStatus"), {"type": "string"}]
    assert schemas["CreateBatchRequest"]["properties"]["endpoint"]["anyOf"][1] == {"type": "string"}
    assert schemas["BatchFileExpirationAfter"]["properties"]["anchor"] == ref(
        "BatchFileExpirationAfterAnchor"
    )
    assert schemas["BatchFileExpirationAfter"]["properties"]["seconds"]["minimum"] == 3600
    assert schemas["Batch"]["properties"]["metadata"] == {}
    assert schemas["OpenAIFile"]["properties"]["status"]["deprecated"] is True
    assert "ChatRequest" not in schemas
    download = present["paths"]["/files/{file_id}/content"]["get"]["responses"]["200"]["content"]
    assert download == {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}


def test_no_word_is_theirs(present):
    text = dump(present)
    assert "Our words." in text
    assert "their" not in text.lower()
    assert "example" not in text


def test_our_words_stay_where_their_place_does(present):
    upstream = document()
    everything_named(upstream)
    del batch(upstream)["output_file_id"]
    present = copy.deepcopy(present)
    described = present["components"]["schemas"]["Batch"]["properties"]
    for name, schema in described.items():
        schema["description"] = f"Ours about {name}."
    present["paths"]["/batches"]["post"]["summary"] = "Ours about creating."
    result = convert(encoded(upstream), present, NOTHING)
    stated = result["components"]["schemas"]["Batch"]["properties"]
    assert {name: schema["description"] for name, schema in stated.items()} == {
        name: f"Ours about {name}." for name in described if name != "output_file_id"
    }
    assert result["paths"]["/batches"]["post"]["summary"] == "Ours about creating."


def test_line_schemas_stay_and_take_what_documents_add(present):
    present = copy.deepcopy(present)
    body_of_line = {"description": "Ours."}
    present["components"]["schemas"]["BatchRequestInput"] = {
        "type": "object",
        "properties": {"custom_id": {"type": "string"}, "body": body_of_line},
        "required": ["body", "custom_id"],
    }
    without = convert(encoded(document()), present, NOTHING)
    assert without["components"]["schemas"] == present["components"]["schemas"]
    upstream = document()
    upstream["components"]["schemas"]["BatchRequestInput"] = {
        "type": "object",
        "properties": {"custom_id": {"type": "string"}, "url": {"type": "string"}},
    }
    line = convert(encoded(upstream), present, NOTHING)["components"]["schemas"]["BatchRequestInput"]
    assert line["properties"] == {
        "custom_id": {"type": "string"},
        "body": body_of_line,
        "url": {"type": "string"},
    }
    assert line["required"] == ["body", "custom_id"]
