"""Every fault of the embedded service, seen from the client's side of a real socket."""

import gzip
import logging
import socket
import time
import zlib
from contextlib import suppress
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, IncompleteRead

import httpx
import pytest
from support.service_http import create, creation, http_to, jsonl, upload

from overlay.server import (
    Accept,
    CloseAfter,
    Cut,
    Delay,
    Drip,
    Fault,
    Gzip,
    LagList,
    LateAccept,
    Limits,
    Linger,
    Literally,
    ManualClock,
    Reject,
    Reset,
    Service,
    Silence,
)


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def service(clock):
    with Service(clock=clock) as service:
        yield service


@pytest.fixture(autouse=True)
def nothing_logged(caplog):
    """A fault is no error of the service: uvicorn logs one where an application leaves an answer unfinished."""
    yield
    assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []


@pytest.fixture
def http(service):
    with http_to(service) as http:
        yield http


@pytest.fixture
def file(http):
    return upload(http, jsonl(3))


def raw_get(service, path):
    """Every byte of an answer, and how the connection ended."""
    host, port = service.base_url.removeprefix("http://").removesuffix("/v1").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as sock:
        sock.sendall(f"GET /v1{path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer x\r\n\r\n".encode())
        got = b""
        try:
            while piece := sock.recv(65536):
                got += piece
        except ConnectionResetError:
            return got, "reset"
        return got, "closed"


def test_reject_so_many_times(service, http):
    fault = service.faults.add(
        "GET /batches", Reject(429, code="rate_limit_exceeded", headers={"Retry-After": "7"}), times=2
    )
    answers = [http.get("/batches") for _ in range(3)]
    assert [each.status_code for each in answers] == [429, 429, 200]
    assert answers[0].headers["retry-after"] == "7"
    assert answers[0].json()["error"]["code"] == "rate_limit_exceeded"
    assert answers[0].headers["x-request-id"] != answers[1].headers["x-request-id"]
    assert fault.hits == 2
    assert [each.status for each in service.requests] == [429, 429, 200]


def test_answers_are_dated_by_the_clock_of_the_service(service, http, clock):
    service.advance(3600)
    dates = http.get("/batches").headers.get_list("date")
    assert [parsedate_to_datetime(each).timestamp() for each in dates] == [clock.time()]


def test_patterns(service, http, file):
    service.faults.add("GET /files/*", Reject(500), times=None)
    assert http.get(f"/files/{file['id']}").status_code == 500
    assert http.get(f"/files/{file['id']}/content").status_code == 200
    assert http.get("/files").status_code == 200
    service.faults.clear()
    service.faults.add("* /v1/files/**", Reject(501), times=None)
    assert http.get(f"/files/{file['id']}/content").status_code == 501
    assert http.delete(f"/files/{file['id']}").status_code == 501
    assert http.get("/batches").status_code == 200
    service.faults.clear()
    service.faults.add("*", Reject(502), times=None)
    assert http.get("/batches").status_code == http.delete("/anything").status_code == 502


@pytest.mark.parametrize("match", ["", "GET", "GET files", "/files", " /files"])
def test_a_bad_pattern_is_an_error(service, match):
    with pytest.raises(ValueError, match="pattern"):
        service.faults.add(match, Reset())


def test_skip_remove_and_rate(service, http):
    service.faults.add("GET /batches", Reject(), skip=1)
    assert [http.get("/batches").status_code for _ in range(3)] == [200, 500, 200]
    fault = service.faults.add("GET /batches", Reject(), times=None, rate=0.3)
    seen = [http.get("/batches").status_code for _ in range(200)]
    assert 20 < seen.count(500) < 110
    service.faults.remove(fault)
    assert http.get("/batches").status_code == 200


def test_reset(service, http):
    service.faults.add("GET /batches", Reset())
    assert raw_get(service, "/batches") == (b"", "reset")
    assert service.requests[-1].status is None
    assert http.get("/batches").status_code == 200


def test_reset_of_an_upload(service, http):
    service.faults.add("POST /files", Reset())
    with pytest.raises(httpx.TransportError):
        http.post("/files", data={"purpose": "batch"}, files={"file": b"x" * 1_000_000})
    assert http.get("/files").json()["data"] == []


def test_silence(service, http):
    service.faults.add("GET /batches", Silence())
    with pytest.raises(httpx.TimeoutException):
        http.get("/batches", timeout=0.2)
    service.faults.add("GET /batches", Silence(0.05))
    assert raw_get(service, "/batches") == (b"", "closed")


