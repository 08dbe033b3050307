"""The embedded service, driven over real sockets with nothing but httpx."""

import json
import os
import signal
import subprocess
import sys
import threading

import httpx
import pytest
from support.service_http import ENDPOINT, create, creation, http_to, jsonl, line, results, run, until, upload

from overlay.server import Limits, Service


@pytest.fixture
def service():
    with Service() as service:
        yield service


@pytest.fixture
def http(service):
    with http_to(service) as http:
        yield http


def test_from_upload_to_answers(http, service):
    file = upload(http, jsonl(20))
    assert (file["filename"], file["purpose"], file["bytes"]) == ("in.jsonl", "batch", len(jsonl(20)))
    created = create(http, file)
    assert created["status"] == "validating"
    batch = until(http, created)
    assert batch["status"] == "completed"
    assert batch["request_counts"] == {"total": 20, "completed": 20, "failed": 0}
    assert batch["error_file_id"] is None
    assert batch["model"] == "m"
    ids = list(results(http, batch["output_file_id"]))
    assert sorted(ids) == sorted(f"r{number}" for number in range(20))
    assert ids != [f"r{number}" for number in range(20)]
    assert service.count("POST", "/batches") == 1
    assert [each["id"] for each in service.batches()] == [batch["id"]]


def test_every_answer_carries_a_request_id(http):
    answers = [
        http.get("/batches"),
        http.get("/batches/none"),
        http.get("/nowhere"),
        http.put("/batches"),
        http.get("/files", headers={"Authorization": ""}),
    ]
    assert [each.status_code for each in answers] == [200, 404, 404, 405, 401]
    assert len({each.headers["x-request-id"] for each in answers}) == 5
    for answer in answers[1:]:
        assert answer.json()["error"].keys() == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("tokens", "good", "bad"),
    [
        ("one", ["one"], ["two", ""]),
        (["one", "two"], ["one", "two"], ["three"]),
        (lambda token: token.startswith("good"), ["good-1"], ["bad-1"]),
        (None, ["anything"], [""]),
    ],
)
def test_tokens(tokens, good, bad):
    with Service(tokens=tokens) as service:
        for token in good:
            with http_to(service, token) as http:
                assert http.get("/batches").status_code == 200
        for token in bad:
            answer = httpx.get(
                f"{service.base_url}/batches", headers={"Authorization": f"Bearer {token}".strip()}
            )
            assert answer.status_code == 401
            assert answer.json()["error"]["type"] == "invalid_request_error"
            assert not token or token not in answer.text


def test_an_async_check_of_tokens():
    async def check(token):
        return token == "fresh"

    with Service(tokens=check) as service:
        with http_to(service, "stale") as http:
            assert http.get("/batches").json()["error"]["code"] == "invalid_api_key"
        with http_to(service, "fresh") as http:
            assert http.get("/batches").status_code == 200


def test_the_log_of_requests_shows_no_token(service):
    with http_to(service, "canary-token") as http:
        http.get("/batches", params={"limit": 3})
    (request,) = service.requests
    assert (request.method, request.path, request.query, request.status) == (
        "GET",
        "/v1/batches",
        "limit=3",
        200,
    )
    assert request.token == "canary-token"
    assert "canary" not in repr(request)
    assert "canary" not in str(request.headers)


def test_lists_are_newest_first_and_paged(http):
    file = upload(http, jsonl(1))
    ids = [create(http, file, metadata={"n": str(number)})["id"] for number in range(7)][::-1]
    first = http.get("/batches", params={"limit": 3}).json()
    assert [each["id"] for each in first["data"]] == ids[:3]
    assert (first["object"], first["first_id"], first["last_id"], first["has_more"]) == (
        "list",
        ids[0],
        ids[2],
        True,
    )
    second = http.get("/batches", params={"limit": 3, "after": first["last_id"]}).json()
    third = http.get("/batches", params={"limit": 3, "after": second["last_id"]}).json()
    assert [each["id"] for each in second["data"] + third["data"]] == ids[3:]
    assert third["has_more"] is False
    end = http.get("/batches", params={"after": ids[-1]}).json()
    assert (end["data"], end["first_id"], end["last_id"], end["has_more"]) == ([], None, None, False)


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "limit=x", "limit=-1", "limit=", "after=batch_none", "limit=%D9%A1"]
)
def test_a_bad_page_is_refused(http, query):
    answer = http.get(f"/batches?{query}")
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == query.partition("=")[0]


