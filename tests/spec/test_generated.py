"""The generated client: all of it is there, it is what openapi.yaml gives, and it reads what services send.

The bodies are of our own making, in the shapes that the API's documentation shows and that services were seen to
send. Nothing here depends on the revision that openapi.yaml was taken from.
"""

import copy
import importlib
import pickle
import subprocess
import sys
from pathlib import Path

import attrs
import httpx
import openapi_spec_validator
import pytest

from overlay.generated import AuthenticatedClient, models
from tools import generate
from tools.upstream import promises
from tools.upstream.canonical import alternatives, operations_of, referred, schemas_of
from tools.upstream.decoding import decode
from tools.upstream.operations import LINES, OPERATIONS
from tools.upstream.writing import dump

PROJECT = Path(__file__).resolve().parents[2]
SPECIFICATION = decode((PROJECT / "openapi.yaml").read_bytes())
SCHEMAS = schemas_of(SPECIFICATION)
GENERATED = PROJECT / "generated"

STARTED = {
    "id": "batch_1",
    "object": "batch",
    "endpoint": "/v1/responses",
    "errors": None,
    "input_file_id": "file-in",
    "completion_window": "24h",
    "status": "validating",
    "output_file_id": None,
    "error_file_id": None,
    "created_at": 1_790_000_000,
    **dict.fromkeys(("in_progress_at", "expires_at", "finalizing_at", "completed_at"), None),
    **dict.fromkeys(("failed_at", "expired_at", "cancelling_at", "cancelled_at"), None),
    "request_counts": {"total": 0, "completed": 0, "failed": 0},
    "metadata": {"run": "7"},
}
COMPLETED = {
    **STARTED,
    "model": "gpt-5-mini",
    "status": "completed",
    "output_file_id": "file-out",
    "error_file_id": "file-err",
    "in_progress_at": 1_790_000_010,
    "expires_at": 1_790_086_400,
    "finalizing_at": 1_790_000_900,
    "completed_at": 1_790_001_000,
    "request_counts": {"total": 50, "completed": 49, "failed": 1},
    "usage": {
        "input_tokens": 1000,
        "input_tokens_details": {"cached_tokens": 10},
        "output_tokens": 500,
        "output_tokens_details": {"reasoning_tokens": 20},
        "total_tokens": 1500,
    },
}
FAILED = {
    **STARTED,
    "status": "failed",
    "failed_at": 1_790_000_020,
    "errors": {
        "object": "list",
        "data": [{"code": "invalid_json_line", "message": "Not JSON.", "param": None, "line": 3}],
    },
}
CANCELLING = {**STARTED, "status": "cancelling", "cancelling_at": 1_790_000_030}
UPLOADED = {
    "id": "file-in",
    "object": "file",
    "bytes": 1234,
    "created_at": 1_789_999_990,
    "expires_at": 1_792_591_990,
    "filename": "requests.jsonl",
    "purpose": "batch",
}
KEPT = {**UPLOADED, "expires_at": None, "status": "processed", "status_details": None}
PAGE = {"object": "list", "first_id": "a", "last_id": "b", "has_more": True}
ANSWERED = {
    "id": "batch_req_1",
    "custom_id": "one",
    "response": {"status_code": 200, "request_id": "req_1", "body": {"object": "response", "output": []}},
    "error": None,
}
EXPIRED = {
    "id": "batch_req_2",
    "custom_id": "two",
    "response": None,
    "error": {"code": "batch_expired", "message": "Too late."},
}

EXAMPLES = [
    ("Batch", STARTED),
    ("Batch", COMPLETED),
    ("Batch", FAILED),
    ("Batch", CANCELLING),
    ("ListBatchesResponse", {**PAGE, "data": [COMPLETED, FAILED]}),
    ("OpenAIFile", UPLOADED),
    ("OpenAIFile", KEPT),
    ("ListFilesResponse", {**PAGE, "data": [UPLOADED, KEPT]}),
    ("DeleteFileResponse", {"id": "file-in", "object": "file", "deleted": True}),
    ("BatchRequestOutput", ANSWERED),
    ("BatchRequestOutput", EXPIRED),
]
ARGUMENTS = {
    "batch_id": "batch_1",
    "file_id": "file-in",
    "createBatch": {"input_file_id": "file-in", "endpoint": "/v1/responses", "completion_window": "24h"},
    "createFile": {"file": b"{}\n", "purpose": "batch"},
}


def places(body, name):
    """Every object in a body of the schema *name*, as the keys that lead to it and the name of its schema."""
    yield (), name
    for key, stated in SCHEMAS[name]["properties"].items():
        for part in alternatives(stated):
            for inner in referred(part):
                if isinstance(body.get(key), dict) and "properties" in SCHEMAS[inner]:
                    yield from (((key, *path), found) for path, found in places(body[key], inner))
            for inner in referred(part.get("items", {})):
                for index, item in enumerate(body.get(key) or ()):
                    yield from (((key, index, *path), found) for path, found in places(item, inner))


