"""Ids of other alphabets and lengths, as a plain HTTP client sees them."""

import re
import uuid
from base64 import urlsafe_b64decode
from urllib.parse import quote

import pytest
from support.service_http import create, http_to, jsonl, pages, upload

from overlay.server import ManualClock, Oldest, Pace, Service, Traits

SPELLINGS = {
    "openai": (r"batch_\w+", r"file-\w+"),
    "uuid": (r"[0-9a-f-]{36}", r"[0-9a-f-]{36}"),
    "dashed": (r"batch-[0-9a-f-]{36}", r"file-[0-9a-f-]{36}"),
    "long": (r"[\w-]{299}=", r"[\w-]{299}="),
    "path": (r"batches/\w+", r"files/\w+"),
}


def own_ids():
    made = iter(range(1000))
    return lambda kind: f"{kind} ü/{next(made)}?#%25+&="


def outcome(http, path):
    answer = http.get(path)
    assert answer.status_code == 200, answer.text
    return answer


@pytest.mark.parametrize("spelling", [*SPELLINGS, "own"])
def test_everything_works_under_any_ids(tmp_path, spelling):
    traits = Traits(ids=own_ids() if spelling == "own" else spelling)
    options = {"clock": ManualClock(), "pace": Pace(in_progress=100), "state": tmp_path, "traits": traits}
    with Service(**options) as service, http_to(service) as http:
        file = upload(http, jsonl(10))
        batches = [create(http, file, metadata={"number": str(number)}) for number in range(5)]
        path = f"/batches/{quote(batches[0]['id'], safe='')}"
        service.advance(50)
    with Service(**options) as service, http_to(service) as http:
        assert outcome(http, path).json()["request_counts"]["completed"] == 5
        cancelled = f"/batches/{quote(batches[1]['id'], safe='')}/cancel"
        assert http.post(cancelled).json()["status"] == "cancelling"
        service.advance(100)
        batch = outcome(http, path).json()
        assert (batch["id"], batch["status"], batch["metadata"]) == (
            batches[0]["id"],
            "completed",
            {"number": "0"},
        )
        assert batch["input_file_id"] == file["id"]
        for file_id, lines in ((file["id"], 10), (batch["output_file_id"], 10)):
            quoted = f"/files/{quote(file_id, safe='')}"
            assert outcome(http, quoted).json()["id"] == file_id
            assert outcome(http, f"{quoted}/content").content.count(b"\n") == lines
        listed = [each["id"] for page in pages(http, "/batches", limit=2) for each in page["data"]]
        assert listed == [each["id"] for each in reversed(batches)]
        service.faults.add("GET /batches", Oldest(), times=None)
        listed = [each["id"] for page in pages(http, "/batches", limit=2) for each in page["data"]]
        assert listed == [each["id"] for each in batches]
        files = [each["id"] for page in pages(http, "/files", limit=3) for each in page["data"]]
        assert len(set(files)) == len(files) >= 6
        assert http.delete(f"/files/{quote(file['id'], safe='')}").json()["id"] == file["id"]
        assert http.get(f"/files/{quote(file['id'], safe='')}").status_code == 404
        if spelling != "own":
            for pattern, found in ((0, listed), (1, files)):
                assert all(re.fullmatch(SPELLINGS[spelling][pattern], each) for each in found)


def test_what_the_spellings_are_made_of():
    def ids(spelling):
        with Service(traits=Traits(ids=spelling)) as service, http_to(service) as http:
            file = upload(http, jsonl(1))
            return create(http, file)["id"], file["id"]

    assert all(uuid.UUID(each).version == 4 for each in ids("uuid"))
    assert all(len(urlsafe_b64decode(each)) == 224 and len(each) == 300 for each in ids("long"))


def test_a_slash_in_an_id_is_not_one_of_the_path():
    with Service(traits=Traits(ids="path")) as service, http_to(service) as http:
        file = upload(http, jsonl(1))
        assert http.get(f"/files/{file['id']}").status_code == 404
        assert http.get(f"/files/{file['id'].replace('/', '%2f')}").json() == file
        assert http.get(f"/files/{file['id'].replace('/', '%2F')}/content").content == jsonl(1)
        assert service.requests[-1].path == f"/v1/files/{file['id'].replace('/', '%2F')}/content"
        assert http.get("/batches/%2F").status_code == http.get("/files/a%2F..%2Fb").status_code == 404


def test_an_id_is_no_path_of_the_machine(tmp_path):
    names = iter(["../../outside", "..", ".", "a/b", "/etc/passwd", "x" * 2000, "\x00", "~"])
    traits = Traits(ids=lambda kind: next(names))
    folder = tmp_path / "state"
    with Service(state=folder, traits=traits) as service, http_to(service) as http:
        made = [upload(http, jsonl(number)) for number in range(1, 9)]
        for number, file in enumerate(made, 1):
            if file["id"] not in {".", ".."}:  # which no client can send
                content = outcome(http, f"/files/{quote(file['id'], safe='')}/content").content
                assert content == jsonl(number)
        assert len(list((folder / "files").iterdir())) == 8
    assert [each.name for each in tmp_path.iterdir()] == ["state"]


def test_an_unknown_spelling_is_an_error():
    with pytest.raises(ValueError, match="openai, uuid, dashed, long, path"):
        Traits(ids="roman")


def test_a_file_in_parts_has_an_id_of_the_same_form():
    data = jsonl(1)
    with Service(traits=Traits(ids="dashed")) as service, http_to(service) as http:
        announced = {"bytes": len(data), "filename": "a.jsonl", "mime_type": "text/jsonl", "purpose": "batch"}
        whole = http.post("/uploads", json=announced).json()["id"]
        part = http.post(f"/uploads/{whole}/parts", files={"data": data}).json()["id"]
        file = http.post(f"/uploads/{whole}/complete", json={"part_ids": [part]}).json()["file"]
        assert len(file["id"]) == len("file-") + 36
