"""One service behind several prefixes, Azure's among them, with keys in either header."""

import json
import time

import httpx
import openai
import pytest
from support.service_http import ENDPOINT, create, creation, http_to, jsonl, line, results, run, until, upload

from overlay import Client, Request, write_requests
from overlay.server import Limits, Reject, Service

VERSION = "2025-03-01-preview"
PREFIXES = ["/v1", "/openai/v1", "/openai"]


def http_at(service, prefix, headers=None):
    """A client that sends to one of the prefixes, as Azure's do, with a version."""
    return httpx.Client(
        base_url=service.azure_endpoint + prefix,
        headers=headers or {"api-key": "any"},
        params={"api-version": VERSION},
    )


def azure(service, **options):
    return openai.AzureOpenAI(
        azure_endpoint=service.azure_endpoint,
        api_version=VERSION,
        max_retries=0,
        _strict_response_validation=True,
        **{"api_key": "azure-key"} | options,
    )


@pytest.mark.parametrize("prefix", PREFIXES)
def test_whichever_prefix_a_client_uses_it_is_the_same_resource(service, prefix):
    with http_at(service, prefix) as http, http_to(service) as plain:
        batch = run(http, 3)
        assert batch["request_counts"]["completed"] == 3
        assert len(results(http, batch["output_file_id"])) == 3
        assert plain.get(f"/batches/{batch['id']}").json() == batch


@pytest.mark.parametrize("prefix", PREFIXES)
def test_the_log_counts_and_faults_go_by_the_normal_path(service, prefix):
    service.faults.add("POST /batches", Reject(503))
    with http_at(service, prefix) as http:
        file = upload(http, jsonl(1))
        assert http.post("/batches", json=creation(file)).status_code == 503
        create(http, file)
    assert service.count("POST", "/batches") == 2
    assert [each.path for each in service.requests] == ["/v1/files", "/v1/batches", "/v1/batches"]
    assert [each.sent_path for each in service.requests[1:]] == [f"{prefix}/batches"] * 2
    assert service.requests[1].query == f"api-version={VERSION}"


def test_a_test_in_another_process_sees_both_paths(service):
    with http_at(service, "/openai") as http:
        http.get("/batches")
    seen = httpx.get(f"{service.azure_endpoint}/_control/requests", headers={"api-key": "any"}).json()
    assert [(each["path"], each["sent_path"]) for each in seen] == [("/v1/batches", "/openai/batches")]


@pytest.mark.parametrize(
    "path", ["/openai/batches", "/openai/batches?api-version=", "/openai", "/openaiv1/batches", "/batches"]
)
def test_what_is_nobodys_path_is_not_found(service, path):
    """Azure's older paths do not exist without a version."""
    answer = httpx.get(service.azure_endpoint + path, headers={"api-key": "any"})
    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == f"Invalid URL (GET {path.partition('?')[0]})"
    assert service.count("GET", "/batches") == 0


@pytest.mark.parametrize(
    ("headers", "status", "token"),
    [
        ({"api-key": "good"}, 200, "good"),
        ({"api-key": "bad"}, 401, "bad"),
        ({"api-key": ""}, 401, ""),
        ({"authorization": "Bearer good"}, 200, "good"),
        ({"authorization": "Bearer good", "api-key": "bad"}, 200, "good"),
        ({"authorization": "Bearer", "api-key": "good"}, 200, "good"),
        ({"authorization": "Basic good", "api-key": "good"}, 200, "good"),
        ({"authorization": "Bearer bad", "api-key": "good"}, 401, "bad"),
        ({}, 401, ""),
    ],
)
@pytest.mark.parametrize("prefix", ["/v1", "/openai/v1"])
def test_a_key_in_either_header(prefix, headers, status, token):
    with Service(tokens="good") as service:
        answer = httpx.get(f"{service.azure_endpoint}{prefix}/batches", headers=headers)
        assert answer.status_code == status
        (request,) = service.requests
        assert request.token == token
        assert "api-key" not in request.headers