def test_a_service_ends_while_it_is_silent(service):
    service.faults.add("GET /batches", Silence())
    host, port = service.base_url.removeprefix("http://").removesuffix("/v1").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as sock:
        sock.sendall(f"GET /v1/batches HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        while not service.requests:
            time.sleep(0.01)
        service.stop()
        with suppress(ConnectionResetError):  # either is an end
            assert sock.recv(100) == b""


def test_a_literal_answer(service, http):
    service.faults.add("GET /batches", Literally("<html>blocked</html>", status=403))
    answer = http.get("/batches")
    assert (answer.status_code, answer.text) == (403, "<html>blocked</html>")
    assert answer.headers["content-type"].startswith("text/html")
    service.faults.add("GET /batches", Literally("x" * 1000, media_type="application/json", repeat=3000))
    with http.stream("GET", "/batches") as answer:
        assert sum(map(len, answer.iter_bytes())) == 3_000_000
    service.faults.add("POST /batches", Literally(status=307, headers={"Location": "http://192.0.2.1/"}))
    assert http.post("/batches", json={}).headers["location"] == "http://192.0.2.1/"


def test_delay_before_and_after(service, http, file):
    service.faults.add("POST /batches", Delay(before=5))
    with pytest.raises(httpx.TimeoutException):
        http.post("/batches", json=creation(file), timeout=0.2)
    assert service.batches() == []
    service.faults.add("POST /batches", Delay(after=5))
    with pytest.raises(httpx.TimeoutException):
        http.post("/batches", json=creation(file), timeout=0.2)
    while not service.batches():
        time.sleep(0.01)
    assert len(service.batches()) == 1


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("reset", [False, True])
def test_cut(service, http, framing, reset):
    content = bytes(range(256)) * 4000
    file = upload(http, content, purpose="evals")
    service.faults.add("GET /files/*/content", Cut(after=300_000, framing=framing, reset=reset))
    got, end = raw_get(service, f"/files/{file['id']}/content")
    head, _, body = got.partition(b"\r\n\r\n")
    head = head.lower()
    assert head.startswith(b"http/1.1 200 ok\r\n")
    assert b"\r\nx-request-id: req_" in head
    assert (f"content-length: {len(content)}".encode() in head) == (framing == "length")
    assert (b"transfer-encoding: chunked" in head) == (framing == "chunked")
    if framing != "chunked":
        assert content.startswith(body)
    if not reset:
        assert end == "closed"
        assert len(body) == 300_000 or framing == "chunked"
    assert http.get(f"/files/{file['id']}/content").content == content


def test_a_cut_is_told_by_its_framing_alone(service, http):
    file = upload(http, b"x" * 1000, purpose="evals")
    path = f"/files/{file['id']}/content"
    for framing in ("length", "chunked"):
        service.faults.add("GET /files/*/content", Cut(after=100, framing=framing))
        with pytest.raises(httpx.RemoteProtocolError):
            http.get(path)
    service.faults.add("GET /files/*/content", Cut(after=100, framing="close"))
    assert len(http.get(path).content) == 100
    service.faults.add("GET /files/*/content", Cut(after=2000, framing="close"))
    assert len(http.get(path).content) == 1000
    service.faults.add("GET /files/*/content", Cut(after=2000))
    assert len(http.get(path).content) == 1000


@pytest.mark.parametrize("after", [0, 1])
def test_a_cut_at_the_very_beginning(service, http, file, after):
    service.faults.add("GET /files/*/content", Cut(after=after))
    got, end = raw_get(service, f"/files/{file['id']}/content")
    assert (len(got.partition(b"\r\n\r\n")[2]), end) == (after, "closed")


@pytest.mark.parametrize("then", [Reject(502), Reset(), Silence(0.05), Literally("<html>", status=504)])
def test_accepted_and_then(service, http, file, then):
    service.faults.add("POST /batches", Accept(then=then))
    if isinstance(then, Reset | Silence):
        with pytest.raises(httpx.TransportError):
            http.post("/batches", json=creation(file))
    else:
        assert http.post("/batches", json=creation(file)).status_code == then.status
    assert [each["input_file_id"] for each in service.batches()] == [file["id"]]


def test_accepted_late(service, http, file):
    service.faults.add("POST /batches", LateAccept(3, then=Reject(500)))
    assert http.post("/batches", json=creation(file, metadata={"a": "b"})).status_code == 500
    service.advance(2)
    assert service.batches() == []
    service.advance(2)
    (batch,) = service.batches()
    assert batch["metadata"] == {"a": "b"}
    assert batch["status"] == "completed"


def test_accepted_late_after_the_file_was_deleted(service, http, file):
    service.faults.add("POST /batches", LateAccept(3))
    with pytest.raises(httpx.TransportError):
        http.post("/batches", json=creation(file))
    http.delete(f"/files/{file['id']}")
    service.advance(10)
    (batch,) = service.batches()
    assert (batch["input_file_id"], batch["status"]) == (file["id"], "failed")
    assert batch["request_counts"] == {"total": 0, "completed": 0, "failed": 0}


def test_accepted_late_after_the_file_was_deleted_and_refused(clock):
    with Service(clock=clock, limits=Limits(unknown_files="refused")) as service, http_to(service) as http:
        file = upload(http, jsonl(3))
        service.faults.add("POST /batches", LateAccept(3))
        with pytest.raises(httpx.TransportError):
            http.post("/batches", json=creation(file))
        http.delete(f"/files/{file['id']}")
        service.advance(10)
        assert service.batches() == []


def test_a_list_that_lags(service, http, file):
    service.faults.add("GET /batches", LagList(5), times=None)
    old = create(http, file)["id"]
    service.advance(4)
    new = create(http, file)["id"]
    assert http.get("/batches").json()["data"] == []
    assert http.get(f"/batches/{old}").status_code == 200
    service.advance(2)
    assert [each["id"] for each in http.get("/batches").json()["data"]] == [old]
    service.advance(4)
    assert [each["id"] for each in http.get("/batches").json()["data"]] == [new, old]


def test_a_deleted_file_that_lingers(service, http, file):
    service.faults.add("DELETE /files/*", Linger(5))
    assert http.delete(f"/files/{file['id']}").status_code == 200
    assert http.get(f"/files/{file['id']}").status_code == 404
    service.advance(4)
    batch = create(http, file)
    service.advance(4)
    assert http.get(f"/batches/{batch['id']}").json()["status"] == "completed"
    batch = create(http, file)
    service.settle()
    assert http.get(f"/batches/{batch['id']}").json()["status"] == "failed"


def test_a_drip_comes_byte_by_byte(service):
    service.faults.add("GET /batches", Drip(0.001, size=7))
    host, port = service.base_url.removeprefix("http://").removesuffix("/v1").split(":")
    connection = HTTPConnection(host, int(port), timeout=20)
    connection.request("GET", "/v1/batches", headers={"Authorization": "Bearer x"})
    answer = connection.getresponse()
    pieces = [len(piece) for piece in iter(lambda: answer.read1(65536), b"")]
    assert len(pieces) > 3
    assert sum(pieces) == int(answer.headers["content-length"])
    connection.close()


def test_a_drip_outlasts_a_read_timeout(service, http):
    service.faults.add("GET /batches", Drip(0.1, size=200))
    with pytest.raises(httpx.TimeoutException):
        http.get("/batches", timeout=0.02)


@pytest.mark.parametrize("moment", ["answer", "next_request"])
def test_a_connection_closed_without_a_word(service, moment):
    host, port = service.base_url.removeprefix("http://").removesuffix("/v1").split(":")
    service.faults.add("GET /batches", CloseAfter(moment))
    connection = HTTPConnection(host, int(port), timeout=20)
    connection.auto_open = 0
    connection.connect()
    connection.request("GET", "/v1/batches", headers={"Authorization": "Bearer x"})
    answer = connection.getresponse()
    assert answer.status == 200
    assert answer.headers["connection"] is None
    answer.read()
    with pytest.raises(OSError, match=r"reset|closed|aborted|[Bb]roken"):  # noqa: PT012  either step may be the one to fail
        connection.request("GET", "/v1/batches", headers={"Authorization": "Bearer x"})
        connection.getresponse()
    connection.close()
    assert len(service.requests) == 1


def test_gzip_and_a_cut_of_it(service, http):
    content = b"0123456789" * 100_000
    file = upload(http, content, purpose="evals")
    path = f"/files/{file['id']}/content"
    service.faults.add("GET /files/*/content", Gzip())
    with http.stream("GET", path, headers={"Accept-Encoding": "identity"}) as answer:
        assert answer.headers["content-encoding"] == "gzip"
        assert gzip.decompress(b"".join(answer.iter_raw())) == content
    service.faults.add("GET /files/*/content", Cut(after=500, framing="close"))
    service.faults.add("GET /files/*/content", Gzip())
    with http.stream("GET", path) as answer:
        packed = b"".join(answer.iter_raw())
    assert len(packed) == 500
    with pytest.raises(EOFError):
        gzip.decompress(packed)
    assert content.startswith(zlib.decompressobj(wbits=31).decompress(packed))


def test_faults_over_http(service, http):
    control = service.base_url.removesuffix("/v1") + "/_control"
    headers = {"Authorization": "Bearer any"}
    fault = {"match": "GET /batches", "effect": {"effect": "reject", "status": 418}, "times": 2}
    assert httpx.post(f"{control}/faults", json=fault, headers=headers).status_code == 200
    assert http.get("/batches").status_code == 418
    (listed,) = httpx.get(f"{control}/faults", headers=headers).json()
    assert listed["hits"] == 1
    assert listed["effect"]["status"] == 418
    assert httpx.delete(f"{control}/faults", headers=headers).status_code == 204
    assert http.get("/batches").status_code == 200
    seen = httpx.get(f"{control}/requests", headers=headers).json()
    assert [(each["method"], each["path"], each["status"]) for each in seen] == [
        ("GET", "/v1/batches", 418),
        ("GET", "/v1/batches", 200),
    ]
    assert httpx.delete(f"{control}/requests", headers=headers).status_code == 204
    assert service.requests == []
    before = httpx.post(f"{control}/advance", json={"seconds": 1}, headers=headers).json()["now"]
    assert (
        httpx.post(f"{control}/advance", json={"seconds": 60}, headers=headers).json()["now"] == before + 60
    )


def test_time_that_no_answer_can_be_dated_with_is_not_moved_to(service, http):
    control = service.base_url.removesuffix("/v1") + "/_control"
    for seconds in (1e15, 1e308):
        answer = httpx.post(f"{control}/advance", json={"seconds": seconds}, headers={"api-key": "any"})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "seconds")
    assert http.get("/batches").status_code == 200


