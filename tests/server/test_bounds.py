"""What a client may not do: keep a connection with half a request, and send heads and forms without end."""

import asyncio
import socket
import threading
import time
from contextlib import contextmanager, suppress

import pytest
from support.service_http import http_to, jsonl, upload

from overlay.server import Limits, Service, running
from overlay.server.app import Application
from overlay.server.http.protocol import WireProtocol

HEAD = b"POST /v1/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\n"
FORM = b"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 100000\r\n\r\n"


@contextmanager
def connection(service):
    port = int(service.base_url.rpartition(":")[2].removesuffix("/v1"))
    with socket.create_connection(("127.0.0.1", port), timeout=20) as made:
        yield made


def answer_of(made):
    """One answer that ends in a JSON object."""
    answered = b""
    while not answered.endswith(b"}"):
        answered += made.recv(65536)
    return answered


def everything(made):
    pieces = []
    while piece := made.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /v1/batches HT",
        HEAD,
        HEAD + FORM,
        HEAD + FORM + b"--b\r\nContent-Disposition: form-data; name=file; filename=f.jsonl\r\n\r\n{}",
    ],
    ids=["nothing", "half a line", "half a head", "no body", "half a body"],
)
def test_half_a_request_is_dropped(service, monkeypatch, sent):
    monkeypatch.setattr(WireProtocol, "patience", 0.2)
    began = time.monotonic()
    with connection(service) as made:
        made.sendall(sent)
        assert everything(made).startswith(b"HTTP/1.1 408 ")
    assert 0.15 < time.monotonic() - began < 10
    files = service._running.app.store.content("x").parent
    while list(files.iterdir()):  # until the request is given up, which the time limit of the test bounds
        time.sleep(0.01)


def test_a_head_that_drips_is_dropped(service, monkeypatch):
    monkeypatch.setattr(WireProtocol, "patience", 0.2)
    with connection(service) as made:
        made.sendall(HEAD)
        made.setblocking(False)
        for _ in range(1000):
            time.sleep(0.005)
            with suppress(BlockingIOError):
                assert made.recv(65536).startswith(b"HTTP/1.1 408 ")
                break
            made.send(b"X-More: 1\r\n")
        else:
            raise AssertionError("it may drip for ever")


def test_a_body_that_goes_on_is_waited_for(service, monkeypatch):
    monkeypatch.setattr(WireProtocol, "patience", 0.1)
    content = jsonl(1)
    begin = b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n--b\r\nContent-Disposition:'
    begin += b' form-data; name="file"; filename="f.jsonl"\r\n\r\n'
    body = begin + content * 400 + b"\r\n--b--\r\n"
    with connection(service) as made:
        made.sendall(HEAD + FORM.replace(b"100000", str(len(body)).encode()))
        for start in range(0, len(body), 8192):
            time.sleep(0.04)
            made.sendall(body[start : start + 8192])
        answered = made.recv(65536)
    assert answered.startswith(b"HTTP/1.1 200 ")


def test_a_connection_that_is_kept_alive_is_not_half_a_request(service, monkeypatch):
    monkeypatch.setattr(WireProtocol, "patience", 0.05)
    request = b"GET /v1/batches HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\n\r\n"
    with connection(service) as made:
        for _ in range(2):
            made.sendall(request)
            assert answer_of(made).startswith(b"HTTP/1.1 200 ")
            time.sleep(0.2)


def test_a_head_without_end_is_refused(service):
    with connection(service) as made:
        made.sendall(HEAD + b"X-Much: " + b"x" * 70_000)
        assert made.recv(1000).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "body",
    [
        b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n1\r\n' * 40 + b"--b--\r\n",
        b"--b\r\nX-Much: " + b"y" * 20_000 + b"\r\n\r\n1\r\n--b--\r\n",
        b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n' + b"z" * 70_000 + b"\r\n--b--\r\n",
    ],
    ids=["parts", "a header", "a field"],
)
def test_a_form_without_end_is_refused(service, body):
    with http_to(service) as http:
        answer = http.post(
            "/files", content=body, headers={"Content-Type": "multipart/form-data; boundary=b"}
        )
        assert answer.status_code in {400, 413}
        assert upload(http, jsonl(1))["bytes"] == len(jsonl(1))


def test_a_file_of_any_length_is_refused_while_it_comes():
    with Service(limits=Limits(max_upload_bytes=1000)) as service, http_to(service) as http:
        answer = http.post("/files", data={"purpose": "batch"}, files={"file": ("f.jsonl", b"x" * 1001)})
        assert answer.status_code == 413


@contextmanager
def slow_reader(service, file_id):
    """A connection that has asked for the content of a file, and takes few bytes at a time."""
    port = int(service.base_url.rpartition(":")[2].removesuffix("/v1"))
    with socket.socket() as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        made.settimeout(20)
        made.connect(("127.0.0.1", port))
        head = f"GET /v1/files/{file_id}/content HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\n\r\n"
        made.sendall(head.encode())
        yield made


@pytest.fixture
def content():
    """More than what sockets hold."""
    return jsonl(1) * 60_000


def test_an_answer_that_nobody_reads_ends(service, monkeypatch, content):
    monkeypatch.setattr(WireProtocol, "reader_patience", 0.2)
    with http_to(service) as http:
        file = upload(http, content)
    aborted = threading.Event()
    abort = WireProtocol._look_at_reader

    def noted(self):
        abort(self)
        if self.transport.is_closing():
            aborted.set()

    monkeypatch.setattr(WireProtocol, "_look_at_reader", noted)
    with slow_reader(service, file["id"]) as made:
        assert aborted.wait(10)
        with suppress(ConnectionResetError):
            assert len(everything(made)) < len(content)


def test_an_answer_that_is_read_slowly_comes_whole(service, monkeypatch, content):
    monkeypatch.setattr(WireProtocol, "reader_patience", 0.3)
    with http_to(service) as http:
        file = upload(http, content)
    taken = b""
    with slow_reader(service, file["id"]) as made:
        began = time.monotonic()
        while time.monotonic() - began < 1.2:
            time.sleep(0.02)
            taken += made.recv(4096)
        while len(taken) < len(content) and (piece := made.recv(1 << 20)):
            taken += piece
    assert taken.endswith(content)


def test_who_does_not_end_when_the_service_does_is_cut_off_and_no_error(monkeypatch, caplog):
    monkeypatch.setattr(running, "_PATIENCE", 0.1)
    ready = threading.Event()
    with running.listen("127.0.0.1", 0) as listener:
        server = running.Server(Application(), ready.set)
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
        thread.start()
        try:
            assert ready.wait(10)
            with socket.create_connection(listener.getsockname(), timeout=10) as made:
                made.sendall(HEAD + b"Expect: 100-continue\r\n" + FORM)
                assert made.recv(1000).startswith(b"HTTP/1.1 100 ")  # it waits for the body
                server.should_exit = True
                with pytest.raises(ConnectionResetError):
                    made.recv(1000)
        finally:
            server.should_exit = True
            thread.join(10)
    assert not thread.is_alive()
    assert "Traceback" not in caplog.text
