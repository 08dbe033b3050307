"""The embedded service, driven over real sockets with nothing but httpx."""

import json
import time

import httpx
import pytest

from overlay.emulator import Service

ENDPOINT = "/v1/chat/completions"


@pytest.fixture
def service():
    with Service() as service:
        yield service


@pytest.fixture
def http(service):
    with httpx.Client(base_url=service.base_url, headers={"Authorization": "Bearer any"}) as http:
        yield http


def jsonl(count):
    lines = (
        {"custom_id": f"r{number}", "method": "POST", "url": ENDPOINT, "body": {"model": "m", "messages": []}}
        for number in range(count)
    )
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def upload(http, content, filename="in.jsonl"):
    answer = http.post("/files", data={"purpose": "batch"}, files={"file": (filename, content)})
    assert answer.status_code == 200, answer.text
    return answer.json()


def create(http, file_id):
    body = {"input_file_id": file_id, "endpoint": ENDPOINT, "completion_window": "24h"}
    answer = http.post("/batches", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def ended(http, batch):
    while batch["status"] not in {"completed", "failed", "expired", "cancelled"}:
        time.sleep(0.005)
        batch = http.get(f"/batches/{batch['id']}").json()
    return batch


def test_from_upload_to_answers(http, service):
    file = upload(http, jsonl(20))
    assert (file["filename"], file["purpose"], file["bytes"]) == ("in.jsonl", "batch", len(jsonl(20)))
    created = create(http, file["id"])
    assert created["status"] == "validating"
    batch = ended(http, created)
    assert batch["status"] == "completed"
    assert batch["request_counts"] == {"total": 20, "completed": 20, "failed": 0}
    assert batch["error_file_id"] is None
    content = http.get(f"/files/{batch['output_file_id']}/content").content
    answers = [json.loads(line) for line in content.splitlines()]
    ids = [answer["custom_id"] for answer in answers]
    assert sorted(ids) == sorted(f"r{number}" for number in range(20))
    assert ids != [f"r{number}" for number in range(20)]
    assert service.count("POST", "/batches") == 1