def test_a_clock_that_only_tells_the_time_is_not_moved():
    with Service(clock=time) as service:
        control = service.base_url.removesuffix("/v1") + "/_control"
        answer = httpx.post(f"{control}/advance", json={"seconds": 1}, headers={"api-key": "any"})
        assert answer.status_code == 400
        assert "only tells the time" in answer.json()["error"]["message"]


def test_a_cut_of_an_answer_with_a_status_without_a_name(service):
    service.faults.add("GET /batches", Cut(after=5, framing="close"))
    service.faults.add("GET /batches", Reject(520))
    got, end = raw_get(service, "/batches")
    assert (got.startswith(b"HTTP/1.1 520 \r\n"), got.endswith(b'{"err'), end) == (True, True, "closed")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'{"match": "GET", "effect": {"effect": "reset"}}',
        b'{"match": "GET /batches", "effect": {"effect": "explode"}}',
        b'{"match": "GET /batches", "effect": {"effect": "reset", "typo": 1}}',
        b'{"match": "GET /batches", "effect": {"effect": "reject", "headers": {"a b": "c"}}}',
        b'{"match": "GET /batches", "effect": {"effect": "reject", "headers": {"a": "b\\nc: d"}}}',
        '{"match": "GET /batches", "effect": {"effect": "literally", "headers": {"a": "\u2028"}}}'.encode(),
        b'{"match": "GET /batches", "effect": {"effect": "literally", "media_type": "text\\n"}}',
    ],
)
def test_a_bad_fault_over_http_is_refused(service, body):
    control = service.base_url.removesuffix("/v1") + "/_control/faults"
    answer = httpx.post(control, content=body, headers={"Authorization": "Bearer any"})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


