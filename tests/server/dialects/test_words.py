"""What single dialects say and take, as their services document it."""

import json
import re
from datetime import datetime

import httpx
import openai
import pytest
from support import dialects
from support.service_http import ENDPOINT, jsonl, line

from overlay.server import ManualClock, Pace, Service

PACE = Pace(validating=5, in_progress=5, finalizing=5, cancelling=5)


@pytest.fixture
def spoken():
    """Starts a service on a clock that stands, and a client of it."""
    opened = []

    def start(name, **options):
        service = Service(dialect=name, **({"clock": ManualClock(), "pace": PACE} | options))
        service.start()
        http = dialects.http_to(service)
        opened.extend([http.close, service.stop])
        return service, http

    yield start
    for close in opened:
        close()


def begun(http, name, count=2, **more):
    return dialects.create(
        http, name, dialects.upload(http, name, jsonl(dialects.lines_of(name, count)))["id"], **more
    )


def test_together(spoken):
    service, http = spoken("together")
    made = begun(http, "together", metadata={"k": "v"})
    job = made["job"]
    assert job.keys() >= {"id", "user_id", "file_size_bytes", "job_deadline", "progress", "model_id", "error"}
    assert not job.keys() & {"metadata", "request_counts", "object", "completion_window"}
    assert (job["status"], job["progress"]) == ("VALIDATING", 0)
    assert datetime.fromisoformat(job["created_at"]).tzinfo is not None
    service.advance(7)
    assert http.get(f"/batches/{job['id']}").json()["status"] == "IN_PROGRESS"
    assert http.post(f"/batches/{job['id']}/cancel").json()["status"] == "CANCELING"
    service.advance(60)
    listed = http.get("/batches").json()
    assert [(each["id"], each["status"]) for each in listed] == [(job["id"], "CANCELLED")]
    assert {each["purpose"] for each in http.get("/files").json()["data"]} >= {"batch-api"}


def test_togethers_whole_list_is_one_array(spoken):
    _, http = spoken("together")
    file = dialects.upload(http, "together", jsonl(dialects.lines_of("together", 1)))
    made = [dialects.create(http, "together", file["id"])["job"]["id"] for _ in range(103)]
    assert [each["id"] for each in http.get("/batches?limit=2").json()] == made[::-1]


def test_togethers_redirected_upload(spoken):
    _, http = spoken("together")
    asked = {"purpose": "batch-api", "file_name": "mine.jsonl"}
    answer = http.post("/files", data=asked)
    assert answer.status_code == 302
    file_id, place = answer.headers["x-together-file-id"], answer.headers["location"]
    content = jsonl(dialects.lines_of("together", 2))
    assert http.get(f"/files/{file_id}").status_code == 404
    assert http.put(place, content=content).status_code == 400, "with a token"
    assert httpx.put(place, content=content).status_code == 200
    assert httpx.put(place, content=content).status_code == 403
    file = http.post(f"/files/{file_id}/preprocess").json()
    assert (file["id"], file["filename"], file["bytes"]) == (file_id, "mine.jsonl", len(content))
    assert file["Processed"] is True
    assert http.get(f"/files/{file_id}/content").content == content
    assert dialects.create(http, "together", file_id)["job"]["input_file_id"] == file_id


@pytest.mark.parametrize("how", ["json", "params", "files"])
def test_togethers_redirect_is_asked_for_in_any_way(spoken, how):
    _, http = spoken("together")
    asked = {"purpose": "batch-api", "file_name": "mine.jsonl"}
    more = {"files": {"file": ("x.jsonl", b"{}")}, "data": asked} if how == "files" else {how: asked}
    place = http.post("/files", **more).headers["location"]
    assert httpx.put(place, content=jsonl(1)).status_code == 200
    (file,) = http.get("/files").json()["data"]
    assert (file["filename"], file["purpose"]) == ("mine.jsonl", "batch-api")


def test_mistral(spoken):
    service, http = spoken("mistral")
    job = begun(http, "mistral", 3, metadata={"k": "v"}, timeout_hours=2)
    assert (job["status"], job["model"], job["metadata"]) == ("QUEUED", "m", {"k": "v"})
    assert (job["output_file"], job["started_at"], job["errors"]) == (None, None, [])
    service.advance(7)
    assert http.get(f"/batch/jobs/{job['id']}").json()["status"] == "RUNNING"
    other = begun(http, "mistral")
    assert http.post(f"/batch/jobs/{other['id']}/cancel").json()["status"] == "CANCELLATION_REQUESTED"
    service.advance(60)
    done = http.get(f"/batch/jobs/{job['id']}").json()
    assert (done["status"], done["total_requests"], done["succeeded_requests"]) == ("SUCCESS", 3, 3)
    pages = [http.get(f"/batch/jobs?page={number}&page_size=1").json() for number in range(3)]
    assert [[each["id"] for each in page["data"]] for page in pages] == [[other["id"]], [job["id"]], []]
    assert {page["total"] for page in pages} == {2}
    assert http.get("/batches").status_code == 404


