"""What the real service was recorded to do, point by point, as other projects' published recordings and tests show.

Where a point is known from comments in an independent server's tests only, the test is marked `second_hand`: it is
the first to look at when the real service is seen to do something else.
"""

import re
import time

import pytest
from support.service_http import (
    ENDPOINT,
    create,
    creation,
    http_to,
    jsonl,
    line,
    results,
    retrieve,
    run,
    until,
    upload,
)

from overlay import Client, Request
from overlay.server import Cut, Limits, ManualClock, Pace, Reject, Service
from overlay.server.answers import batch_lines, source
from overlay.server.models import SNAPSHOTS, snapshot

BATCH_ID = re.compile(r"batch_[0-9a-f]{32}")
FILE_ID = re.compile(r"file-[1-9A-HJ-NP-Za-km-z]{22}")
REQUEST_ID = re.compile(r"req_[0-9a-f]{32}")
LINE_REQUEST_ID = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
NOWHERE = "file-" + "2" * 22


@pytest.fixture(scope="module")
def service():
    with Service(limits=Limits(models=("m", "gpt-4o-mini"))) as service:
        yield service


@pytest.fixture(scope="module")
def http(service):
    with http_to(service) as http:
        yield http


def send(http, content, filename="in.jsonl", purpose="batch"):
    return http.post("/files", data={"purpose": purpose}, files={"file": (filename, content)})


def refused(answer, status, message):
    """The whole body of a refusal of the caller's own fault; gives its error."""
    assert answer.status_code == status
    body = answer.json()
    assert body.keys() == {"error"}
    assert body["error"].keys() == {"message", "type", "param", "code"}
    assert (body["error"]["type"], body["error"]["message"]) == ("invalid_request_error", message)
    return body["error"]


# An input file that is not there.


@pytest.mark.second_hand
@pytest.mark.parametrize("deleted", [False, True], ids=["unknown", "deleted"])
def test_a_batch_of_a_file_that_is_not_there_is_created_and_fails(http, deleted):
    file_id = NOWHERE
    if deleted:
        file_id = upload(http, jsonl(1))["id"]
        http.delete(f"/files/{file_id}")
    answer = http.post("/batches", json=creation({"id": file_id}, metadata={"k": "v"}))
    assert answer.status_code == 200
    created = answer.json()
    assert (created["status"], created["errors"], created["input_file_id"]) == ("validating", None, file_id)
    batch = until(http, created)
    organization = answer.headers["openai-organization"]
    assert batch.pop("failed_at") >= batch["created_at"]
    assert batch == {
        "id": created["id"],
        "object": "batch",
        "endpoint": ENDPOINT,
        "model": None,
        "errors": {
            "object": "list",
            "data": [
                {
                    "code": "invalid_request",
                    "message": f"Cannot find file {file_id}, or organization {organization}"
                    " does not have access to it.",
                    "param": "file_id",
                    "line": None,
                }
            ],
        },
        "input_file_id": file_id,
        "completion_window": "24h",
        "status": "failed",
        "output_file_id": None,
        "error_file_id": None,
        "created_at": created["created_at"],
        "in_progress_at": None,
        "expires_at": created["created_at"] + 86400,
        "finalizing_at": None,
        "completed_at": None,
        "expired_at": None,
        "cancelling_at": None,
        "cancelled_at": None,
        "request_counts": {"total": 0, "completed": 0, "failed": 0},
        "usage": None,
        "metadata": {"k": "v"},
    }


def test_a_batch_of_a_file_that_is_not_there_can_be_cancelled_before_it_fails():
    with Service(clock=ManualClock(), pace=Pace(validating=10)) as service, http_to(service) as http:
        batch = create(http, {"id": NOWHERE})
        assert http.post(f"/batches/{batch['id']}/cancel").json()["status"] == "cancelling"
        service.advance(20)
        assert retrieve(http, batch)["status"] == "cancelled"


def test_a_batch_of_a_file_that_is_not_there_fails_after_a_restart_too(tmp_path):
    service = Service(state=tmp_path, clock=ManualClock(), pace=Pace(validating=10))
    with service, http_to(service) as http:
        batch = create(http, {"id": NOWHERE})
    with service, http_to(service) as http:
        service.advance(20)
        batch = retrieve(http, batch)
        assert (batch["status"], batch["errors"]["data"][0]["param"]) == ("failed", "file_id")


