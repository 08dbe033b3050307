"""`POST /batches` is paid for once, whatever comes back."""

import json
import logging
import time
from email.utils import formatdate
from functools import partial

import pytest
from support.calling import batch_object, create, once, somebody_creates
from support.raw_server import Reset as ResetNow, answer

from overlay import (
    InternalServerError,
    UnknownOutcomeError,
)
from overlay.server import (
    Accept,
    Cut,
    Delay,
    Gzip,
    LagList,
    LateAccept,
    Literally,
    ManualClock,
    Pace,
    Reject,
    Reset,
    Service,
    Silence,
)

CREATE = "POST /batches"


@pytest.fixture
def service():
    # Batches take their time, so that those that nobody wants can still be cancelled.
    with Service(pace=Pace(in_progress=3600)) as service:
        yield service


@pytest.mark.parametrize(
    "then",
    [
        *(Reject(status) for status in (500, 502, 503, 504, 520, 529, 599, 408, 409)),
        Reject(503, headers={"Retry-After": "1", "x-should-retry": "true"}),
        Literally("<html><title>502 Bad Gateway</title></html>", status=502),
        Literally("<html>a captive portal</html>"),
        Literally("null", media_type="application/json"),
        Literally("{}", media_type="application/json"),
        Literally('{"id": "..", "object": "batch"}', media_type="application/json"),
        Literally('{"id": "batch', media_type="application/json"),
        Reset(),
        Silence(seconds=0.01),
    ],
    ids=repr,
)
def test_accepted_but_badly_answered_is_found_not_repeated(api, service, file_id, then):
    service.faults.add(CREATE, Accept(then))
    batch = create(api, file_id, metadata={"run": "7"})
    assert [each["id"] for each in service.batches()] == [batch.id]
    assert service.count("POST", "/batches") == 1


@pytest.mark.parametrize("fault", [Cut(after=20), Cut(after=20, framing="close"), Gzip()], ids=repr)
def test_an_answer_that_breaks_off_is_found_too(api, service, file_id, fault):
    service.faults.add(CREATE, fault)
    batch = create(api, file_id)
    assert [each["id"] for each in service.batches()] == [batch.id]
    assert service.count("POST", "/batches") == 1


def test_an_answer_that_does_not_come_in_time(connect, service, clock, file_id):
    service.faults.add(CREATE, Delay(after=30.0))
    batch = create(connect(service.base_url, clock=clock, timeout=0.2), file_id)
    assert [each["id"] for each in service.batches()] == [batch.id]
    assert service.count("POST", "/batches") == 1


def test_a_batch_that_is_accepted_late_is_waited_for(api, service, clock, file_id):
    service.faults.add(CREATE, LateAccept(100.0, then=Reject(504)))
    batch = create(api, file_id)
    assert sum(clock.slept) >= 100
    assert [each["id"] for each in service.batches()] == [batch.id]
    assert service.count("POST", "/batches") == 1


def test_a_batch_is_found_by_the_clock_of_the_service(connect, requests_file):
    with Service(clock=ManualClock()) as service:
        api = connect(service.base_url)
        file_id = api.files.upload(requests_file).id
        service.faults.add(CREATE, Accept(Reset()))
        assert create(api, file_id).id == service.batches()[0]["id"]


def test_a_list_that_lags_is_looked_at_again(api, service, clock, file_id):
    service.faults.add(CREATE, Accept(Reset()))
    service.faults.add("GET /batches", LagList(90.0), times=None)
    assert create(api, file_id).input_file_id == file_id
    assert 80 < sum(clock.slept) < 180
    assert service.count("POST", "/batches") == 1


def test_a_search_goes_on_through_an_outage(api, service, clock, file_id):
    service.faults.add(CREATE, Accept(Reject(502)))
    service.faults.add("GET /batches", Reject(502), times=9)
    assert create(api, file_id).id == service.batches()[0]["id"]
    assert service.count("POST", "/batches") == 1


def sent_metadata(server):
    """What the latest create carried."""
    posts = [each for each in server.received if each.method == "POST" and each.path.endswith("/batches")]
    return json.loads(posts[-1].body)["metadata"]


def of_ours(server, **fields):
    """A batch as the latest create makes it."""
    return batch_object(input_file_id="file-1", metadata=sent_metadata(server), **fields)


def test_a_search_reads_all_pages_back_to_the_attempt(raw_server, connect):
    now = int(time.time())

    def script(request):
        if request.method == "POST":
            raise ResetNow
        page = len(server.received) - 2
        others = [batch_object(id=f"batch_{page}_{n}", created_at=now + 9 - page) for n in range(2)]
        # A fourth page would be older than the attempt.
        last = [of_ours(server, created_at=now), batch_object(id="old", created_at=now - 3600)]
        more = last if page == 2 else []
        return answer({"data": others + more, "has_more": True}, date=formatdate(now, usegmt=True))

    server = raw_server(script)
    assert create(connect(server.base_url), "file-1").id == "batch_1"
    assert server.requests() == [
        "POST /batches",
        "GET /batches?limit=100",
        "GET /batches?after=batch_0_1&limit=100",
        "GET /batches?after=batch_1_1&limit=100",
    ]


def test_a_search_assumes_no_order(raw_server, connect):
    """Oldest first, as some services list: what is older than the attempt on page one ends nothing."""
    now = int(time.time())

    def script(request):
        if request.method == "POST":
            raise ResetNow
        if "after" not in request.path:
            old = [batch_object(id=f"old{n}", created_at=now - 3600 + n) for n in range(2)]
            return answer({"data": old, "has_more": True}, date=formatdate(now, usegmt=True))
        return answer({"data": [of_ours(server, created_at=now)]}, date=formatdate(now, usegmt=True))

    server = raw_server(script)
    assert create(connect(server.base_url), "file-1").id == "batch_1"
    assert server.requests().count("POST /batches") == 1


