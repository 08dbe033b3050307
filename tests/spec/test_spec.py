"""`python -m tools.spec`: what it reports, what it writes, and with which code it ends."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.spec_documents import batch, document, encoded, operations, ref

from tools import spec
from tools.spec import convert
from tools.upstream.promises import Promises
from tools.upstream.writing import dump

PROJECT = Path(__file__).resolve().parents[2]

OVERLAY = {
    "models.py": """
        from overlay.generated import models

        class Batch(models.Batch):
            @property
            def ended(self):
                return self.status in {"completed"}
    """,
    "reading.py": """
        from overlay.models import Batch

        def output(batch: Batch):
            return batch.output_file_id
    """,
    "listing.py": """
        from .generated.api.batch import list_batches as operation

        def page(client, cursor):
            return operation.sync(client=client, after=cursor).has_more
    """,
    "create.py": """
        from overlay.generated.models import BatchFileExpirationAfter, CreateBatchRequest

        def request(file, seconds):
            expiry = BatchFileExpirationAfter(anchor="created_at", seconds=seconds)
            return CreateBatchRequest(input_file_id=file, output_expires_after=expiry)
    """,
    "showing.py": """
        from overlay import reading

        def show(batch, other):
            return batch.output_file_id, other.created_at
    """,
    "sharding.py": """
        from overlay.models import Batch
        from overlay.shards import Shard

        def share(batch: Batch, shard: Shard):
            return shard.output_file_id
    """,
    "unrelated.py": """
        def unrelated(answer):
            return answer.output_file_id, answer.has_more
    """,
}


@pytest.fixture
def place(tmp_path):
    """A folder with an openapi.yaml, an overlay built on it, and a document to write."""
    overlay = tmp_path / "overlay"
    overlay.mkdir()
    for name, source in OVERLAY.items():
        (overlay / name).write_text(source.replace("\n        ", "\n"))
    present = convert(encoded(document()), {}, Promises())
    for operation in operations(present):
        operation["summary"] = "Ours."
    for schema in present["components"]["schemas"].values():
        for stated in schema.get("properties", {}).values():
            stated["description"] = "Ours."
    (tmp_path / "openapi.yaml").write_text(dump(present))
    assert run(tmp_path, document())[0] == spec.UNCHANGED
    return tmp_path


def run(place, upstream):
    """Run the command on a document; gives its exit code and the specification that there is then."""
    (place / "upstream.json").write_bytes(upstream if isinstance(upstream, bytes) else encoded(upstream))
    output = place / "openapi.yaml"
    folders = ["--overlay", str(place / "overlay"), "--tests", str(place / "tests")]
    code = spec.main([str(place / "upstream.json"), "--output", str(output), *folders])
    return code, output.read_text()


def changes(capsys):
    """The lines of the report, without what is still to be decided."""
    report, _, _ = capsys.readouterr().out.partition("To be decided, and said again until it is:")
    return report.splitlines()


def test_nothing_new_changes_nothing(place, capsys):
    before = (place / "openapi.yaml").read_bytes()
    assert run(place, document())[0] == spec.UNCHANGED
    assert (place / "openapi.yaml").read_bytes() == before
    assert capsys.readouterr().out.splitlines()[-1] == "nothing has changed"


def test_what_is_new_is_reported_and_written(place, capsys):
    upstream = document()
    batch(upstream)["brand_new_field"] = {"type": "string"}
    batch(upstream)["status"]["enum"].insert(0, "queued")
    create = upstream["components"]["schemas"]["CreateBatchRequest"]["properties"]
    create["endpoint"]["enum"].insert(0, "/v1/videos")
    upstream["paths"]["/batches"]["get"]["parameters"].append(
        {"name": "order", "in": "query", "schema": {"type": "string"}}
    )
    capsys.readouterr()
    assert run(place, upstream)[0] == spec.CHANGED
    assert changes(capsys) == [
        "  + field   Batch.brand_new_field  string",
        "  + value   Batch.status  queued",
        "  + value   CreateBatchRequest.endpoint  /v1/videos",
        "  + param   listBatches.order  string; sent with extra_query={'order': ...}",
        "Without a description in openapi.yaml: Batch.brand_new_field",
    ]
    assert run(place, upstream)[0] == spec.UNCHANGED


def test_what_is_removed_and_unused_is_reported_and_gone(place, capsys):
    upstream = document()
    del batch(upstream)["errors"]
    batch(upstream)["status"]["enum"].remove("validating")
    capsys.readouterr()
    code, text = run(place, upstream)
    assert code == spec.CHANGED
    assert changes(capsys) == [
        "  - field   Batch.errors",
        "  - value   Batch.status  validating",
        "  - field   BatchError.code",
        "  - field   BatchError.line",
        "  - field   BatchErrors.data",
    ]
    assert "BatchError" not in text


def test_what_is_removed_and_used_is_breaking_and_kept(place, capsys):
    upstream = document()
    del batch(upstream)["output_file_id"]
    del upstream["components"]["schemas"]["CreateBatchRequest"]["properties"]["output_expires_after"]
    del upstream["components"]["schemas"]["BatchFileExpirationAfter"]
    del upstream["components"]["schemas"]["ListBatchesResponse"]["properties"]["has_more"]
    del upstream["paths"]["/batches"]["get"]["parameters"][0]
    capsys.readouterr()
    code, text = run(place, upstream)
    assert code == spec.CHANGED
    assert changes(capsys) == [
        "  - field   Batch.output_file_id  kept in openapi.yaml until you decide",
        "      BREAKING: used by overlay/reading.py, overlay/showing.py",
        "  - field   CreateBatchRequest.output_expires_after  kept in openapi.yaml until you decide",
        "      BREAKING: used by overlay/create.py",
        "  - field   ListBatchesResponse.has_more  kept in openapi.yaml until you decide",
        "      BREAKING: used by overlay/listing.py",
        "  - param   listBatches.after  kept in openapi.yaml until you decide",
        "      BREAKING: used by overlay/listing.py",
    ]
    assert text.count("x-removed-upstream: true") == 4
    assert "BatchFileExpirationAfter:" in text
    assert run(place, upstream) == (spec.UNCHANGED, text)
    assert run(place, document())[0] == spec.CHANGED
    assert "  + field   Batch.output_file_id  string" in capsys.readouterr().out
    assert "x-removed-upstream" not in (place / "openapi.yaml").read_text()


def test_what_tests_read_is_promised_too(place, capsys):
    (place / "tests").mkdir()
    (place / "tests" / "test_reading.py").write_text(
        "from overlay.reading import output\n"
        "def test_it(batch, page):\n"
        "    assert batch.errors.data[0].line == page.last_id == {'errors': 'completed_at'}\n"
    )
    upstream = document()
    for name in ("errors", "completed_at"):
        del batch(upstream)[name]
    capsys.readouterr()
    assert run(place, upstream)[0] == spec.CHANGED
    assert changes(capsys) == [
        "  - field   Batch.completed_at",
        "  - field   Batch.errors  kept in openapi.yaml until you decide",
        "      BREAKING: used by tests/test_reading.py",
    ]


def test_a_name_of_our_own_taken_by_a_field_is_breaking(place, capsys):
    upstream = document()
    batch(upstream)["ended"] = {"type": "boolean"}
    capsys.readouterr()
    assert run(place, upstream)[0] == spec.CHANGED
    assert capsys.readouterr().out.splitlines()[:2] == [
        "  + field   Batch.ended  boolean",
        "      BREAKING: overlay/models.py already adds ended to Batch",
    ]


def test_a_type_that_changes_is_breaking_where_it_is_read(place, capsys):
    upstream = document()
    batch(upstream)["output_file_id"] = {"type": "array", "items": {"type": "string"}}
    upstream["components"]["schemas"]["BatchError"]["properties"]["line"] = {"type": "string"}
    capsys.readouterr()
    assert run(place, upstream)[0] == spec.CHANGED
    assert changes(capsys) == [
        "  ~ type    Batch.output_file_id  string → list of string",
        "      BREAKING: used by overlay/reading.py, overlay/showing.py",
        "  ~ type    BatchError.line  integer → string",
    ]


def test_a_model_that_is_imported_stays_though_nothing_has_it_now(place):
    upstream = document()
    create = upstream["components"]["schemas"]["CreateBatchRequest"]["properties"]
    create["output_expires_after"] = {"type": "integer"}
    _, text = run(place, upstream)
    assert "    BatchFileExpirationAfter:\n" in text
    assert run(place, upstream)[0] == spec.UNCHANGED


def test_what_must_be_sent_now_is_breaking(place, capsys):
    upstream = document()
    create = upstream["components"]["schemas"]["CreateBatchRequest"]
    create["properties"]["priority"] = {"type": "string"}
    create["required"] += ["priority", "metadata"]
    capsys.readouterr()
    assert run(place, upstream)[0] == spec.CHANGED
    assert capsys.readouterr().out.splitlines()[:4] == [
        "  ~ field   CreateBatchRequest.metadata  now required",
        "      BREAKING: must now be sent by overlay/create.py",
        "  + field   CreateBatchRequest.priority  string; sent with extra_body={'priority': ...}",
        "      BREAKING: must now be sent by overlay/create.py",
    ]


def test_operations_on_files_are_kept_when_a_document_has_them_elsewhere(place, capsys):
    upstream = document()
    upstream["paths"] = {
        path.replace("/files", "/storage/objects"): item for path, item in upstream["paths"].items()
    }
    before = (place / "openapi.yaml").read_text()
    capsys.readouterr()
    code, text = run(place, upstream)
    assert code == spec.CHANGED
    assert changes(capsys) == [
        f"  - operation {name}  kept in openapi.yaml until you decide"
        for name in ("createFile", "deleteFile", "downloadFile", "listFiles", "retrieveFile")
    ]
    text = re.sub(r"x-upstream:\n(  .*\n)+", "", text)
    assert text.replace("      x-removed-upstream: true\n", "") == before


def test_the_file_keeps_its_mode_and_nothing_is_left_beside_it(place):
    upstream = document()
    batch(upstream)["brand_new_field"] = {"type": "string"}
    (place / "openapi.yaml").chmod(0o640)
    names = sorted(place.iterdir())
    run(place, upstream)
    assert sorted(place.iterdir()) == names
    assert (place / "openapi.yaml").stat().st_mode & 0o777 == 0o640


def test_a_specification_that_is_broken_is_named(place, capsys):
    (place / "openapi.yaml").write_text("openapi: [")
    assert run(place, document())[0] == spec.REFUSED
    assert "openapi.yaml, which supplies names and descriptions, cannot be read" in capsys.readouterr().err


def test_it_runs_as_a_command_and_helps():
    done = subprocess.run(
        [sys.executable, "-m", "tools.spec", "--help"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "UPSTREAM" in done.stdout
    assert "exit codes:" in done.stdout


def test_its_own_output_is_a_document_that_changes_nothing(place):
    """openapi.yaml is OpenAPI: what reads documents can read it."""
    present = (place / "openapi.yaml").read_bytes()
    assert run(place, present)[0] == spec.UNCHANGED


def test_a_discriminator_reaches_what_it_maps_to(place):
    upstream = document()
    components = upstream["components"]["schemas"]
    for kind in ("Person", "Robot"):
        components[kind] = {
            "type": "object",
            "required": ["kind"],
            "properties": {"kind": {"type": "string", "enum": [kind.lower()]}, kind[:2]: {"type": "string"}},
        }
    batch(upstream)["owner"] = {
        "oneOf": [ref("Person")],
        "discriminator": {
            "propertyName": "kind",
            "mapping": {"person": "#/components/schemas/Person", "robot": "Robot"},
        },
    }
    _, text = run(place, upstream)
    assert "    Person:\n" in text
    assert "    Robot:\n" in text
    assert json.dumps(ref("Robot")["$ref"]).strip('"') in text