def test_files_are_listed_by_purpose_and_order(http):
    inputs = [upload(http, b"{}\n", f"{number}.jsonl")["id"] for number in range(3)]
    other = upload(http, b"x", "pic.png", purpose="vision")["id"]
    assert [each["id"] for each in http.get("/files").json()["data"]] == [other, *inputs[::-1]]
    assert [each["id"] for each in http.get("/files?order=asc").json()["data"]] == [*inputs, other]
    assert [each["id"] for each in http.get("/files?purpose=vision").json()["data"]] == [other]
    page = http.get(
        "/files", params={"order": "asc", "limit": 1, "after": inputs[0], "purpose": "batch"}
    ).json()
    assert ([each["id"] for each in page["data"]], page["has_more"]) == ([inputs[1]], True)
    # The place of a deleted file stays good as a cursor.
    http.delete(f"/files/{inputs[1]}")
    page = http.get("/files", params={"order": "asc", "after": inputs[1], "purpose": "batch"}).json()
    assert [each["id"] for each in page["data"]] == [inputs[2]]
    assert http.get("/files?order=random").status_code == 400


def test_a_deleted_file_is_gone(http):
    file = upload(http, jsonl(1))
    answer = http.delete(f"/files/{file['id']}")
    assert answer.json() == {"id": file["id"], "object": "file", "deleted": True}
    assert http.get(f"/files/{file['id']}").status_code == 404
    assert http.get(f"/files/{file['id']}/content").status_code == 404
    assert http.delete(f"/files/{file['id']}").status_code == 404
    batch = until(http, create(http, file))
    assert batch["status"] == "failed"
    assert f"Cannot find file {file['id']}" in batch["errors"]["data"][0]["message"]


def test_a_deleted_file_can_be_refused_at_once():
    with Service(limits=Limits(unknown_files="refused")) as service, http_to(service) as http:
        file = upload(http, jsonl(1))
        http.delete(f"/files/{file['id']}")
        answer = http.post("/batches", json=creation(file))
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == "input_file_id"
        assert f"Cannot find file {file['id']}" in answer.json()["error"]["message"]
        assert service.batches() == []


@pytest.mark.parametrize("limits", [{"unknown_files": "ignored"}, {"never_run": 1.1}, {"never_run": -0.1}])
def test_a_limit_that_is_none(limits):
    with pytest.raises(ValueError, match=next(iter(limits))):
        Limits(**limits)


def test_content_in_ranges(http):
    content = bytes(range(256)) * 20
    file = upload(http, content, "b.bin", purpose="evals")
    path = f"/files/{file['id']}/content"
    whole = http.get(path)
    assert whole.content == content
    assert whole.headers["content-length"] == str(len(content))
    assert whole.headers["content-type"] == "application/octet-stream"
    part = http.get(path, headers={"Range": "bytes=1000-1999"})
    assert (part.status_code, part.content) == (206, content[1000:2000])
    assert part.headers["content-range"] == f"bytes 1000-1999/{len(content)}"
    rest = http.get(path, headers={"Range": "bytes=5000-", "If-Range": whole.headers["etag"]})
    assert (rest.status_code, rest.content) == (206, content[5000:])
    changed = http.get(path, headers={"Range": "bytes=5000-", "If-Range": '"another"'})
    assert (changed.status_code, changed.content) == (200, content)
    assert http.get(path, headers={"Range": "bytes=99999-"}).status_code == 416


@pytest.mark.parametrize(
    "content", [b"", b"x", b"\r\n", b"--", b"\r\n--\r\n", "ü\u2028\n".encode(), b"\0" * 70_000]
)
@pytest.mark.parametrize(
    "filename", ["in.jsonl", 'quo"te.jsonl', "ünï.jsonl", "../../etc/passwd", "a b;c.jsonl"]
)
def test_an_upload_comes_back_as_it_was(http, content, filename):
    file = upload(http, content, filename, purpose="evals")
    assert file["bytes"] == len(content)
    assert file["filename"].replace("%22", '"') == filename
    assert http.get(f"/files/{file['id']}/content").content == content