def variants():
    """Each example with each of its optional fields null, absent, of a new value, and beside an unknown one."""
    for number, (name, example) in enumerate(EXAMPLES):
        for path, inner in places(example, name):
            schema = SCHEMAS[inner]
            for key, stated in schema["properties"].items():
                if key in schema.get("required", []):
                    continue
                label = ".".join(str(part) for part in (number, name, *path, key))
                yield pytest.param(name, changed(example, path, **{key: None}), id=f"{label}-null")
                yield pytest.param(name, changed(example, path, **{key: ...}), id=f"{label}-absent")
                if any("enum" in SCHEMAS[one] for one in referred(stated)):
                    yield pytest.param(name, changed(example, path, **{key: "new"}), id=f"{label}-new")
            unknown = changed(example, path, brand_new_field={"a": [1]})
            yield pytest.param(
                name, unknown, id=".".join(str(part) for part in (number, name, *path, "unknown"))
            )


def changed(example, path, **fields):
    """A copy of an example with fields set at a path; `...` takes one away."""
    result = copy.deepcopy(example)
    target = result
    for part in path:
        target = target[part]
    target.update(fields)
    for key in [key for key, value in fields.items() if value is ...]:
        del target[key]
    return result


def without_nulls(body):
    """A body as it is read: what is null is absent. A part that is a mapping of the sender's own is as it is."""
    if isinstance(body, list):
        return [without_nulls(item) for item in body]
    if not isinstance(body, dict):
        return body
    return {key: without_nulls(value) for key, value in body.items() if value is not None}


def test_the_nine_operations_are_there():
    names = {(operation.tag, promises.module_name(operation.id)) for operation in OPERATIONS}
    assert len(names) == 9
    for tag, name in names:
        module = importlib.import_module(f"overlay.generated.api.{tag}.{name}")
        assert callable(module.sync_detailed)
        assert callable(module.asyncio_detailed)
    there = {(path.parent.name, path.stem) for path in (GENERATED / "api").glob("*/*.py")}
    assert {(tag, name) for tag, name in there if name != "__init__"} == names
    assert {name for name, _ in EXAMPLES} | set(LINES) <= set(models.__all__)


def test_it_is_typed_and_says_how_it_is_rebuilt():
    assert (GENERATED / "py.typed").is_file()
    modules = list(GENERATED.rglob("*.py"))
    assert len(modules) > 30
    for module in modules:
        assert module.read_text().startswith(generate.HEADER), module
    assert "`make generate`" in generate.HEADER


