"""Waiting for a batch through everything that may pass by itself."""

import signal
import subprocess
import sys
from datetime import timedelta
from itertools import chain, pairwise, repeat

import pytest
from support.calling import batch_object, somebody_creates, somebody_uploads, started
from support.raw_server import answer

from overlay import (
    AuthenticationError,
    InternalServerError,
    InvalidResponseError,
    NotFoundError,
    PermissionDeniedError,
    TokenProviderError,
    WaitTimeoutError,
)
from overlay.server import Literally, Pace, Reject, Reset, Service

LOOK = "GET /batches/*"
HOUR = 3600.0


@pytest.fixture
def service(tmp_path):
    with Service(
        pace=Pace(validating=60, in_progress=HOUR, finalizing=60), state=tmp_path / "state"
    ) as service:
        yield service


@pytest.fixture
def batch(api, requests_file):
    return started(api, requests_file)


@pytest.fixture
def looks(raw_server, connect):
    """A client of a service that shows a batch in a row of states, and its last one for ever."""

    def begin(*states):
        left = chain(states, repeat(states[-1]))
        server = raw_server(lambda request: answer(batch_object(**next(left))))
        return connect(server.base_url)

    return begin


def test_a_batch_is_watched_to_its_end(api, batch, clock):
    seen = []
    ended = api.batches.wait(batch.id, on_change=lambda batch: seen.append((batch.status, batch.progress)))
    assert ended.succeeded
    assert seen[0][0] == "validating"
    assert seen[-1] == ("completed", 1.0)
    assert all(earlier != later for earlier, later in pairwise(seen))
    assert HOUR <= sum(clock.slept) < HOUR + 300


def test_pauses_grow_from_five_seconds_to_a_minute(api, batch, clock):
    api.batches.wait(batch.id)
    assert 4 <= clock.slept[0] <= 6
    assert all(later < earlier * 1.5 * 1.5 for earlier, later in pairwise(clock.slept))
    assert max(clock.slept) <= 72
    assert min(clock.slept[8:]) >= 48
    assert len(set(clock.slept)) > 10, "every client would look at the same moments"


def test_the_first_pause_can_be_chosen(api, batch, clock):
    api.batches.wait(batch.id, poll=timedelta(milliseconds=100))
    assert clock.slept[0] <= 0.12
    clock.slept.clear()
    api.batches.wait(batch.id, poll=0.1)
    assert clock.slept == []


@pytest.mark.parametrize("timeout", [600, 600.0, timedelta(minutes=10)])
def test_a_timeout_names_the_batch_and_leaves_it_running(api, service, batch, clock, timeout):
    with pytest.raises(WaitTimeoutError, match=f"{batch.id} is still in_progress after 600 s") as caught:
        api.batches.wait(batch.id, timeout=timeout)
    assert isinstance(caught.value, TimeoutError)
    assert (caught.value.batch_id, caught.value.status) == (batch.id, "in_progress")
    assert sum(clock.slept) == pytest.approx(600)
    assert service.count("POST", f"/batches/{batch.id}/cancel") == 0
    assert api.batches.wait(batch.id).succeeded


def test_no_time_means_one_look(api, batch, clock):
    with pytest.raises(WaitTimeoutError):
        api.batches.wait(batch.id, timeout=0)
    assert clock.slept == []


def test_an_outage_of_an_hour_is_waited_out(api, service, batch, clock):
    def outage(_):
        if 600 < clock.monotonic() - 1000 < 600 + HOUR:
            service.stop()
        else:
            service.start()

    clock.passed.insert(0, outage)
    assert api.batches.wait(batch.id).succeeded
    assert sum(clock.slept) > 2 * HOUR


def test_an_outage_does_not_outlast_the_timeout(api, service, batch, clock):
    clock.passed.insert(0, lambda _: service.stop())
    with pytest.raises(WaitTimeoutError, match="validating"):
        api.batches.wait(batch.id, timeout=HOUR)
    assert sum(clock.slept) == pytest.approx(HOUR)


@pytest.mark.parametrize(
    "trouble",
    [Reset(), Reject(503), Reject(429), Literally("<title>520</title>", status=520), Literally("hello")],
    ids=["reset", "503", "429", "520", "not JSON"],
)
def test_trouble_that_comes_and_goes(api, service, batch, trouble):
    service.faults.add(LOOK, trouble, times=20, skip=1, rate=0.5)
    assert api.batches.wait(batch.id).succeeded


def test_trouble_at_the_first_look_is_raised(api, service, batch, clock):
    service.faults.add(LOOK, Reject(500), times=None)
    with pytest.raises(InternalServerError):
        api.batches.wait(batch.id)
    assert service.count("GET", f"/batches/{batch.id}") == 6
    assert sum(clock.slept) <= 120


def test_a_batch_that_goes_missing_for_a_while_is_waited_for(api, service, batch, clock):
    service.faults.add(LOOK, Reject(404), times=9, skip=1)
    assert api.batches.wait(batch.id).succeeded


def test_a_batch_that_stays_missing_is_raised_after_ten_minutes(api, service, batch, clock):
    service.faults.add(LOOK, Reject(404, "No such batch"), times=None, skip=1)
    with pytest.raises(NotFoundError, match="No such batch"):
        api.batches.wait(batch.id)
    assert 600 <= sum(clock.slept) < 700


