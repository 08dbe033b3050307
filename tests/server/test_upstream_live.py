"""Live requests beside batches, at one address."""

import json
import socket
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import httpx
import pytest
from support.model_server import HALF, HANG, ModelServer, Reply, answer
from support.service_http import create, http_to, jsonl, retrieve, until, upload

from overlay.server import Limits, Service, upstream
from overlay.server.routes import passing

CHAT = "/chat/completions"


@pytest.fixture
def model():
    with ModelServer() as model:
        yield model


@pytest.fixture
def service(model):
    with Service(upstream(model.url, api_key="its-key", hurry=0.01), tokens="client-key") as service:
        yield service


@pytest.fixture
def http(service):
    with http_to(service, "client-key") as http:
        yield http


def test_a_request_goes_through_as_it_is_but_for_the_key(model, http):
    seen = []

    def respond(path, body, times):
        seen.append((path, body, dict(model.headers)))
        return Reply(418, b'{"a":  1}', {"x-request-id": "theirs", "X-Own": "o", "Content-Type": "text/odd"})

    model.respond = respond
    sent = json.dumps({"model": "m", "note": "ü"}, indent=1)
    headers = {"Content-Type": "application/json", "X-Mine": "m", "Cookie": "c=1", "api-key": "client-key"}
    reply = http.post("/rerank?a=1&b", content=sent, headers=headers)
    assert (reply.status_code, reply.content) == (418, b'{"a":  1}')
    assert (reply.headers["x-own"], reply.headers["x-request-id"]) == ("o", "theirs")
    assert reply.headers["content-type"] == "text/odd"
    ((path, body, got),) = seen
    assert (path, body) == ("/v1/rerank?a=1&b", json.loads(sent))
    assert (got["authorization"], got["x-mine"]) == ("Bearer its-key", "m")
    assert got.keys() & {"cookie", "api-key"} == set()
    assert got["content-length"] == str(len(sent.encode()))


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_any_method_and_path(model, http, method):
    model.respond = lambda path, body, times: Reply(body=f'"{path}"'.encode())
    assert http.request(method, "/anything/there/is").json() == "/v1/anything/there/is"
    outside = str(http.base_url).removesuffix("/v1/") + "/tokenize"
    assert http.request(method, outside).json() == "/tokenize"


def test_our_own_paths_and_what_is_no_path_are_not_passed_on(model, http):
    assert http.delete("/batches").status_code == 405
    assert http.get("/batches/x/y").status_code == 404
    assert http.get("/files/x/y/z").status_code == 404
    assert http.get("/uploads").status_code in {404, 405}
    for path in ("/%2e%2e/admin", "/a%20b", "/a%2Fb", "/Batches", "/models/%2e%2e", "/models/%2e"):
        assert http.get(path).status_code == 404
    for path in ("//v1/files", "/v1//files"):
        assert http.get(str(http.base_url).removesuffix("/v1/") + path).status_code == 404
    assert model.paths == []


@pytest.mark.parametrize("method", ["TRACE", "CONNECT"])
def test_a_request_whose_answer_would_show_our_key_is_not_passed_on(model, service, http, method):
    port = httpx.URL(service.base_url).port
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        head = f"{method} /v1/x HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer client-key\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 405 ")
    assert http.get("/x").status_code == 200
    assert len(model.ids()) == 0
    assert model.headers["authorization"] == "Bearer its-key"


def test_headers_of_one_connection_stay_there(model, http):
    seen = []

    def respond(path, body, times):
        seen.append(model.headers)
        return Reply(
            body=b"{}", headers={"Connection": "X-Theirs, Content-Length", "X-Theirs": "t", "X-Other": "o"}
        )

    model.respond = respond
    reply = http.post(CHAT, json={}, headers={"Connection": "X-Mine", "X-Mine": "m", "X-More": "n"})
    assert seen[0].get("x-more") == "n"
    assert "x-mine" not in seen[0]
    assert reply.headers["x-other"] == "o"
    assert reply.headers["content-length"] == "2"
    assert "x-theirs" not in reply.headers


