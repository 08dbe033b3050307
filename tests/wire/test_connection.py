"""The wire: what is let in, how long it may take, and how connections are kept, shared and mended."""

import gzip
import json
import operator
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import cache

import httpx
import pytest
from support.calling import TOKEN, FakeClock, batch_object, calling, create
from support.raw_server import Reset as ResetNow, answer

from overlay import (
    APIConnectionError,
    APITimeoutError,
    BadRequestError,
    Client,
    InternalServerError,
    InvalidResponseError,
    RateLimitError,
    UnknownOutcomeError,
)
from overlay.server import CloseAfter, Cut, Literally, Reject, Reset
from overlay.wire.bounds import TotalTimeout

MIB = 1024 * 1024


def retrieve(api):
    return api.batches.retrieve("batch_1")


def endless(head, piece):
    """An answer that goes on until the client has had enough."""
    yield head
    while True:
        yield piece


@pytest.mark.parametrize("announced", [None, 9 * MIB], ids=["endless", "announced"])
def test_an_answer_of_more_than_8_mib_is_refused(raw_server, connect, announced):
    head = answer(content_type="application/json", content_length=announced)
    api = connect(raw_server(lambda request: endless(head, b" " * 65536)).base_url, max_retries=0)
    with pytest.raises(InvalidResponseError, match=r"GET /v1/batches/batch_1 at .* larger than 8 MiB"):
        retrieve(api)


def test_an_answer_of_8_mib_is_read(raw_server, connect):
    padded = json.dumps(batch_object()).encode().ljust(8 * MIB)
    assert retrieve(connect(raw_server(lambda request: answer(padded)).base_url)).id == "batch_1"


def test_a_refusal_without_end_is_cut(raw_server, connect):
    head = answer(status=400, content_length=None)
    api = connect(raw_server(lambda request: endless(head, b"no no no no no ")).base_url)
    with pytest.raises(BadRequestError, match="no no no") as caught:
        retrieve(api)
    assert len(caught.value.body) == 4000


@pytest.mark.parametrize("status", [200, 400])
def test_nesting_without_end(raw_server, connect, status):
    api = connect(raw_server(lambda request: answer('{"a":' * 200_000, status)).base_url, max_retries=0)
    with pytest.raises(BadRequestError if status == 400 else InvalidResponseError):
        retrieve(api)


@cache
def bomb():
    return gzip.compress(b" " * 50 * MIB)


@pytest.mark.parametrize("coding", ["br", "deflate, gzip", "zstd"])
def test_an_answer_that_cannot_be_unpacked_is_refused_unread(raw_server, connect, coding):
    statuses = {"GET": 200, "POST": 500}
    server = raw_server(lambda request: answer(bomb(), statuses[request.method], content_encoding=coding))
    api = connect(server.base_url, max_retries=0)
    with pytest.raises(InvalidResponseError, match=f"as {coding}, which was not requested"):
        retrieve(api)
    with pytest.raises(InternalServerError, match="no message"):
        api.batches.cancel("batch_1")
    assert {each.headers["accept-encoding"] for each in server.received} == {"identity"}


@pytest.mark.parametrize("body", ["<html>a portal</html>", "", "null", "7", "[]", '{"id": "batch_1"', "\xff"])
def test_what_is_no_answer_is_asked_for_again(raw_server, connect, body):
    answers = iter([answer(body)] * 3)
    api = connect(raw_server(lambda request: next(answers, answer(batch_object()))).base_url)
    assert retrieve(api).id == "batch_1"
    assert len(api.clock.slept) == 3


@pytest.mark.parametrize("status", [200, 500])
def test_an_answer_that_drips_is_given_up(raw_server, connect, status):
    def drip(request):
        yield answer(status=status, content_length=10**9)
        while True:
            api.clock.move(7.0)
            yield b" "

    api = connect(raw_server(drip).base_url, max_retries=0)
    with pytest.raises(APITimeoutError if status == 200 else InternalServerError) as caught:
        retrieve(api)
    assert status == 500 or "not complete after 60 s" in str(caught.value)