def test_the_specification_is_valid():
    openapi_spec_validator.validate(SPECIFICATION)
    assert SPECIFICATION["openapi"].startswith("3.1")
    assert SPECIFICATION["security"] == [{"bearer": []}]
    assert SPECIFICATION["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert set(operations_of(SPECIFICATION)) == {operation.id for operation in OPERATIONS}


@pytest.fixture
def copied(tmp_path):
    """What the client is generated from, to be changed."""
    (tmp_path / "generator-config.yml").write_bytes((PROJECT / "generator-config.yml").read_bytes())
    templates = tmp_path / "tools" / "templates"
    templates.mkdir(parents=True)
    for template in (PROJECT / "tools" / "templates").iterdir():
        (templates / template.name).write_bytes(template.read_bytes())
    (tmp_path / "openapi.yaml").write_bytes((PROJECT / "openapi.yaml").read_bytes())
    return tmp_path


def test_it_is_what_the_specification_gives(copied):
    assert generate.check(GENERATED, project=copied) == []


@pytest.mark.parametrize(
    ("schema", "field", "stated", "files"),
    [
        ("Batch", "brand_new_field", {"type": "string"}, ["models/batch.py"]),
        ("BatchStatus", None, ["paused"], ["models/batch_status.py"]),
        ("OpenAIFile", "bytes", {"type": "string"}, ["models/open_ai_file.py"]),
    ],
)
def test_one_changed_schema_is_noticed(schema, field, stated, files, copied):
    specification = copy.deepcopy(SPECIFICATION)
    if field is None:
        schemas_of(specification)[schema]["enum"] += stated
    else:
        schemas_of(specification)[schema]["properties"][field] = stated
    (copied / "openapi.yaml").write_text(dump(specification))
    assert generate.check(GENERATED, project=copied) == files


def test_a_file_too_many_is_noticed_and_removed(copied):
    target = copied / "generated"
    generate.replace(target, project=copied)
    (target / "models" / "left_over.py").write_text("")
    assert generate.check(target, project=copied) == ["models/left_over.py"]
    generate.replace(target, project=copied)
    assert generate.check(target, project=copied) == []
    assert not (target / "models" / "left_over.py").exists()


def test_a_warning_of_the_generator_is_a_failure(copied):
    specification = copy.deepcopy(SPECIFICATION)
    schemas_of(specification)["Batch"]["properties"]["odd"] = {"$ref": "#/components/schemas/Nowhere"}
    (copied / "openapi.yaml").write_text(dump(specification))
    target = copied / "generated"
    target.mkdir()
    with pytest.raises(generate.GenerateError, match=r"refused openapi\.yaml"):
        generate.replace(target, project=copied)
    assert list(target.iterdir()) == []
    assert sorted(path.name for path in copied.glob(".*")) == []


def test_a_formatter_that_is_missing_is_a_failure(copied, monkeypatch):
    alone = copied / "bin"
    alone.mkdir()
    (alone / "openapi-python-client").symlink_to(Path(sys.executable).parent / "openapi-python-client")
    monkeypatch.setattr(sys, "executable", str(alone / "python"))
    monkeypatch.setenv("PATH", str(alone))
    with pytest.raises(generate.GenerateError, match="ruff must be installed"):
        generate.generate(copied / "generated", project=copied)


def test_it_passes_mypy_strict():
    command = [sys.executable, "-m", "mypy", "--config-file=", "--strict", "--no-incremental", "generated"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("name", "body"), [*EXAMPLES, *variants()])
def test_an_answer_is_read_whole(name, body):
    read = getattr(models, name).from_dict(body)
    assert without_nulls(read.to_dict()) == without_nulls(body)
    assert pickle.loads(pickle.dumps(read)) == read


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.id)
def test_each_operation_sends_and_reads(operation):
    answers = {
        "createBatch": STARTED,
        "retrieveBatch": COMPLETED,
        "cancelBatch": CANCELLING,
        "listBatches": {**PAGE, "data": [COMPLETED]},
        "createFile": UPLOADED,
        "retrieveFile": KEPT,
        "listFiles": {**PAGE, "data": [UPLOADED]},
        "deleteFile": {"id": "file-in", "deleted": True},
        "downloadFile": None,
    }
    sent = []

    def answer(request):
        sent.append(request)
        body = answers[operation.id]
        return httpx.Response(200, content=b"line\n") if body is None else httpx.Response(200, json=body)

    module = importlib.import_module(
        f"overlay.generated.api.{operation.tag}.{promises.module_name(operation.id)}"
    )
    client = AuthenticatedClient(base_url="http://127.0.0.1/v1", token="t").set_httpx_client(
        httpx.Client(base_url="http://127.0.0.1/v1", transport=httpx.MockTransport(answer))
    )
    arguments = {name: ARGUMENTS[name] for name in ("batch_id", "file_id") if f"{{{name}}}" in operation.path}
    if operation.sends:
        request = referred(
            next(iter(operations_of(SPECIFICATION)[operation.id]["requestBody"]["content"].values()))[
                "schema"
            ]
        )
        arguments["body"] = getattr(models, request[0]).from_dict(ARGUMENTS[operation.id])
    parsed = module.sync_detailed(client=client, **arguments).parsed
    path = operation.path.format(**ARGUMENTS)
    assert [(request.method, request.url.path) for request in sent] == [
        (operation.method.upper(), f"/v1{path}")
    ]
    if operation.id == "downloadFile":
        assert parsed.payload.read() == b"line\n"
    else:
        assert without_nulls(parsed.to_dict()) == without_nulls(answers[operation.id])


def test_no_field_takes_a_name_that_the_overlay_adds():
    modules = promises.read(PROJECT / "overlay", SPECIFICATION).modules
    added = [pair for module in modules for pair in module.added.values()]
    assert {model for model, _ in added} >= {"Batch", "OpenAIFile"}
    for model, names in added:
        fields = {field.name for field in attrs.fields(getattr(models, model))}
        assert names & fields == set(), f"{model}: the overlay has names of its own that are fields now"


def test_models_that_import_each_other_in_a_circle_do_so_once(tmp_path):
    for name, other in (("one", "other"), ("other", "one")):
        source = (
            f"class {name.title()}:\n"
            f"    def make(self):\n"
            f"        from .{other} import (\n            {other.title()},\n        )\n\n"
            f"        return {other.title()}()\n"
        )
        (tmp_path / f"{name}.py").write_text(generate.imported_once(source))
    (tmp_path / "__init__.py").write_text("from .one import One\nfrom .other import Other\n")
    script = f"import {tmp_path.name} as made; print(type(made.One().make()), type(made.Other().make()))"
    run = [sys.executable, "-c", script]
    printed = subprocess.run(run, cwd=tmp_path.parent, check=True, capture_output=True, text=True).stdout
    assert "Other" in printed
    assert "One" in printed
    assert all("        from" not in path.read_text() for path in tmp_path.glob("*.py"))
    models_folder = GENERATED / "models"
    assert all("        from ." not in path.read_text() for path in models_folder.glob("*.py"))


def test_a_parameter_whose_values_are_listed_is_described_too():
    described = (PROJECT / "generated" / "api" / "files" / "list_files.py").read_text()
    assert "order (ListFilesOrder | Unset): Direction by time of creation" in described