@pytest.mark.parametrize(
    "body", ['{"error": {"message": "out to lunch"}}', '{"id": [7]}', "out to lunch", "[1]"]
)
def test_an_answer_that_can_never_be_read_is_raised_after_ten_minutes(api, service, batch, clock, body):
    service.faults.add(LOOK, Literally(body), times=None, skip=1)
    with pytest.raises(InvalidResponseError) as caught:
        api.batches.wait(batch.id)
    assert 600 <= sum(clock.slept) < 800
    assert "message" not in body or "out to lunch" in str(caught.value)


def test_one_that_can_be_read_in_between_begins_the_ten_minutes_anew(api, service, batch, clock):
    for skip in (1, 50):
        service.faults.add(LOOK, Literally("hello"), times=30, skip=skip)
    assert api.batches.wait(batch.id).succeeded


def test_a_batch_that_never_was_is_raised_at_once(api, service, clock):
    with pytest.raises(NotFoundError):
        api.batches.wait("batch_unknown")
    assert len(service.requests) == 1


@pytest.mark.parametrize(("status", "error"), [(403, PermissionDeniedError), (401, AuthenticationError)])
def test_what_does_not_pass_is_raised_at_once(api, service, batch, status, error):
    service.faults.add(LOOK, Reject(status), times=None, skip=1)
    with pytest.raises(error):
        api.batches.wait(batch.id)
    assert len(api.clock.slept) == 1


def test_a_token_provider_may_fail_for_ten_minutes(connect, service, clock, batch):
    until = 600

    def provider():
        if 60 < clock.monotonic() - 1000 < until:
            raise ConnectionError
        return "sk-provided"

    assert connect(service.base_url, clock=clock, token=provider).batches.wait(batch.id).succeeded
    clock.move(1000 - clock.monotonic())
    until = 1000
    another = connect(service.base_url, clock=clock, token=provider)
    batch = another.batches.create(input_file_id=batch.input_file_id, endpoint=batch.endpoint)
    with pytest.raises(TokenProviderError, match="ConnectionError"):
        another.batches.wait(batch.id)


@pytest.mark.parametrize("status", ["completed", "COMPLETED", "Failed", "EXPIRED", "cancelled"])
def test_every_end_ends_the_wait(looks, status):
    api = looks({"status": "IN_PROGRESS"}, {"status": status})
    ended = api.batches.wait("batch_1")
    assert ended.status == status
    assert ended.ended
    assert ended.succeeded is (status.lower() == "completed")


def test_what_is_not_known_is_still_running(looks):
    states = [{"status": status} for status in ("scheduling", "QUEUED", None, "", "done?", "completed")]
    seen = []
    looks(*states).batches.wait("batch_1", on_change=lambda batch: seen.append(batch.status))
    assert seen == ["scheduling", "QUEUED", None, "", "done?", "completed"]


def test_a_status_that_goes_back_is_not_believed(looks):
    states = ["validating", "finalizing", "in_progress", "validating", "finalizing", "completed"]
    seen = []
    api = looks(*({"status": status} for status in states))
    assert api.batches.wait("batch_1", on_change=lambda batch: seen.append(batch.status)).succeeded
    assert seen == ["validating", "finalizing", "completed"]


def test_counts_are_news_and_the_rest_is_not(looks):
    counts = [{"total": 9, "completed": done, "failed": 0} for done in (0, 0, 3, 9)]
    seen = []
    states = [{"request_counts": each, "brand_new": n} for n, each in enumerate(counts)]
    looks(*states, {"status": "completed"}).batches.wait(
        "batch_1", on_change=lambda batch: seen.append(batch.progress)
    )
    assert seen == [0.0, 3 / 9, 1.0, None]


def test_another_batch_is_no_answer(looks):
    with pytest.raises(InvalidResponseError, match="batch_2"):
        looks({"id": "batch_2"}).batches.wait("batch_1")


def test_what_on_change_raises_ends_the_wait(looks):
    def refuse(batch):
        raise ZeroDivisionError(batch.id)

    with pytest.raises(ZeroDivisionError, match="batch_1"):
        looks({}).batches.wait("batch_1", on_change=refuse)


WAITING = {
    "blocking": """
with overlay.Client(base_url=sys.argv[1], token="sk-1") as client:
    client.batches.wait(sys.argv[2], poll=600, on_change=lambda batch: print(batch.status, flush=True))
""",
    "asyncio": """
async def main():
    async with overlay.AsyncClient(base_url=sys.argv[1], token="sk-1") as client:
        await client.batches.wait(sys.argv[2], poll=600, on_change=lambda batch: print(batch.status, flush=True))
asyncio.run(main())
""",
}


@pytest.mark.parametrize("script", WAITING.values(), ids=WAITING)
def test_control_c_stops_the_wait_at_once(service, script):
    batch_id = somebody_creates(service, somebody_uploads(service))
    command = [sys.executable, "-W", "error", "-c", f"import asyncio, sys, overlay\n{script}"]
    with subprocess.Popen(
        [*command, service.base_url, batch_id], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() in {"validating\n", "in_progress\n"}
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert "Warning" not in errors
    assert service.count("POST", f"/batches/{batch_id}/cancel") == 0