# Uploads.


@pytest.mark.parametrize("filename", ["in.json", "in.jsonl.txt", "notes.txt", "in.JSONL"])
def test_an_upload_for_batches_has_no_other_extension(http, filename):
    error = refused(send(http, jsonl(1), filename), 400, "Invalid file format for Batch API. Must be .jsonl")
    assert (error["param"], error["code"]) == (None, None)


@pytest.mark.parametrize("filename", ["in.jsonl", "in", "jsonl"])
def test_an_upload_for_batches_needs_no_extension(http, filename):
    answer = send(http, jsonl(1), filename)
    assert (answer.status_code, answer.json()["filename"]) == (200, filename)


def test_an_upload_for_batches_needs_no_name(http):
    """Curator and instructor upload bytes, which HTTP libraries call `upload`."""
    answer = http.post("/files", data={"purpose": "batch"}, files={"file": jsonl(1)})
    assert (answer.status_code, answer.json()["filename"]) == (200, "upload")


@pytest.mark.second_hand
@pytest.mark.parametrize(
    "content",
    [b"", b"\n \n", b"{\n", jsonl(1) + b"{} {}\n", jsonl(1)[:-3], b"\xef\xbb\xbf" + jsonl(1), b"[" * 100_000],
    ids=["empty", "blank", "open", "two in a line", "cut", "a byte order mark", "deep"],
)
def test_an_upload_for_batches_is_lines_of_json(http, content):
    before = http.get("/files").json()["data"]
    answer = send(http, content)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith("Invalid file format for Batch API. ")
    assert http.get("/files").json()["data"] == before


def test_an_upload_for_another_purpose_is_not_looked_into(http):
    assert send(http, b"{", "in.txt", purpose="user_data").status_code == 200


def test_an_upload_with_lines_that_lack_something_is_taken(http):
    lines = [{name: value for name, value in line("a").items() if name != "method"}, {}]
    file = upload(http, jsonl(lines))
    created_at = file.pop("created_at")
    assert FILE_ID.fullmatch(file.pop("id"))
    assert file == {
        "object": "file",
        "bytes": len(jsonl(lines)),
        "expires_at": created_at + 30 * 86400,
        "filename": "in.jsonl",
        "purpose": "batch",
        "status": "processed",
        "status_details": None,
    }


def test_uploads_can_go_unchecked():
    with Service(limits=Limits(check_uploads=False)) as service, http_to(service) as http:
        file = send(http, b"{\n", "in.txt").json()
        batch = until(http, create(http, file))
        assert [each["code"] for each in batch["errors"]["data"]] == ["invalid_json_line"]


# Validation.


def without(name):
    return {key: value for key, value in line("a").items() if key != name}


def of_a_stream():
    return line("a", stream=True)


def without_messages():
    changed = line("a")
    del changed["body"]["messages"]
    return changed