@pytest.mark.parametrize("ending", [b"", b"\r\n"], ids=["name", "line"])
def test_a_head_that_drips_is_given_up(raw_server, connect, ending):
    def drip(request):
        yield b"HTTP/1.1 200 OK\r\nx-long: "
        while True:
            api.clock.move(7.0)
            yield b"x:x" + ending

    api = connect(raw_server(drip).base_url, max_retries=0)
    with pytest.raises(APITimeoutError, match="no answer in time"):
        retrieve(api)


def test_the_bound_of_the_head_is_none_of_the_body(raw_server, connect, tmp_path):
    def slow(request):
        yield answer(content_length=4)
        api.clock.move(50.0)
        yield b"late"

    api = connect(raw_server(slow).base_url, timeout=10, max_retries=0)
    assert api.files.download("file-1", tmp_path / "out").read_bytes() == b"late"


def test_patience_is_a_number_of_seconds_that_gets_less():
    clock = FakeClock()
    patience = TotalTimeout(60.0, clock)
    assert (float(patience), operator.index(patience), 5.0 + patience) == (60.0, 60, 65.0)
    clock.move(50.5)
    assert (float(patience), operator.index(patience), 5.0 + patience) == (9.5, 10, 14.5)
    assert patience < 10
    assert not patience < 0
    clock.move(9.5)
    for use in (float, operator.index, lambda each: 5.0 + each):
        with pytest.raises(TimeoutError, match="60 s"):
            use(patience)


@pytest.mark.parametrize("timeout", [0.2, timedelta(milliseconds=200)])
def test_silence_is_given_up(raw_server, connect, timeout):
    left = threading.Event()
    api = connect(raw_server(lambda request: left.wait(60) and b"").base_url, timeout=timeout, max_retries=0)
    with pytest.raises(APITimeoutError, match="no answer in time") as caught:
        retrieve(api)
    assert caught.value.sent
    left.set()


@pytest.mark.parametrize(
    "trouble",
    [
        Reset(),
        Reject(500),
        Reject(503),
        Reject(408),
        Reject(429),
        Reject(400, headers={"x-should-retry": "true"}),
        Literally("<title>Web server is down</title>", status=521),
        Literally("a captive portal"),
        Cut(after=10),
        CloseAfter("answer"),
        CloseAfter("next_request"),
    ],
    ids=repr,
)
def test_reads_are_tried_again(api, service, file_id, trouble):
    service.faults.add("GET /files/*", trouble, times=5)
    for _ in range(5):
        assert api.files.retrieve(file_id).id == file_id


@pytest.mark.parametrize(
    "refusal",
    [
        Reject(400),
        Reject(403),
        Reject(429, code="insufficient_quota"),
        Reject(429, headers={"Retry-After": "901"}),
        Reject(503, headers={"x-should-retry": "false"}),
    ],
    ids=repr,
)
def test_what_will_not_pass_is_tried_once(api, service, refusal):
    service.faults.add("GET /batches/*", refusal, times=None)
    with pytest.raises(Exception, match=str(refusal.status)):
        retrieve(api)
    assert len(service.requests) == 1


def test_reads_are_tried_six_times_within_two_minutes(api, service, clock):
    service.faults.add("GET /batches/*", Reject(500), times=None)
    with pytest.raises(InternalServerError):
        retrieve(api)
    assert len(service.requests) == 6
    assert all(0 <= pause <= 0.5 * 2**n for n, pause in enumerate(clock.slept))


def test_an_asked_for_wait_is_kept_and_not_counted(api, service, clock):
    service.faults.add("GET /batches/*", Reject(429, headers={"Retry-After": "800"}), times=None)
    with pytest.raises(RateLimitError):
        retrieve(api)
    assert len(service.requests) == 6
    assert all(pause >= 800 for pause in clock.slept)