def test_mistrals_jobs_that_take_too_long(spoken):
    service, http = spoken("mistral", pace=Pace(in_progress=10_000))
    job = begun(http, "mistral", timeout_hours=1)
    service.advance(4000)
    assert http.get(f"/batch/jobs/{job['id']}").json()["status"] == "TIMEOUT_EXCEEDED"
    refused = http.post("/batch/jobs", json={"input_files": ["x"], "endpoint": ENDPOINT})
    assert (refused.status_code, refused.json()["object"]) == (400, "error")


def test_production_stack(spoken):
    service, http = spoken("production-stack")
    batch = begun(http, "production-stack")
    assert (batch["status"], batch["total_requests"], batch["completed_requests"]) == ("pending", None, 0)
    assert "request_counts" not in batch
    assert "object" not in batch
    assert http.post(f"/batches/{batch['id']}/cancel").status_code == 404
    assert http.delete(f"/batches/{batch['id']}").json()["status"] == "running"
    service.advance(60)
    assert http.get(f"/batches/{batch['id']}").json()["status"] == "cancelled"
    bad = dialects.create(
        http, "production-stack", dialects.upload(http, "production-stack", jsonl([{"custom_id": "a"}]))["id"]
    )
    service.advance(60)
    assert "Missing required parameter" in http.get(f"/batches/{bad['id']}").json()["errors"]
    unknown = http.post("/batches", json=dialects.creation("production-stack", "file-none"))
    assert unknown.status_code == 404
    assert isinstance(unknown.json()["error"], str)


@pytest.mark.parametrize("base", ["/openai/v1", "/openai"])
def test_azure(spoken, base):
    service, _ = spoken("azure")
    client = openai.OpenAI(
        base_url=service.azure_endpoint + base,
        api_key="any",
        max_retries=0,
        default_query={"api-version": "preview"},
    )
    if base == "/openai":
        client = openai.AzureOpenAI(
            azure_endpoint=service.azure_endpoint,
            api_version="2025-04-01-preview",
            api_key="any",
            max_retries=0,
        )
    with client:
        file = client.files.create(
            file=("in.jsonl", jsonl(2)),
            purpose="batch",
            extra_body={"expires_after.seconds": "1209600", "expires_after.anchor": "created_at"},
        )
        assert (file.status, file.expires_at - file.created_at) == ("pending", 1_209_600)
        asked = {"input_file_id": file.id, "endpoint": "/chat/completions", "completion_window": "24h"}
        with pytest.raises(openai.BadRequestError, match="Only files with status 'Processed' are accepted"):
            client.batches.create(**asked)
        service.advance(1)
        assert client.files.retrieve(file.id).status == "processed"
        batch = client.batches.create(**asked)
        assert (batch.status, batch.error_file_id, batch.request_counts.total) == ("Validating", "", None)
        assert datetime.fromisoformat(batch.created_at).tzinfo is not None
        service.advance(60)
        batch = client.batches.retrieve(batch.id)
        assert (batch.status, batch.request_counts.completed) == ("completed", 2)
        assert client.files.content(batch.error_file_id).read() == b""
        assert [each.id for each in client.batches.list()] == [batch.id]


def test_azures_old_paths_need_a_version_and_no_file_begins_with_a_mark(spoken):
    service, http = spoken("azure")
    assert http.get(f"{service.azure_endpoint}/openai/batches").status_code == 404
    with pytest.raises(httpx.HTTPStatusError, match="400"):
        dialects.upload(http, "azure", b"\xef\xbb\xbf" + jsonl(1))


def test_groqs_list_does_not_say_whether_there_is_more(spoken):
    _, http = spoken("groq")
    ids = [begun(http, "groq", completion_window="7d")["id"] for _ in range(3)]
    assert http.get("/batches?limit=2").json().keys() == {"object", "data"}
    page = http.get(f"/batches?limit=2&after={ids[1]}").json()
    assert [each["id"] for each in page["data"]] == ids[:1]


def test_doubleword_shows_what_it_has(spoken):
    service, http = spoken("doubleword", pace=Pace(in_progress=100))
    batch = begun(http, "doubleword", 10, completion_window="1h")
    service.advance(50)
    shown = http.get(f"/batches/{batch['id']}").json()
    assert shown["status"] == "in_progress"
    assert len(http.get(f"/files/{shown['output_file_id']}/content").text.splitlines()) == 5


def test_novita(spoken):
    service, http = spoken("novita")
    batch = begun(http, "novita", completion_window=None)
    assert (batch["status"], batch["completion_window"], batch["errors"]) == ("VALIDATING", "48h", "")
    assert isinstance(batch["created_at"], str)
    service.advance(7)
    shown = http.get(f"/batches/{batch['id']}").json()
    assert (shown["status"], shown["total"]) == ("PROGRESS", 2)


