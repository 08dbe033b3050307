"""Short ways to talk to the embedded service with plain httpx, for its own tests."""

import json
import time
from contextlib import contextmanager

import httpx

ENDPOINT = "/v1/chat/completions"
FINAL = {"completed", "failed", "expired", "cancelled"}


@contextmanager
def http_to(service, token="any"):
    with httpx.Client(base_url=service.base_url, headers={"Authorization": f"Bearer {token}"}) as http:
        yield http


def line(custom_id, *, url=ENDPOINT, method="POST", **body):
    body = {"model": "m", "messages": [{"role": "user", "content": f"ask {custom_id}"}]} | body
    return {"custom_id": custom_id, "method": method, "url": url, "body": body}


def jsonl(lines):
    if isinstance(lines, int):
        lines = (line(f"r{number}") for number in range(lines))
    return "".join(json.dumps(each) + "\n" for each in lines).encode()


def upload(http, content, filename="in.jsonl", **fields):
    answer = http.post("/files", data={"purpose": "batch", **fields}, files={"file": (filename, content)})
    assert answer.status_code == 200, answer.text
    return answer.json()


def create(http, file, **fields):
    answer = http.post("/batches", json=creation(file, **fields))
    assert answer.status_code == 200, answer.text
    return answer.json()


def creation(file, **fields):
    return {"input_file_id": file["id"], "endpoint": ENDPOINT, "completion_window": "24h"} | fields


def retrieve(http, batch):
    answer = http.get(f"/batches/{batch['id']}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def until(http, batch, *statuses):
    for _ in range(4000):
        batch = retrieve(http, batch)
        if batch["status"] in (statuses or FINAL):
            return batch
        time.sleep(0.005)
    raise AssertionError(f"still {batch['status']}")


def pages(http, path, **query):
    """The pages of a list, by the cursor that each gives, as long as it says that there are more; at most 100."""
    for _ in range(100):
        answer = http.get(path, params=query)
        assert answer.status_code == 200, answer.text
        yield (page := answer.json())
        if not page["has_more"]:
            return
        query["after"] = page["last_id"]
    raise AssertionError("a list without an end")


def run(http, lines, **fields):
    """Upload, create, wait: the final batch."""
    return until(http, create(http, upload(http, jsonl(lines)), **fields))


def results(http, file_id):
    """The lines of an output or error file, by custom_id."""
    if file_id is None:
        return {}
    content = http.get(f"/files/{file_id}/content").content
    assert content.endswith(b"\n")
    found = [json.loads(each) for each in content.split(b"\n")[:-1]]
    by_id = {each["custom_id"]: each for each in found}
    assert len(by_id) == len(found)
    return by_id
