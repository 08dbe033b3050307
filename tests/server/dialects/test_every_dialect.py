"""What every dialect can do, and what each refuses, over real sockets."""

import json
from dataclasses import replace

import httpx
import pytest
from support import dialects
from support.service_http import jsonl

from overlay.server import Limits, Service, known_dialects

NAMES = sorted(known_dialects())
FAILED = {"failed", "FAILED"}


@pytest.mark.parametrize("name", NAMES)
def test_from_upload_to_answers(name):
    with Service(dialect=name) as service, dialects.http_to(service) as http:
        file, made, batch = dialects.run(http, name)
        output = batch.get("output_file_id") or batch["output_file"]
        content = http.get(f"/files/{output.replace('/', '%2F')}/content").raise_for_status().text
        assert {json.loads(each)["custom_id"] for each in content.splitlines()} == {"r0", "r1", "r2"}
        assert (batch.get("input_file_id") or batch["input_files"][0]) == file["id"]
        assert made
        assert service.count("POST", "/batches") >= 1


@pytest.mark.parametrize("name", NAMES)
def test_a_key_has_its_header(name):
    with Service(dialect=name, tokens="good") as service:
        path = dialects.JOBS.get(name, "/batches")
        for header in ("authorization", "api-key", "x-portkey-api-key", "x-goog-api-key", "x-api-key"):
            value = "Bearer good" if header == "authorization" else "good"
            status = httpx.get(service.base_url + path, headers={header: value}).status_code
            assert status == (200 if header in known_dialects()[name].keys else 401), header
        assert "good" not in str([each.headers for each in service.requests])


@pytest.mark.parametrize("name", NAMES)
def test_another_purpose_is_refused_or_no_word_is(name):
    with Service(dialect=name) as service, dialects.http_to(service) as http:
        wrong = "batch" if name == "together" else "batch-api"
        if name == "production-stack":
            assert dialects.upload(http, name, jsonl(1), purpose=wrong)
            return
        with pytest.raises(httpx.HTTPStatusError, match="400"):
            dialects.upload(http, name, jsonl(1), purpose=wrong)


def fails(name, lines, **limits):
    """What becomes of these lines, as the words of the batch's end."""
    with Service(dialect=name, limits=Limits(**limits)) as service, dialects.http_to(service) as http:
        file = dialects.upload(http, name, jsonl(lines))
        made = dialects.create(http, name, file["id"])
        batch = dialects.until(http, name, made.get("job", made)["id"])
        assert batch["status"] in FAILED
        return json.dumps(batch)


@pytest.mark.parametrize("name", NAMES)
def test_too_many_lines_are_refused(name):
    assert "more than 2 requests" in fails(name, list(dialects.lines_of(name, 3)), max_requests=2)


@pytest.mark.parametrize("name", NAMES)
def test_a_long_line_is_refused(name):
    assert "at most 20" in fails(name, list(dialects.lines_of(name, 1)), max_line_bytes=20)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_is_too_large_is_refused(name):
    with (
        Service(dialect=name, limits=Limits(max_upload_bytes=100)) as service,
        dialects.http_to(service) as http,
        pytest.raises(httpx.HTTPStatusError, match="413"),
    ):
        dialects.upload(http, name, jsonl(dialects.lines_of(name, 10)))


@pytest.mark.parametrize("name", ["together", "doubleword"])
def test_a_long_custom_id_is_refused(name):
    (line,) = dialects.lines_of(name, 1)
    assert "at most 64" in fails(name, [{**line, "custom_id": "x" * 65}])


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_window_or_endpoint_is_refused(name):
    with Service(dialect=name) as service, dialects.http_to(service) as http:
        file = dialects.upload(http, name, jsonl(dialects.lines_of(name, 1)))
        odd = {"timeout_hours": 1000} if name == "mistral" else {"completion_window": "1000h"}
        for wrong in (odd, {"endpoint": "/v1/nowhere"}):
            answer = http.post(
                dialects.JOBS.get(name, "/batches"), json=dialects.creation(name, file["id"], **wrong)
            )
            assert answer.status_code in {400, 422}


@pytest.mark.parametrize("name", [each for each in NAMES if each not in {"together", "mistral", "voyage"}])
def test_lines_need_a_url_that_is_the_batchs(name):
    (line,) = dialects.lines_of(name, 1)
    assert "does not match the batch endpoint" in fails(name, [{**line, "url": "/v1/embeddings"}])
    assert "Missing required parameter: 'method'" in fails(
        name, [{key: each for key, each in line.items() if key != "method"}]
    )


@pytest.mark.parametrize("name", NAMES)
def test_what_a_service_has_not_is_not_found(name):
    with Service(dialect=name) as service, dialects.http_to(service) as http:
        root = service.azure_endpoint
        assert http.get(f"{root}/nowhere/batches").status_code == 404
        for operation in known_dialects()[name].missing:
            method, _, path = operation.partition(" ")
            assert http.request(method, path.replace("{id}", "x")).status_code == 404


def test_given_limits_stand_where_they_are_not_openais():
    together = known_dialects()["together"]
    assert together.within(Limits(max_requests=3)) == replace(together.limits, max_requests=3)
    assert together.within(None) is together.limits


def test_a_dialect_that_there_is_not():
    with pytest.raises(ValueError, match="there is no dialect 'togehter'; there are aibrix, azure"):
        Service(dialect="togehter")


@pytest.mark.batch_service(dialect="mistral")
def test_the_marker_takes_a_dialect(batch_service):
    answer = httpx.get(f"{batch_service.base_url}/batch/jobs", headers={"Authorization": "Bearer any"})
    assert answer.json() == {"object": "list", "data": [], "total": 0}