@pytest.mark.parametrize(("max_retries", "tries"), [(0, 1), (2, 3), (99, 6)])
def test_the_number_of_retries_can_be_set(connect, service, max_retries, tries):
    service.faults.add("GET /batches/*", Reset(), times=None)
    with pytest.raises(APIConnectionError):
        retrieve(connect(service.base_url, max_retries=max_retries))
    assert len(service.requests) == tries


def kept(request):
    return answer(batch_object(), connection="keep-alive")


def test_reads_share_a_connection_and_creates_do_not(raw_server, connect):
    server = raw_server(kept)
    api = connect(server.base_url)
    for _ in range(3):
        retrieve(api)
    create(api, "file-1")
    create(api, "file-1")
    retrieve(api)
    assert [each.connection for each in server.received] == [0, 0, 0, 1, 2, 0]


def test_a_create_is_never_sent_twice_by_the_connection(raw_server, connect):
    def script(request):
        if request.method == "POST":
            raise ResetNow
        return answer({"data": []})

    server = raw_server(script)
    with pytest.raises(UnknownOutcomeError):
        create(connect(server.base_url), "file-1", grace=0)
    assert server.requests().count("POST /batches") == 1


def test_one_client_serves_many_threads(service):
    with Client(base_url=service.base_url, token=TOKEN) as client, ThreadPoolExecutor(16) as pool:
        together = threading.Barrier(16)

        def work(_):
            together.wait(30)
            return [list(client.batches.list()) for _ in range(10)]

        assert list(pool.map(work, range(16))) == [[[]] * 10] * 16
    assert len(service.requests) == 160


FORK = """
import os, sys, overlay
with overlay.Client(base_url=sys.argv[1], token=lambda: "sk-1") as client:
    client.batches.retrieve("batch_1")
    with client._driver.settings.tokens._lock:  # as another thread may at this moment
        child = os.fork()
        if child == 0:
            client.batches.retrieve("batch_1")
            os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    client.batches.retrieve("batch_1")
"""


def test_a_forked_child_opens_its_own_connections(raw_server):
    server = raw_server(kept)
    command = [sys.executable, "-W", "error", "-c", FORK, server.base_url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [each.connection for each in server.received] == [0, 1, 0]


@pytest.mark.parametrize(
    ("kind", "transport"), [("blocking", httpx.MockTransport), ("asyncio", httpx.MockTransport)]
)
def test_another_transport_can_take_the_place_of_the_network(kind, transport):
    seen = []

    def handle(request):
        seen.append(request)
        return httpx.Response(200, json=batch_object())

    with calling(kind, token=TOKEN, base_url="https://api.example/v1", transport=transport(handle)) as api:
        assert retrieve(api).id == "batch_1"
    assert seen[0].url == "https://api.example/v1/batches/batch_1"
    assert seen[0].headers["authorization"] == f"Bearer {TOKEN}"


FORK_WHILE_BUILDING = """
import os, sys, threading, time
from overlay import Client
from overlay.wire import connection

begun, build = threading.Event(), connection.BlockingClient.__init__

def slowly(self, **options):
    begun.set()
    time.sleep(0.5)  # as where a module is being imported
    build(self, **options)

connection.BlockingClient.__init__ = slowly
client = Client(base_url=sys.argv[1], token="any")
thread = threading.Thread(target=lambda: list(client.batches.list()))
thread.start()
begun.wait()
child = os.fork()
if child == 0:
    held = connection._building.locked()
    print(held, list(client.batches.list()), flush=True)
    os._exit(0)
os.waitpid(child, 0)
thread.join()
"""


def test_a_fork_waits_for_a_client_that_is_being_built(service):
    command = [sys.executable, "-c", FORK_WHILE_BUILDING, service.base_url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.split() == ["False", "[]"]