def test_the_control_paths_want_the_token_too():
    with Service(tokens="secret") as service:
        control = service.base_url.removesuffix("/v1") + "/_control/faults"
        assert httpx.get(control).status_code == 401
        assert httpx.get(control, headers={"Authorization": "Bearer secret"}).json() == []


def test_a_fault_is_a_value():
    fault = Fault("GET /batches", Reject(503), times=None)
    assert fault == Fault("GET /batches", Reject(503), times=None)
    assert "Reject(status=503" in repr(fault)


def test_creates_per_hour(clock):
    with Service(clock=clock, limits=Limits(creates_per_hour=2)) as service, http_to(service) as http:
        file = upload(http, jsonl(1))
        create(http, file)
        service.advance(600)
        create(http, file)
        answer = http.post("/batches", json=creation(file))
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "3000")
        assert answer.json()["error"]["code"] == "rate_limit_exceeded"
        service.advance(3001)
        create(http, file)


def test_a_body_that_never_ends_in_time(service, http):
    """http.client sees a cut body as what it is: a sanity check of the fault itself, with another client."""
    file = upload(http, b"y" * 5000, purpose="evals")
    service.faults.add("GET /files/*/content", Cut(after=10))
    host, port = service.base_url.removeprefix("http://").removesuffix("/v1").split(":")
    connection = HTTPConnection(host, int(port), timeout=20)
    connection.request("GET", f"/v1/files/{file['id']}/content", headers={"Authorization": "Bearer x"})
    with pytest.raises(IncompleteRead) as caught:
        connection.getresponse().read()
    assert len(caught.value.partial) == 10
    connection.close()