@pytest.mark.parametrize(
    ("files", "data", "param"),
    [
        ({}, {"purpose": "batch"}, "file"),
        ({"file": b"x"}, {}, "purpose"),
        ({"file": b"x"}, {"purpose": "fun"}, "purpose"),
        (
            {"file": b"x"},
            {"purpose": "batch", "expires_after[anchor]": "created_at"},
            "expires_after.seconds",
        ),
        (
            {"file": b"x"},
            {"purpose": "batch", "expires_after": '{"anchor": "now", "seconds": 3600}'},
            "expires_after.anchor",
        ),
    ],
)
def test_a_bad_form_is_refused(http, files, data, param):
    answer = http.post("/files", data=data, files=files or {"other": (None, b"")})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"{}"),
        ("multipart/form-data", b""),
        ("multipart/form-data; boundary=b", b"--b\r\n"),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nhalf',
        ),
        ("multipart/form-data; boundary=" + "b" * 5000, b""),
    ],
)
def test_a_form_that_is_none_is_refused(http, content_type, body):
    answer = http.post("/files", content=body, headers={"Content-Type": content_type})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]
    assert http.get("/files").json()["data"] == []


def test_an_upload_over_the_limit_is_refused():
    with Service(limits=Limits(max_upload_bytes=1000)) as service, http_to(service) as http:
        upload(http, b"1" * 1000)
        answer = http.post("/files", data={"purpose": "batch"}, files={"file": b"1" * 1001})
        assert answer.status_code == 413


def test_files_expire(http):
    dotted = {"expires_after.anchor": "created_at", "expires_after.seconds": "1209600"}
    file = upload(http, b"{}", **dotted)
    assert file["expires_at"] == file["created_at"] + 1_209_600
    file = upload(http, b"{}", **{"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"})
    assert file["expires_at"] == file["created_at"] + 3600
    assert upload(http, b"{}")["expires_at"] == pytest.approx(file["created_at"] + 30 * 86400, abs=60)
    assert upload(http, b"x", purpose="user_data")["expires_at"] is None


def test_services_do_not_share_anything():
    with Service() as one, Service() as two, http_to(one) as http:
        run(http, 1)
        assert len(one.batches()) == 1
        assert two.batches() == []


def test_many_threads_create_at_once(http, service):
    file = upload(http, jsonl(2))

    def work():
        for _ in range(5):
            create(http, file)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    service.settle()
    assert [each["status"] for each in service.batches()] == ["completed"] * 40


def test_output_lines_have_the_form_of_the_api(http):
    batch = run(http, [line("good"), line("bad", url=ENDPOINT)])
    for answer in results(http, batch["output_file_id"]).values():
        assert answer.keys() == {"id", "custom_id", "response", "error"}
        assert answer["id"].startswith("batch_req_")
        assert answer["response"].keys() == {"status_code", "request_id", "body"}
        assert answer["response"]["status_code"] == 200
        assert answer["error"] is None
        assert (
            answer["response"]["body"]["choices"][0]["message"]["content"]
            == f"echo: ask {answer['custom_id']}"
        )
    usage = batch["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"] > 0


def test_a_port_that_is_taken_is_an_error(service):
    port = int(service.base_url.rpartition(":")[2].partition("/")[0])
    with pytest.raises(OSError, match="in use"), Service(port=port):
        pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_ends_cleanly_on_a_signal(number):
    script = "from overlay.server import serve; serve(port=0, on_ready=lambda url: print(url, flush=True))"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        url = process.stdout.readline().decode().strip()
        with httpx.Client(headers={"Authorization": "Bearer x"}) as http:
            assert http.get(f"{url}/batches").json()["data"] == []
            os.kill(process.pid, number)
            _, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    assert errors == b""


def test_state_is_written_for_a_stranger_to_read(http):
    """The log and every answer are JSON that any reader takes, for any metadata."""
    metadata = {"k\u2028": "v\u2028\x00ü\U0001f600"}
    batch = create(http, upload(http, jsonl(1)), metadata=metadata)
    assert json.loads(http.get(f"/batches/{batch['id']}").text)["metadata"] == metadata