def test_a_batch_that_a_list_shows_twice_is_no_duplicate_of_itself(raw_server, connect):
    """A service that ignores `after` gives the first page for ever."""

    def script(request):
        if request.method == "POST" and request.path.endswith("/batches"):
            raise ResetNow
        now = time.time()
        batch = of_ours(server, created_at=int(now))
        return answer({"data": [batch], "has_more": True}, date=formatdate(now, usegmt=True))

    server = raw_server(script)
    assert create(connect(server.base_url), "file-1").id == "batch_1"
    assert [each.split()[0] for each in server.requests()] == ["POST", "GET", "GET"]


@pytest.mark.parametrize("hours", [-7, 7])
def test_a_clock_that_is_wrong_does_not_hide_the_batch(raw_server, connect, hours):
    there = int(time.time()) + hours * 3600

    def script(request):
        if request.method == "POST":
            raise ResetNow
        old = of_ours(server, id="old", created_at=there - 60)
        data = [of_ours(server, created_at=there), old]
        return answer({"data": data}, date=formatdate(there, usegmt=True))

    server = raw_server(script)
    assert create(connect(server.base_url), "file-1").id == "batch_1"


def test_nothing_found_is_an_error_that_says_so(api, service, clock, file_id):
    service.faults.add(CREATE, Reset())
    with pytest.raises(UnknownOutcomeError, match=f"{file_id}.*may still exist") as caught:
        create(api, file_id, grace=60.0)
    assert caught.value.input_file_id == file_id
    assert 60 <= sum(clock.slept) < 61
    assert service.count("POST", "/batches") == 1


def test_batches_that_are_not_ours_are_not_adopted(api, service, clock, file_id, requests_file):
    other_file = api.files.upload(requests_file).id
    service.faults.add(CREATE, Reset())
    clock.passed.append(once(lambda: somebody_creates(service, other_file, {"run": "7"})))
    for metadata in ({"run": "8"}, {"run": "7"}, None, {"overlay": "0123456789abcdef"}):
        clock.passed.append(once(partial(somebody_creates, service, file_id, metadata)))
    with pytest.raises(UnknownOutcomeError):
        create(api, file_id, metadata={"run": "7"})
    assert [each["status"] for each in service.batches()] == ["in_progress"] * 5


def test_several_batches_of_one_file_that_were_wanted_stay_several(api, service, clock, file_id):
    """Samples: each create is one of its own, and none is taken for another's duplicate."""
    first = create(api, file_id)
    service.faults.add(CREATE, Accept(Reset()))
    clock.passed.append(once(lambda: somebody_creates(service, file_id)))
    service.faults.add("GET /batches", Reset())
    second = create(api, file_id)
    third = create(api, file_id)
    assert len({first.id, second.id, third.id}) == 3
    service.settle()
    assert [each["status"] for each in service.batches()] == ["in_progress"] * 4


def repeat(service, *, times=1):
    """What a proxy that repeats requests does to a client: the latest create comes a second time."""
    latest = service.batches()[0]
    for _ in range(times):
        somebody_creates(service, latest["input_file_id"], latest["metadata"])


def test_of_several_of_one_create_the_oldest_is_kept_and_the_rest_cancelled(
    api, service, clock, file_id, caplog
):
    service.faults.add(CREATE, Accept(Reset()))
    service.faults.add("GET /batches", Reset())
    clock.passed.append(once(lambda: repeat(service, times=2)))
    with caplog.at_level(logging.WARNING, logger="overlay"):
        batch = create(api, file_id)
    service.settle()
    *extra, oldest = service.batches()
    assert batch.id == oldest["id"]
    assert [each["status"] for each in extra] == ["cancelled", "cancelled"]
    assert oldest["status"] == "in_progress"
    assert all(each["id"] in caplog.text for each in extra)


def test_a_duplicate_that_cannot_be_cancelled_does_not_hide_the_batch(api, service, clock, file_id, caplog):
    service.faults.add(CREATE, Accept(Reset()))
    service.faults.add("GET /batches", Reset())
    service.faults.add("POST /batches/*/cancel", Reject(400, "It is completed."), times=None)
    clock.passed.append(once(lambda: repeat(service)))
    extra_and_oldest = create(api, file_id).id
    assert service.batches()[-1]["id"] == extra_and_oldest
    assert "completed" in caplog.text


@pytest.mark.parametrize(
    "no_list", ["{}", "[]", '{"data": null}', '{"error": {"message": "busy"}}', '{"data": {}}']
)
def test_what_is_no_list_is_no_proof_that_there_is_no_batch(api, service, clock, file_id, no_list):
    service.faults.add(CREATE, Accept(Reset()))
    # For all of the first look with its retries.
    service.faults.add("GET /batches", Literally(no_list, media_type="application/json"), times=8)
    assert create(api, file_id).id == service.batches()[0]["id"]
    assert service.count("POST", "/batches") == 1


def test_a_search_that_is_denied_gives_the_first_reason(raw_server, connect):
    status = {"GET": 403, "POST": 500}
    server = raw_server(
        lambda request: answer({"error": {"message": request.method}}, status[request.method])
    )
    with pytest.raises(InternalServerError, match="POST"):
        create(connect(server.base_url), "file-1")
    assert server.requests() == ["POST /batches", "GET /batches?limit=100"]