def test_siliconflows_envelope(spoken):
    _, http = spoken("siliconflow")
    answer = http.post("/files", data={"purpose": "batch"}, files={"file": ("in.jsonl", jsonl(1))}).json()
    assert (answer["code"], answer["status"]) == (20000, True)
    assert answer["data"].keys() >= {"id", "createdAt"}
    wrong = http.get("/batches/none")
    assert (wrong.status_code, wrong.json()["code"]) == (404, 20012)
    assert httpx.get(http.base_url.join("batches")).json() == "Invalid token"


def test_aibrix_ends_in_a_word_of_its_own(spoken):
    service, http = spoken("aibrix")
    batch = begun(http, "aibrix")
    assert batch["request_counts"] is None
    assert http.post(f"/batches/{batch['id']}/cancel").json() == {"detail": "Not Found"}
    service.advance(60)
    assert http.get(f"/batches/{batch['id']}").json()["status"] == "finalized"
    refused = http.post("/batches", json={"endpoint": ENDPOINT})
    assert (refused.status_code, refused.json()["detail"][0]["loc"]) == (422, ["body", "input_file_id"])


def test_ogx_finds_a_repeated_create_by_its_key(spoken):
    service, http = spoken("ogx")
    first, again, other = (begun(http, "ogx", idempotency_key=key) for key in ("a", "a", "b"))
    assert first["id"] == again["id"] != other["id"]
    assert len(service.batches()) == 2


def test_litellms_gateway(spoken):
    service, http = spoken("litellm")
    content = jsonl(2)
    file = dialects.upload(http, "litellm", content)
    assert 191 <= len(file["id"]) <= 323
    assert file["bytes"] != len(content)
    stored = http.get(f"/files/{file['id']}/content").text
    assert [json.loads(each) for each in stored.splitlines()] == [
        json.loads(each) for each in content.splitlines()
    ]
    batch = dialects.create(http, "litellm", file["id"], target_model_names="m", custom_llm_provider="openai")
    shown = http.get(f"/batches/{batch['id']}").json()
    assert re.fullmatch(r"batch_[0-9a-f]{32}", shown["id"])
    assert shown["input_file_id"] == file["id"]
    assert [each["id"] for each in http.get("/batches").json()["data"]] == [batch["id"]]
    assert (
        httpx.get(f"{service.azure_endpoint}/batches", headers={"Authorization": "Bearer x"}).status_code
        == 200
    )


def test_portkeys_output_has_a_route_of_its_own(spoken):
    service, http = spoken("portkey")
    batch = begun(http, "portkey", completion_window="immediate")
    assert http.get(f"/batches/{batch['id']}/output").status_code == 404
    service.advance(60)
    assert len(http.get(f"/batches/{batch['id']}/output").text.splitlines()) == 2
    assert http.get("/batches/none/output").json()["error"]["message"].startswith("No batch found")


def test_voyage_does_not_know_a_file_at_once(spoken):
    service, http = spoken("voyage")
    file = dialects.upload(http, "voyage", jsonl(dialects.lines_of("voyage", 1)))
    assert file["status"] == "processed"
    early = http.post("/batches", json=dialects.creation("voyage", file["id"]))
    assert (early.status_code, early.json()) == (404, {"detail": "Input file not found"})
    service.advance(1)
    assert dialects.create(http, "voyage", file["id"])["completion_window"] == "12h"


def test_maritaca(spoken):
    service, http = spoken("maritaca")
    batch = begun(http, "maritaca")
    assert (batch["status"], batch["errors"]) == ("queued", [])
    service.advance(7)
    assert http.get(f"/batches/{batch['id']}").json()["status"] == "running"
    service.advance(60)
    assert http.get(f"/batches/{batch['id']}").json()["status"] == "succeeded"
    bad = dialects.create(
        http, "maritaca", dialects.upload(http, "maritaca", jsonl([line("a"), line("a")]))["id"]
    )
    service.advance(60)
    assert http.get(f"/batches/{bad['id']}").json()["errors"] == ["Another line has the same custom_id."]


@pytest.mark.parametrize(
    "name",
    ["openai", "groq", "nebius", "doubleword", "dashscope", "parasail", "deepinfra", "ovh", "ogx", "portkey"],
)
def test_the_official_client_works_with_those_that_keep_its_shape(name):
    with (
        Service(dialect=name) as service,
        openai.OpenAI(base_url=service.base_url, api_key="any", max_retries=0) as client,
    ):
        file = client.files.create(file=("in.jsonl", jsonl(3)), purpose="batch")
        batch = client.batches.create(
            input_file_id=file.id, endpoint=ENDPOINT, completion_window="24h", metadata={"k": "v"}
        )
        service.settle()
        batch = client.batches.retrieve(batch.id)
        assert (batch.status, batch.request_counts.completed, batch.metadata) == ("completed", 3, {"k": "v"})
        assert len(client.files.content(batch.output_file_id).text.splitlines()) == 3
        assert [each.id for each in client.batches.list()] == [batch.id]
        assert client.files.delete(file.id).deleted
