"""Documents of other makers, and additions of one's own: taken where they can be, refused with the true reason."""

import json

import pytest
from support.spec_documents import answer, batch, document, encoded, ref

from tools import spec
from tools.spec import convert
from tools.upstream.canonical import schemas_of
from tools.upstream.local import with_local
from tools.upstream.promises import Promises
from tools.upstream.refusal import Refused
from tools.upstream.writing import ORIGIN, dump


@pytest.fixture(scope="module")
def present():
    return convert(encoded(document()), {}, Promises())


def union(order):
    """A create that takes a file or, as another API does, the requests themselves."""
    upstream = document()
    schemas = upstream["components"]["schemas"]
    schemas["OfFile"] = schemas["CreateBatchRequest"]
    schemas["OfRequests"] = {
        "type": "object",
        "required": ["requests"],
        "properties": {
            "requests": {"type": "array", "items": {"type": "object"}},
            "endpoint": {"type": "string"},
        },
    }
    schemas["CreateBatchRequest"] = {"oneOf": [ref(name) for name in order]}
    return upstream


@pytest.mark.parametrize("order", [("OfFile", "OfRequests"), ("OfRequests", "OfFile")])
def test_of_several_bodies_the_one_of_a_file_is_meant_wherever_it_stands(order, present):
    result = convert(encoded(union(order)), present, Promises())
    create = schemas_of(result)["CreateBatchRequest"]
    assert dump({**result, "info": present["info"]}) == dump(present)
    assert {"type": "string"} in create["properties"]["endpoint"]["anyOf"]  # it stays open


@pytest.mark.parametrize("ours", range(3))
def test_of_several_bodies_of_files_the_nearest_to_ours_is_meant(ours, present):
    """As Portkey's document has it: one for each provider, all of a file."""
    upstream = document()
    schemas = upstream["components"]["schemas"]
    plain = schemas["CreateBatchRequest"]
    more = {"job_name": {"type": "string"}, "model": {"type": "string"}}
    demanding = {
        **plain,
        "properties": {**plain["properties"], **more},
        "required": [*plain["required"], "job_name"],
    }
    larger = {**plain, "properties": {**plain["properties"], **more}}
    forms = [demanding, larger]
    forms.insert(ours, plain)
    for number, form in enumerate(forms):
        schemas[f"Job{number}"] = form
    schemas["CreateBatchRequest"] = {"oneOf": [ref(f"Job{number}") for number in range(3)]}
    result = convert(encoded(upstream), present, Promises())
    assert dump({**result, "info": present["info"]}) == dump(present)


def without_input(upstream):
    create = upstream["components"]["schemas"]["CreateBatchRequest"]
    del create["properties"]["input_file_id"]
    create["required"] = ["endpoint"]


def bare_list(upstream):
    upstream["paths"]["/batches"]["get"]["responses"] = answer({"type": "array", "items": ref("Batch")})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (without_input, "takes no input_file_id in the document: it is another API"),
        (bare_list, "answers with a bare array in the document"),
    ],
)
def test_what_is_another_api_is_refused_for_that(change, reason, present):
    upstream = document()
    change(upstream)
    with pytest.raises(Refused, match=reason):
        convert(encoded(upstream), present, Promises())


def local(*actions):
    return {"overlay": "1.0.0", "actions": list(actions)}


PRIORITY = {
    "target": "$.components.schemas.CreateBatchRequest.properties",
    "update": {"priority": {"type": "integer", "description": "How soon."}},
}


def test_additions_of_ones_own_survive_the_next_document(present, tmp_path, capsys):
    output, additions = tmp_path / "openapi.yaml", tmp_path / "openapi.local.yaml"
    output.write_text(dump(present))
    additions.write_text(json.dumps(local(PRIORITY)))
    (tmp_path / "upstream.json").write_bytes(encoded(document()))
    command = [str(tmp_path / "upstream.json"), "--output", str(output), "--local", str(additions)]
    assert spec.main(command) == spec.CHANGED
    assert "description: How soon." in output.read_text()
    assert spec.main(command) == spec.UNCHANGED
    upstream = document()
    batch(upstream)["brand_new_field"] = {"type": "string"}
    (tmp_path / "upstream.json").write_bytes(encoded(upstream))
    assert spec.main(command) == spec.CHANGED
    assert "description: How soon." in output.read_text()
    assert "upstream.json" in output.read_text()
    # Its own output is a document, too: so an addition needs no new one.
    command[0] = str(output)
    assert spec.main(command) == spec.UNCHANGED


def test_where_it_is_from_is_written_down(present, tmp_path, capsys):
    output, source = tmp_path / "openapi.yaml", tmp_path / "theirs.json"
    output.write_text(dump(present))
    upstream = document()
    batch(upstream)["one"] = {"type": "string"}
    source.write_bytes(encoded(upstream))
    spec.main([str(source), "--output", str(output)])
    first = output.read_text()
    assert f"{ORIGIN}:\n  address: theirs.json\n  date: " in first
    batch(upstream)["two"] = {"type": "string"}
    source.write_bytes(encoded(upstream))
    spec.main([str(source), "--output", str(output)])
    assert output.read_text().partition("sha256")[2] != first.partition("sha256")[2]


def test_actions_update_and_remove(present):
    changed = with_local(
        present,
        local(
            PRIORITY,
            {"target": "$.paths['/batches'].post.tags", "remove": True},
            {"target": '$.components.schemas["Batch"]', "update": {"required": ["status"]}},
        ),
    )
    assert "tags" not in changed["paths"]["/batches"]["post"]
    assert changed["components"]["schemas"]["Batch"]["required"] == ["id", "status"]
    assert "priority" not in present["components"]["schemas"]["CreateBatchRequest"]["properties"]


@pytest.mark.parametrize(
    ("overlay", "reason"),
    [
        ({}, "overlay: 1.0.0"),
        ({"overlay": "1.0.0", "actions": {}}, "not a list"),
        (local({"update": {}}), "action 1: it has no target"),
        (local({"target": "$.paths"}), "neither `update`"),
        (local({"target": "$.nowhere", "update": {"a": 1}}), "no mapping at its target, nowhere"),
        (local({"target": "$.paths[*]", "update": {"a": 1}}), "not made of names"),
        (local({"target": "$.paths.gone", "remove": True}), "nothing at"),
        (local({"target": "paths", "update": {"a": 1}}), "not made of names"),
    ],
)
def test_slips_in_additions_are_said(overlay, reason, present):
    with pytest.raises(Refused, match=r"openapi\.local\.yaml") as caught:
        with_local(present, overlay)
    assert reason in str(caught.value)