@pytest.mark.parametrize("status", [101, 600, 999])
def test_a_status_that_no_answer_has(model, http, status, caplog):
    model.respond = lambda path, body, times: Reply(status, b"{}")
    reply = http.post(CHAT, json={"model": "m"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (502, "upstream_error")
    assert str(status) in reply.json()["error"]["message"]
    assert "Traceback" not in caplog.text


def test_limits_hold_for_live_requests_too(model):
    limits = replace(Limits.lenient(), endpoints=["/v1/chat/completions"], models=["one"])
    with Service(upstream(model.url), limits=limits) as service, http_to(service) as http:
        assert http.post(CHAT, json={"model": "one"}).status_code == 200
        assert http.post(CHAT, json={"model": "two"}).json()["error"]["code"] == "model_not_found"
        assert http.post("/admin", json={"model": "one"}).status_code == 404
    assert model.paths == ["/v1/chat/completions"]


def test_a_request_without_the_clients_token_is_not_passed_on(service, model):
    with http_to(service, "other") as http:
        assert http.post(CHAT, json={"model": "m"}).status_code == 401
    assert model.asked == []


@pytest.mark.parametrize(("options", "key"), [({}, "any"), ({"pass_token": False}, None)])
def test_without_a_key_of_ours(model, options, key):
    with Service(upstream(model.url, **options)) as service, http_to(service) as http:
        assert http.post(CHAT, json={"model": "m"}).status_code == 200
    assert model.keys == [key and f"Bearer {key}"]


def test_a_stream_arrives_as_it_is_sent(model, http):
    go_on = threading.Event()
    model.respond = lambda path, body, times: Reply(stream=[b"data: 1\n\n", go_on, b"data: [DONE]\n\n"])
    with http.stream("POST", CHAT, json={"model": "m", "stream": True}) as reply:
        pieces = reply.iter_raw()
        assert next(pieces) == b"data: 1\n\n"
        go_on.set()
        assert b"".join(pieces) == b"data: [DONE]\n\n"


def test_a_client_that_leaves_is_not_answered_any_further(model, service, http):
    model.respond = lambda path, body, times: Reply(ending=HANG)
    with pytest.raises(httpx.ReadTimeout):
        http.post(CHAT, json={"model": "m"}, timeout=0.2)
    for _ in range(400):
        if model.now == 0 and service.source.health()[0].live == 0:
            break
        time.sleep(0.01)
    assert (model.left, service.source.health()[0].live) == (1, 0)


def test_half_an_answer_is_no_whole_one(model, http, caplog):
    model.respond = lambda path, body, times: Reply(body=b"x" * 1000, ending=HALF)
    with pytest.raises(httpx.RemoteProtocolError):
        http.post(CHAT, json={"model": "m"})


def test_a_server_that_is_not_there(model, http):
    model.stop()
    reply = http.post(CHAT, json={"model": "m"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (502, "upstream_error")


def test_a_server_that_does_not_answer_in_time(model):
    model.respond = lambda path, body, times: Reply(ending=HANG)
    with Service(upstream(model.url, timeout=0.1)) as service, http_to(service) as http:
        assert http.post(CHAT, json={"model": "m"}).status_code == 504


def test_a_body_that_is_too_large(model, http, monkeypatch):
    monkeypatch.setattr(passing, "_LARGEST", 1000)
    assert http.post(CHAT, content=b"x" * 1001).status_code == 413
    assert http.post(CHAT, content=b"1" * 1000).status_code == 200
    assert len(model.asked) == 1


@contextmanager
def asking(service, source, count):
    """So many live requests that are not answered before the block ends."""
    with ExitStack() as stack:
        for _ in range(count):
            http = stack.enter_context(http_to(service))
            stack.enter_context(http.stream("POST", CHAT, json={"hang": 1}))
        assert source.health()[0].live == count
        yield


@pytest.mark.parametrize("at_once", [4, 3])
def test_live_requests_go_first_and_lines_get_what_they_leave(model, at_once):
    """Of four at once, three live ones leave a batch one; of three, none."""
    go_on = threading.Event()
    model.respond = lambda path, body, times: (
        Reply(stream=[b"data: 1\n\n", go_on]) if "hang" in body else answer(body)
    )
    source = upstream(model.url, api_key="k", at_once=at_once)
    with Service(source) as service, http_to(service) as http:
        with asking(service, source, 3):
            batch = create(http, upload(http, jsonl(30)))
            until(http, batch, "in_progress", "completed")
            if at_once == 4:
                assert until(http, batch)["request_counts"]["completed"] == 30
            else:
                assert http.post(CHAT, json={"model": "m"}).status_code == 200
                assert retrieve(http, batch)["request_counts"]["completed"] == 0
            assert len(model.asked) == (33 if at_once == 4 else 4)
            assert model.most == 4
            go_on.set()
        assert until(http, batch)["request_counts"]["completed"] == 30
