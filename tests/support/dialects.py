"""Each dialect of the embedded service, spoken with nothing but httpx, as its service documents it."""

import time

import httpx

from support.service_http import ENDPOINT, jsonl, line

ENDED = {
    "completed",
    "succeeded",
    "success",
    "finalized",
    "failed",
    "expired",
    "cancelled",
}
JOBS = {"mistral": "/batch/jobs"}
WINDOWS = {"voyage": "12h", "novita": "48h", "portkey": "immediate"}
EMBEDDING = "/v1/embeddings"


def http_to(service, headers=None):
    return httpx.Client(base_url=service.base_url, headers=headers or {"Authorization": "Bearer any"})


def endpoint_of(name):
    return EMBEDDING if name == "voyage" else ENDPOINT


def lines_of(name, count):
    """Lines as the service's documents have them."""
    for number in range(count):
        if name == "voyage":
            yield {"custom_id": f"r{number}", "body": {"input": ["a"]}}
            continue
        made = line(f"r{number}")
        if name in {"together", "mistral"}:
            del made["method"], made["url"]
        if name == "mistral":
            del made["body"]["model"]
        yield made


def upload(http, name, content, filename="in.jsonl", purpose=None):
    """The answer to an upload, out of any envelope; raises for a refusal."""
    purpose = purpose or ("batch-api" if name == "together" else "batch")
    path = "/files/upload" if name == "together" else "/files"
    data = {"purpose": purpose, "file_name": filename}
    answer = http.post(path, data=data, files={"file": (filename, content)}).raise_for_status().json()
    return answer["data"] if name == "siliconflow" else answer


def creation(name, file_id, **more):
    if name == "mistral":
        return {"input_files": [file_id], "endpoint": ENDPOINT, "model": "m"} | more
    asked = {"input_file_id": file_id, "endpoint": endpoint_of(name)}
    asked["completion_window"] = WINDOWS.get(name, "24h")
    if name == "voyage":
        asked["request_params"] = {"model": "m"}
    return asked | more


def create(http, name, file_id, **more):
    """The answer to a create, raw; a file that is not ready is waited for."""
    for _ in range(200):
        answer = http.post(JOBS.get(name, "/batches"), json=creation(name, file_id, **more))
        if answer.status_code == 200 or name not in {"azure", "voyage"}:
            return answer.raise_for_status().json()
        time.sleep(0.02)
    raise AssertionError(answer.text)


def until(http, name, batch_id):
    path = httpx.URL(f"{JOBS.get(name, '/batches')}/").raw_path.decode() + batch_id.replace("/", "%2F")
    for _ in range(1000):
        batch = http.get(path).raise_for_status().json()
        if batch["status"].lower() in ENDED:
            return batch
        time.sleep(0.01)
    raise AssertionError(batch)


def run(http, name, count=3):
    """Upload, create, wait: the file, the answer to the create, the batch at its end."""
    file = upload(http, name, jsonl(lines_of(name, count)))
    made = create(http, name, file["id"])
    return file, made, until(http, name, made.get("job", made)["id"])
