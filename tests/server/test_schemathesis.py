"""schemathesis sends the embedded service what `openapi.yaml` allows, and what it does not, over a real socket.

The document says nothing of refusals (they would become values of the generated client), so the check of documented
status codes is not among those below; and it types what may be absent without null, because the generated client
takes null for absence, where the service writes null as the API's own examples do.
"""

from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from ruamel.yaml import YAML
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    ignored_auth,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
)
from support.service_http import ENDPOINT, http_to, run

from overlay.server import Literally, Reject, Service

CHECKS = [
    allow_header_conformance,
    content_type_conformance,
    ignored_auth,
    negative_data_rejection,
    not_a_server_error,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
]
BOUNDED = settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def document() -> dict[str, Any]:
    """`openapi.yaml`, with null allowed for every property that may be absent."""
    loaded = YAML(typ="safe").load(Path(__file__).parents[2] / "openapi.yaml")
    asked = {"CreateBatchRequest", "CreateFileRequest", "BatchFileExpirationAfter", "FileExpirationAfter"}
    for name, schema in loaded["components"]["schemas"].items():
        for key, value in schema.get("properties", {}).items():
            if name not in asked and key not in schema.get("required", ()):
                schema["properties"][key] = {"anyOf": [value, {"type": "null"}]}
    return loaded


schema = schemathesis.openapi.from_dict(document())
schema.config.generation.update(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])


@pytest.fixture(scope="module")
def service():
    with Service(tokens="good") as service:
        yield service


@schema.parametrize()
@BOUNDED
def test_the_service_stands_up_to_schemathesis(case, service):
    call(case, service)


def test_each_operation_answers_as_documented(service):
    """Made-up names above are mostly refused; these calls are right, so that answers meet their schema."""
    with http_to(service, "good") as http:
        batch = run(http, 3)
    body = {
        "input_file_id": batch["input_file_id"],
        "endpoint": ENDPOINT,
        "completion_window": "24h",
        "metadata": {"k": "v"},
        "output_expires_after": {"anchor": "created_at", "seconds": 3600},
    }
    # Without a name, as schemathesis sends it, no input of a batch is taken.
    form = {"file": b"{}", "purpose": "evals"}
    named, file = {"batch_id": batch["id"]}, {"file_id": batch["output_file_id"]}
    right = {
        ("POST", "/batches"): {"body": body, "media_type": "application/json"},
        ("GET", "/batches"): {"query": {"limit": 100}},
        ("GET", "/batches/{batch_id}"): {"path_parameters": named},
        ("POST", "/files"): {"body": form, "media_type": "multipart/form-data"},
        ("GET", "/files"): {"query": {"order": "asc", "purpose": "batch"}},
        ("GET", "/files/{file_id}"): {"path_parameters": file},
        ("GET", "/files/{file_id}/content"): {"path_parameters": file},
        ("DELETE", "/files/{file_id}"): {"path_parameters": file},
    }
    tried = {(each.ok().method.upper(), each.ok().path) for each in schema.get_all_operations()}
    assert tried == right.keys() | {("POST", "/batches/{batch_id}/cancel")}
    for (method, path), arguments in right.items():
        assert call(schema[path][method].Case(**arguments), service).status_code == 200, (method, path)


def call(case, service):
    return case.call_and_validate(
        base_url=service.base_url, headers={"Authorization": "Bearer good"}, checks=CHECKS
    )


def test_the_checks_find_a_service_that_is_broken():
    """What is shown above is worth something: the same checks fail where answers do not fit, or are errors."""
    case = schema["/batches"]["GET"].Case()
    with Service(tokens="good") as service:
        service.faults.add("GET /batches", Reject(500))
        with pytest.raises(FailureGroup, match="Server error"):
            call(case, service)
        service.faults.add("GET /batches", Literally('{"data": [{"id": 5}]}', media_type="application/json"))
        with pytest.raises(FailureGroup, match="violates schema"):
            call(case, service)
        service.faults.add("GET /batches", Literally("<html>"), times=None)
        with pytest.raises(FailureGroup, match=r"[Cc]ontent.[Tt]ype"):
            call(case, service)