@pytest.mark.second_hand
@pytest.mark.parametrize(
    ("bad", "code", "message", "param"),
    [
        *[
            (without(name), "missing_required_parameter", f"Missing required parameter: '{name}'.", name)
            for name in ("custom_id", "method", "url", "body")
        ],
        (
            line("a", url="/v1/responses"),
            "invalid_url",
            "The URL provided for this request does not match the batch endpoint.",
            "url",
        ),
        (of_a_stream(), "streaming_unsupported", None, "body.stream"),
        (without_messages(), "invalid_request", "Messages parameter is required.", "body.messages"),
        (
            line("a", model="gpt-0"),
            "model_not_found",
            "The provided model 'gpt-0' is not supported by the Batch API.",
            "body.model",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and "." not in value else "",
)
def test_a_bad_line_has_the_code_and_the_sentence_that_clients_match_on(http, bad, code, message, param):
    batch = run(http, [line("good"), bad])
    assert (batch["status"], batch["errors"]["object"]) == ("failed", "list")
    (problem,) = batch["errors"]["data"]
    assert problem.keys() == {"code", "message", "param", "line"}
    assert (problem["code"], problem["param"], problem["line"]) == (code, param, 2)
    assert problem["message"] == message if message else problem["message"]


@pytest.mark.second_hand
def test_a_line_that_is_not_json_has_its_sentence():
    with Service(limits=Limits(check_uploads=False)) as service, http_to(service) as http:
        batch = until(http, create(http, upload(http, b"{\n")))
        assert batch["errors"]["data"] == [
            {
                "code": "invalid_json_line",
                "message": "This line is not parseable as valid JSON.",
                "param": None,
                "line": 1,
            }
        ]


# Cancelling.


@pytest.mark.second_hand
def test_a_cancelled_batch_can_be_cancelled_again():
    with Service(clock=ManualClock(), pace=Pace(in_progress=10)) as service, http_to(service) as http:
        batch = create(http, upload(http, jsonl(1)))
        for status in ("cancelling", "cancelled", "cancelled"):
            answer = http.post(f"/batches/{batch['id']}/cancel")
            assert (answer.status_code, answer.json()["status"]) == (200, status)
            service.settle()
        assert answer.json() == retrieve(http, batch)


def test_a_completed_batch_cannot_be_cancelled(http):
    batch = run(http, 1)
    answer = http.post(f"/batches/{batch['id']}/cancel")
    refused(answer, 409, "Cannot cancel a batch with status 'completed'.")


# Content.


@pytest.mark.parametrize("purpose", ["assistants", "user_data"])
def test_content_of_another_purpose_is_not_given_out(http, purpose):
    file = send(http, b"secret", "notes.txt", purpose).json()
    answer = http.get(f"/files/{file['id']}/content")
    refused(answer, 400, f"Not allowed to download files of purpose: {purpose}")


# Headers and ids.


def test_every_answer_carries_the_headers_of_the_service(service, http):
    batch = run(http, 1)
    service.faults.add("GET /batches", Reject(503))
    service.faults.add("GET /files/*/content", Cut(after=10**6, framing="close"))
    answers = [
        http.get("/batches"),
        http.get("/batches"),
        http.get(f"/files/{batch['output_file_id']}/content"),
        http.get(f"/files/{batch['output_file_id']}/content", headers={"Range": "bytes=0-9"}),
        send(http, jsonl(1)),
        send(http, b""),
        http.post("/batches", json={}),
        http.post("/batches", headers={"Authorization": ""}),
        http.get("/batches/batch_none"),
        http.get("/nowhere"),
        http.put("/batches"),
    ]
    statuses = [answer.status_code for answer in answers]
    assert statuses == [503, 200, 200, 206, 200, 400, 400, 401, 404, 404, 405]
    for answer in answers:
        headers = answer.headers
        assert headers["openai-version"] == "2020-10-01"
        assert headers["openai-organization"]
        assert headers["openai-processing-ms"].isdigit()
        assert headers["x-content-type-options"] == "nosniff"
        assert REQUEST_ID.fullmatch(headers["x-request-id"])
    assert len({answer.headers["x-request-id"] for answer in answers}) == len(answers)


def test_the_time_that_an_answer_took_is_told():
    with Service() as service, http_to(service) as http:
        whole = http.get("/batches")
        assert int(whole.headers["openai-processing-ms"]) <= whole.elapsed.total_seconds() * 1000 + 1


def test_ids_have_the_length_and_the_alphabet_of_the_service(http):
    file = upload(http, jsonl(3))
    batch = until(http, create(http, file))
    assert BATCH_ID.fullmatch(batch["id"])
    assert FILE_ID.fullmatch(file["id"])
    assert FILE_ID.fullmatch(batch["output_file_id"])
    for answered in results(http, batch["output_file_id"]).values():
        assert re.fullmatch(r"batch_req_[0-9a-f]+", answered["id"])
        assert LINE_REQUEST_ID.fullmatch(answered["response"]["request_id"])


# Models.


def test_a_batch_names_the_snapshot_of_its_model(http):
    batch = run(http, [line("a", model="gpt-4o-mini")])
    assert (batch["status"], batch["model"]) == ("completed", "gpt-4o-mini-2024-07-18")


@pytest.mark.parametrize(
    "name", ["gpt-4o-mini-2024-07-18", "text-embedding-3-small", "m", "org/own-model:7b"]
)
def test_a_name_that_stands_for_itself_stays(name):
    assert snapshot(name) == name


def test_a_snapshot_is_dated_and_stands_for_itself():
    for name, dated in SNAPSHOTS.items():
        assert re.fullmatch(re.escape(name.removesuffix("-latest")) + r"-(\d{4}|\d{4}-\d\d-\d\d)", dated)
        assert snapshot(dated) == dated


def test_tokens_are_capped_by_snapshot():
    limits = Limits(enqueued_tokens=len(jsonl(20)) // 4 * 3 // 2)
    with (
        Service(clock=ManualClock(), pace=Pace(in_progress=9), limits=limits) as service,
        http_to(service) as http,
    ):
        for status, model in (("in_progress", "gpt-4o-mini"), ("failed", "gpt-4o-mini-2024-07-18")):
            batch = create(http, upload(http, jsonl([line(f"r{n}", model=model) for n in range(20)])))
            service.settle()
            assert retrieve(http, batch)["status"] == status


# Lines that never ran.


def never_ran(answered):
    """The whole line, but for its ids."""
    assert re.fullmatch(r"batch_req_[0-9a-f]+", answered["id"])
    assert LINE_REQUEST_ID.fullmatch(answered["response"]["request_id"])
    assert answered == {
        "id": answered["id"],
        "custom_id": answered["custom_id"],
        "response": {"status_code": 0, "request_id": answered["response"]["request_id"], "body": {}},
        "error": None,
    }


def test_an_error_file_can_hold_lines_that_never_ran():
    asked = []

    def answer(request):
        asked.append(request["custom_id"])
        return {"id": request["custom_id"]}

    with Service(answer, limits=Limits(never_run=0.3)) as service, http_to(service) as http:
        batches = [run(http, 50) for _ in range(2)]
        passed_over = []
        for batch in batches:
            assert batch["status"] == "completed"
            assert batch["request_counts"] == {"total": 50, "completed": 35, "failed": 15}
            good, bad = results(http, batch["output_file_id"]), results(http, batch["error_file_id"])
            assert (len(good), len(bad)) == (35, 15)
            for each in bad.values():
                never_ran(each)
            passed_over.append(bad.keys())
        assert len(asked) == 70
        # A line that is sent again in another batch has its chance.
        assert passed_over[0] != passed_over[1]


def test_which_lines_never_run_outlives_a_restart(tmp_path):
    options = {"limits": Limits(never_run=0.5), "pace": Pace(in_progress=100), "clock": ManualClock()}
    service = Service(state=tmp_path, **options)
    with service, http_to(service) as http:
        batch = create(http, upload(http, jsonl(40)))
        service.advance(50)
    with service, http_to(service) as http:
        service.advance(100)
        assert retrieve(http, batch)["request_counts"] == {"total": 40, "completed": 20, "failed": 20}


def test_a_callable_can_answer_that_a_line_never_ran():
    with Service(lambda request: (0, {})) as service, http_to(service) as http:
        batch = run(http, 2)
        assert (batch["status"], batch["output_file_id"]) == ("completed", None)
        assert batch["request_counts"] == {"total": 2, "completed": 0, "failed": 2}
        for each in results(http, batch["error_file_id"]).values():
            never_ran(each)


def test_a_job_sends_lines_that_never_ran_again(tmp_path):
    with (
        Service(limits=Limits(never_run=0.5)) as service,
        Client(token="any", base_url=service.base_url, home=tmp_path) as client,
    ):
        requests = [Request(f"r{number}", {"model": "m", "messages": []}) for number in range(8)]
        client.jobs.submit(requests, id="j", max_attempts=20)
        job = client.jobs.wait("j", poll=0.05)
        assert (job.ok, job.failed) == (8, 0)
        assert len(service.batches()) > 1


# Counts.


def test_counts_do_not_fall_back_after_a_restart(tmp_path, monkeypatch):
    def reread(line):
        time.sleep(0.005)  # as for a batch of many lines, on a slow disk
        return source.reread(line)

    monkeypatch.setattr(batch_lines, "reread", reread)
    lines = 100
    service = Service(state=tmp_path, clock=ManualClock(), pace=Pace(in_progress=100))
    with service, http_to(service) as http:
        batch = create(http, upload(http, jsonl(lines)))
        service.advance(50)
        before = retrieve(http, batch)
        assert before["request_counts"] == {"total": lines, "completed": lines // 2, "failed": 0}
    for _ in range(2):
        with service, http_to(service) as http:
            # The first answers of all, before anything of the batch can have been done.
            assert retrieve(http, batch) == before
            assert http.get("/batches").json()["data"] == [before]
    with service, http_to(service) as http:
        service.advance(100)
        assert retrieve(http, batch)["request_counts"]["completed"] == lines