@pytest.mark.parametrize("endpoint", ["/chat/completions", ENDPOINT])
def test_azures_client_through_a_whole_batch(service, endpoint):
    content = jsonl([line(f"r{number}", url=endpoint) for number in range(5)])
    with azure(service) as client:
        file = client.files.create(file=("in.jsonl", content), purpose="batch")
        assert client.files.retrieve(file.id) == file
        batch = client.batches.create(
            input_file_id=file.id, endpoint=endpoint, completion_window="24h", metadata={"k": "v"}
        )
        assert batch.endpoint == endpoint
        while batch.status not in {"completed", "failed"}:
            time.sleep(0.005)
            batch = client.batches.retrieve(batch.id)
        assert (batch.status, batch.request_counts.completed) == ("completed", 5)
        lines = [json.loads(each) for each in client.files.content(batch.output_file_id).text.splitlines()]
        assert {each["custom_id"] for each in lines} == {f"r{number}" for number in range(5)}
        assert all(each["response"]["status_code"] == 200 for each in lines)
        assert [each.id for each in client.batches.list(limit=1)] == [batch.id]
        assert {each.id for each in client.files.list()} == {file.id, batch.output_file_id}
        with pytest.raises(openai.ConflictError):
            client.batches.cancel(batch.id)
        assert client.files.delete(file.id).deleted
        with pytest.raises(openai.NotFoundError):
            client.files.retrieve(file.id)
        assert client.models.retrieve("my-deployment").id == "my-deployment"
    assert service.count("POST", "/batches") == 1
    assert {each.token for each in service.requests} == {"azure-key"}
    assert all(each.sent_path.startswith("/openai/") for each in service.requests)
    assert not any(each.sent_path.startswith("/openai/v1/") for each in service.requests)


def test_azures_client_with_a_token_of_entra_and_with_a_bad_key():
    with Service(tokens="entra") as service:
        with azure(service, api_key=None, azure_ad_token_provider=lambda: "entra") as client:
            assert list(client.batches.list()) == []
        with azure(service) as client, pytest.raises(openai.AuthenticationError):
            client.batches.list()


def test_this_packages_own_client_at_azures_present_paths(service, tmp_path):
    path = tmp_path / "in.jsonl"
    write_requests(path, (Request(f"r{number}", {"model": "m", "messages": []}) for number in range(3)))
    with Client(base_url=f"{service.azure_endpoint}/openai/v1/", token="any") as client:
        file = client.files.upload(path)
        batch = client.batches.create(input_file_id=file.id, endpoint=ENDPOINT)
        client.batches.wait(batch.id, poll=0.05)
        assert [result.custom_id for result in client.batches.results(batch.id)] == ["r0", "r1", "r2"]
    assert {each.sent_path.rpartition("/v1/")[0] for each in service.requests} == {"/openai"}


def test_an_endpoint_without_its_version_is_azures_only(service):
    lines = jsonl([line("a", url="/chat/completions")])
    with http_to(service) as http:
        file = upload(http, lines)
        answer = http.post("/batches", json=creation(file, endpoint="/chat/completions"))
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "endpoint")
    with http_at(service, "/openai/v1") as http:
        assert create(http, file, endpoint="/chat/completions")["endpoint"] == "/chat/completions"
        answer = http.post("/batches", json=creation(file, endpoint="/chat"))
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "endpoint")


def test_lines_may_have_the_version_that_azures_endpoint_leaves_out(service):
    """As curator sends them. Where the endpoint has its version, lines need it too, as at OpenAI."""
    short, long = jsonl([line("a", url="/chat/completions")]), jsonl([line("a", url=ENDPOINT)])
    with http_at(service, "/openai/v1") as http:
        batch = until(http, create(http, upload(http, long), endpoint="/chat/completions"))
        assert batch["status"] == "completed"
        batch = until(http, create(http, upload(http, short), endpoint=ENDPOINT))
        assert [each["code"] for each in batch["errors"]["data"]] == ["invalid_url"]


def test_limits_of_an_endpoint_hold_for_its_short_form():
    lines = [line(f"r{number}", url="/embeddings", input=["a", "b"]) for number in range(3)]
    with Service(limits=Limits(max_embedding_inputs=5)) as service, http_at(service, "/openai") as http:
        failed = until(http, create(http, upload(http, jsonl(lines)), endpoint="/embeddings"))
        assert failed["status"] == "failed"
        assert [each["param"] for each in failed["errors"]["data"]] == ["body.input"]
