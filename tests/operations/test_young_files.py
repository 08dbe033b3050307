"""Not yet is not never: files that cannot be used a moment after their upload; and never is never."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from support.calling import FakeClock, calling, create
from support.raw_server import answer
from support.services import at, file_for, request_for

from overlay import APIStatusError, InvalidInputError, NotFoundError, UnknownOutcomeError
from overlay.server import Literally, Reject

CREATE = "POST /batches"


def refusal_of(param, message):
    """A refusal that names a parameter."""
    body = json.dumps({"error": {"message": message, "param": param}})
    return Literally(body, status=400, media_type="application/json")


NOT_YET = [
    Reject(404, "Input file not found"),
    Reject(404, "No."),
    Reject(422, "Unprocessable"),
    Reject(400, "The input file is in 'pending' state."),
    Reject(400, "Cannot find file, or your organization does not have access to it."),
    refusal_of("input_file_id", "no"),
    refusal_of("body.input_file_id", "no"),
]
SOMETHING_ELSE = [
    refusal_of("endpoint", "The file's endpoint is not known."),
    Literally(
        json.dumps({"detail": [{"loc": ["body", "completion_window"], "msg": "not a valid file window"}]}),
        status=422,
        media_type="application/json",
    ),
    Reject(400, "Too many enqueued tokens for the file's model.", code="token_limit_exceeded"),
    Reject(400, "That model cannot be used in batches."),
    Reject(403, "You may not use this file."),
]


@pytest.mark.parametrize("refusal", NOT_YET, ids=str)
def test_a_file_that_was_just_uploaded_is_waited_for(api, service, clock, file_id, refusal):
    service.faults.add(CREATE, refusal, times=4)
    assert create(api, file_id).input_file_id == file_id
    assert len(service.batches()) == 1
    assert 4 <= sum(clock.slept) < 60


@pytest.mark.parametrize("refusal", NOT_YET, ids=str)
def test_it_is_not_waited_for_longer_than_a_minute(api, service, clock, file_id, refusal):
    service.faults.add(CREATE, refusal, times=None)
    with pytest.raises(APIStatusError):
        create(api, file_id)
    assert 60 <= sum(clock.slept) < 70


@pytest.mark.parametrize("refusal", SOMETHING_ELSE, ids=str)
def test_a_refusal_for_something_else_is_raised_at_once(api, service, clock, file_id, refusal):
    service.faults.add(CREATE, refusal, times=None)
    with pytest.raises(APIStatusError):
        create(api, file_id)
    assert clock.slept == []
    assert service.count("POST", "/batches") == 1


def test_a_file_of_long_ago_is_not_waited_for(api, service, clock, file_id):
    clock.move(61)
    service.advance(61)
    service.faults.add(CREATE, Reject(404, "Input file not found"), times=None)
    with pytest.raises(NotFoundError):
        create(api, file_id)
    assert clock.slept == []


def records(*, created_at, status="processed", refused=3):
    """A service that refuses some creates of a file that another program uploaded."""
    left = [refused]
    now = format_datetime(datetime(2026, 1, 1, 12, tzinfo=UTC), usegmt=True)

    def script(request):
        if request.method == "GET":
            record = {"id": "file-1", "created_at": created_at, "status": status}
            return answer(record, date=now)
        left[0] -= 1
        if left[0] >= 0:
            return answer({"detail": "not found"}, status=404, date=now)
        return answer({"id": "batch_1", "input_file_id": "file-1", "status": "validating"})

    return script


NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("ago", [0, 30, 59])
@pytest.mark.parametrize("written", [lambda moment: int(moment.timestamp()), datetime.isoformat])
def test_a_file_is_young_by_its_own_record(raw_server, connect, ago, written):
    server = raw_server(records(created_at=written(NOON - timedelta(seconds=ago))))
    clock = FakeClock()
    assert create(connect(server.base_url, clock=clock), "file-1").id == "batch_1"
    assert 3 <= sum(clock.slept) < 60


@pytest.mark.parametrize("created_at", [int(NOON.timestamp()) - 300, None, 0, "long ago"])
def test_a_file_that_is_not_young_by_its_own_record_is_not_waited_for(raw_server, connect, created_at):
    server = raw_server(records(created_at=created_at))
    clock = FakeClock()
    with pytest.raises(NotFoundError):
        create(connect(server.base_url, clock=clock), "file-1")
    assert clock.slept == []


def test_the_services_words_are_not_lost_where_the_record_cannot_be_read(raw_server, connect):
    def script(request):
        if request.method == "GET":
            return answer({"detail": "boom"}, status=500)
        return answer({"detail": "the file is unknown"}, status=404)

    api = connect(raw_server(script).base_url)
    with pytest.raises(NotFoundError, match="the file is unknown"):
        create(api, "file-1")


@pytest.mark.parametrize("status", ["pending", "RUNNING", "uploading", "processing"])
def test_a_file_that_is_not_ready_is_polled_before_the_create(
    raw_server, connect, requests_file, status, caplog
):
    looks = [90]

    def script(request):
        if request.path.endswith("/batches"):
            return answer({"id": "batch_1", "input_file_id": "file-1", "status": "validating"})
        looks[0] -= request.method == "GET"
        return answer({"id": "file-1", "status": status if looks[0] > 0 else "processed"})

    server, clock = raw_server(script), FakeClock()
    api = connect(server.base_url, clock=clock)
    file = api.files.upload(requests_file)
    assert create(api, file.id).id == "batch_1"
    assert server.requests().count("POST /batches") == 1
    assert looks == [0]
    assert caplog.text.count(f"is still {status.lower()}") == 1


def test_a_file_that_could_not_be_taken_in_is_never_a_batch(raw_server, connect, requests_file):
    def script(request):
        status = {"status": "error", "status_details": "line 3 is no JSON"}
        return answer({"id": "file-1", **(status if request.method == "GET" else {"status": "pending"})})

    server = raw_server(script)
    api = connect(server.base_url)
    file = api.files.upload(requests_file)
    with pytest.raises(
        InvalidInputError, match=r"could not take in file file-1 \(error\): line 3 is no JSON"
    ):
        create(api, file.id)
    assert "POST /batches" not in server.requests()


def test_a_token_that_may_not_read_files_may_still_create_batches(raw_server, connect, requests_file):
    def script(request):
        if request.path.endswith("/batches"):
            return answer({"id": "batch_1", "input_file_id": "file-1", "status": "validating"})
        if request.method == "GET":
            return answer({"error": {"message": "no"}}, status=403)
        return answer({"id": "file-1", "status": "pending"})

    server = raw_server(script)
    api = connect(server.base_url)
    assert create(api, api.files.upload(requests_file).id).id == "batch_1"
    assert server.requests() == ["POST /files", "GET /files/file-1", "POST /batches"]


def test_a_file_that_fails_after_a_create_went_unanswered_proves_nothing(raw_server, connect, requests_file):
    # A service with an idempotency key: the create is repeated, once the file was looked at again.
    statuses = iter(["processed", "error"])

    def script(request):
        if request.path.endswith("/files"):
            return answer({"id": "file-1", "status": "pending"})
        if "/files/" in request.path:
            return answer({"id": "file-1", "status": next(statuses)})
        if request.method == "POST":
            return answer({"detail": "boom"}, status=500)
        return answer({"object": "list", "data": [], "has_more": False})

    server = raw_server(script)
    api = connect(server.base_url, service="ogx")
    with pytest.raises(UnknownOutcomeError):
        create(api, api.files.upload(requests_file).id)
    assert server.requests().count("POST /batches") == 1


def test_a_create_that_is_stopped_while_its_repetition_waits_for_the_file_is_not_forgotten(
    raw_server, requests_file
):
    bodies = []

    def script(request):
        if "/files" in request.path:
            return answer({"id": "file-1", "status": "processed"})
        if request.method == "POST":
            bodies.append(json.loads(request.body))
            return answer({"detail": "not now"}, status=500 if len(bodies) == 1 else 404)
        made = {"id": "batch_1", "status": "validating", **bodies[0]}
        return answer({"object": "list", "data": [made], "has_more": False})

    sleeps = []

    def interrupt(seconds):
        sleeps.append(seconds)
        if len(sleeps) == 2:  # the first is the one before the repetition
            raise KeyboardInterrupt

    server = raw_server(script)
    with calling("blocking", service="ogx", base_url=server.base_url, token="key-1234567") as api:
        api.settings.clock = FakeClock(interrupt)
        file = api.files.upload(requests_file)
        with pytest.raises(KeyboardInterrupt):
            create(api, file.id)
        assert create(api, file.id).id == "batch_1"
    assert server.requests().count("POST /batches") == 2


@pytest.mark.parametrize("name", ["azure", "voyage", "litellm"])
def test_a_job_at_the_services_that_do_so(name, kind, tmp_path):
    with at(name, kind, tmp_path) as (service, api):
        api.jobs.submit((request_for(name, number) for number in range(3)), id="j")
        job = api.jobs.wait("j")
        assert (job.ended, job.ok, len(service.batches())) == (True, 3, 1)
        assert [result.custom_id for result in api.jobs.results("j")] == ["r0", "r1", "r2"]


def test_a_mistyped_id_costs_nothing_there_either(kind, tmp_path):
    with at("voyage", kind, tmp_path) as (service, api):
        endpoint = api.settings.service.usual_endpoint
        with pytest.raises(APIStatusError):
            api.batches.create(input_file_id="file-mistyped", endpoint=endpoint, model="m")
        assert api.settings.clock.slept == []
        assert len(service.requests) <= 2


@pytest.mark.parametrize("name", ["azure", "voyage"])
def test_the_services_that_do_so(name, kind, tmp_path):
    path = file_for(name, tmp_path / "in.jsonl", 2)
    with at(name, kind, tmp_path) as (_, api):
        file = api.files.upload(path)
        endpoint = api.settings.service.usual_endpoint
        batch = api.batches.create(input_file_id=file.id, endpoint=endpoint, model="m")
        assert api.batches.wait(batch.id).succeeded
