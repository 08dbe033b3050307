"""Creating a batch where the answer is clear: refused, or to be asked again later."""

import pytest
from support.calling import FakeClock, advancing, create, once

from overlay import APIConnectionError, APIStatusError, BatchFailedError, RateLimitError
from overlay.server import CloseAfter, Limits, Literally, Reject, Service

CREATE = "POST /batches"


@pytest.mark.parametrize("status", [400, 401, 403, 405, 413, 415])
def test_a_refusal_is_raised_at_once(api, service, clock, file_id, status):
    service.faults.add(CREATE, Reject(status, "No."))
    with pytest.raises(APIStatusError, match="No") as caught:
        create(api, file_id)
    assert caught.value.status_code == status
    assert clock.slept == []
    assert [str(each) for each in service.requests[1:]] == [f"POST /v1/batches {status}"]


def test_a_redirect_is_a_refusal(api, service, clock, file_id):
    service.faults.add(CREATE, Literally("", status=307, headers={"Location": "https://other.example/v1"}))
    with pytest.raises(APIStatusError, match=r"other\.example"):
        create(api, file_id)
    assert service.count("POST", "/batches") == 1
    assert service.count("GET", "/batches") == 0


def test_a_file_that_is_not_known_yet_is_waited_for(api, service, clock, file_id):
    missing = f"Cannot find file {file_id}, or your organization does not have access to it."
    service.faults.add(CREATE, Reject(400, missing), times=8)
    assert create(api, file_id).input_file_id == file_id
    assert service.count("POST", "/batches") == 9
    assert len(service.batches()) == 1


@pytest.mark.parametrize("status", [400, 404, 422])
def test_a_mistyped_file_id_costs_no_time(connect, status):
    with Service(limits=Limits(unknown_files="refused")) as service:
        service.faults.add(CREATE, Reject(status, "There is no such file: file-unknown"), times=None)
        clock = FakeClock(advancing(service))
        with pytest.raises(APIStatusError, match="file-unknown"):
            create(connect(service.base_url, clock=clock), "file-unknown")
        assert clock.slept == []
        assert (service.count("POST", "/batches"), service.count("GET", "/files/file-unknown")) == (1, 1)


def test_a_file_that_stays_unknown_fails_the_batch(api, clock):
    """As OpenAI is said to do it: the create is answered."""
    batch = create(api, "file-unknown")
    with pytest.raises(BatchFailedError, match="Cannot find file file-unknown, or organization"):
        list(api.batches.results(api.batches.wait(batch.id).id))


def test_too_many_requests_are_spread_out(api, service, clock, file_id):
    service.faults.add(
        CREATE, Reject(429, code="rate_limit_exceeded", headers={"Retry-After": "300"}), times=3
    )
    assert create(api, file_id).input_file_id == file_id
    assert sum(clock.slept) >= 900
    assert len(service.batches()) == 1


def test_too_many_requests_may_be_said_by_a_proxy(api, service, clock, file_id):
    page = "<html><head><title>429 Too Many Requests</title></head></html>"
    service.faults.add(CREATE, Literally(page, status=429, headers={"Retry-After": "7"}))
    assert create(api, file_id).input_file_id == file_id
    assert clock.slept[0] >= 7
    assert service.count("POST", "/batches") == 2


@pytest.mark.parametrize(
    "refusal",
    [Reject(429, "Top up.", code="insufficient_quota"), Reject(429, headers={"Retry-After": "901"})],
    ids=["no money", "too long"],
)
def test_what_waiting_does_not_help_is_raised(api, service, clock, file_id, refusal):
    service.faults.add(CREATE, refusal)
    with pytest.raises(RateLimitError) as caught:
        create(api, file_id)
    assert caught.value.code == refusal.code
    assert clock.slept == []


def test_a_service_that_cannot_be_reached_is_tried_again(connect, api, service, file_id, clock):
    service.stop()
    with pytest.raises(APIConnectionError, match="cannot connect") as caught:
        create(api, file_id)
    assert caught.value.sent is False
    assert len(clock.slept) == 5
    clock.passed.append(once(service.start))
    batch = create(api, file_id)
    with pytest.raises(BatchFailedError, match=f"Cannot find file {file_id}"):  # its state was not kept
        list(api.batches.results(api.batches.wait(batch.id).id))


def test_every_create_has_a_connection_of_its_own(api, service, file_id):
    # One that is kept open may be closed by the service just as it is used again: was the request seen?
    service.faults.add(CREATE, CloseAfter("next_request"), times=None)
    for _ in range(3):
        create(api, file_id)
    assert service.count("POST", "/batches") == len(service.batches()) == 3
