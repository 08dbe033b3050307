"""Lines forwarded to a real server: a small starlette application, on a socket of its own."""

import asyncio
import json
import logging
import threading
import time
from contextlib import ExitStack
from dataclasses import replace

import pytest
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route
from support.service_http import create, creation, http_to, jsonl, line, results, retrieve, run, until, upload

from overlay.server import Limits, Literally, Reject, Reset, Service, Silence, upstream

CHAT = "POST /chat/completions"


@pytest.fixture(autouse=True)
def nothing_logged(caplog):
    yield
    warnings = [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]
    assert [each for each in warnings if "its lines wait" not in each] == []


class Model:
    """The application at the other end: notes what it is sent, and how much of it at once."""

    def __init__(self):
        self.bodies, self.keys, self.paths = [], [], []
        self.now = self.most = 0
        self.answer = lambda body: json.dumps(
            {"you": body, "usage": {"prompt_tokens": 3, "completion_tokens": 4}}
        )
        self.app = Starlette(routes=[Route("/{path:path}", self.serve, methods=["POST"])])

    async def serve(self, request):
        self.now += 1
        self.most = max(self.most, self.now)
        body = await request.body()
        await asyncio.sleep(0.002)
        self.now -= 1
        self.bodies.append(body)
        self.keys.append(request.headers.get("authorization"))
        self.paths.append(request.url.path)
        headers = {"x-request-id": f"model-{len(self.bodies)}"}
        return Response(self.answer(json.loads(body)), media_type="application/json", headers=headers)


@pytest.fixture
def model():
    return Model()


@pytest.fixture
def server(model):
    with Service(wrap=lambda app: model.app) as server:
        yield server


def forwarding(server, **options):
    return Service(upstream(server.base_url, **{"api_key": "model-key", "hurry": 0.02, **options}))


def test_each_line_is_forwarded_and_its_answer_stands_in_the_output(server, model):
    lines = [line(f"r{number}", note="\u2028 ü", big=12345678901234567890) for number in range(40)]
    with forwarding(server) as service, http_to(service) as http:
        batch = run(http, lines)
        assert batch["request_counts"] == {"total": 40, "completed": 40, "failed": 0}
        assert (batch["usage"]["input_tokens"], batch["usage"]["output_tokens"]) == (120, 160)
        answers = results(http, batch["output_file_id"])
        for each in lines:
            answered = answers[each["custom_id"]]["response"]
            assert answered["body"]["you"] == each["body"]
            assert answered["request_id"].startswith("model-")
    assert sorted(model.bodies) == sorted(json.dumps(each["body"]).encode() for each in lines)
    assert set(model.keys) == {"Bearer model-key"}
    assert set(model.paths) == {"/v1/chat/completions"}


def test_at_most_so_many_lines_at_once(server, model):
    with forwarding(server, at_once=5) as service, http_to(service) as http:
        first = create(http, upload(http, jsonl(60)))
        assert until(http, first)["request_counts"]["completed"] == 60
    assert model.most == 5


def test_the_clients_own_token_is_sent_on_where_there_is_no_other(server, model):
    with forwarding(server, api_key=None) as service, http_to(service, "client-key") as http:
        run(http, 1)
    assert model.keys == ["Bearer client-key"]


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/"])
def test_forms_of_the_url(server, model, suffix):
    url = server.base_url.removesuffix("/v1") + suffix
    with Service(upstream(url, api_key="k")) as service, http_to(service) as http:
        run(http, 1)
    with (
        Service(upstream(url.replace("/v1", "/openai/v1"), api_key="k")) as service,
        http_to(service) as http,
    ):
        run(http, 1)
    assert model.paths[0] == "/v1/chat/completions"


@pytest.mark.parametrize(
    "url", ["", "localhost:8000", "ftp://host", "http://", "/v1", "http://h:99999", "http://h:x/"]
)
def test_a_bad_url(url):
    with pytest.raises(ValueError, match="http or https URL"):
        upstream(url)


def test_a_busy_server_is_asked_again_and_not_before_it_wants(server, model):
    server.faults.add(CHAT, Reject(429, headers={"Retry-After": "0.4"}), times=3)
    with forwarding(server, at_once=3, hurry=1) as service, http_to(service) as http:
        began = time.monotonic()
        batch = run(http, 3)
        assert time.monotonic() - began >= 0.4
        assert batch["request_counts"]["completed"] == 3
    assert server.count("POST", "/chat/completions") == 6


@pytest.mark.parametrize(
    "fault",
    [
        Reset(),
        Silence(0.01),
        Reject(500),
        Reject(503),
        Literally("<html>bad gateway</html>", status=502),
        Literally("<html>"),
    ],
)
def test_passing_trouble_is_passed_over(server, fault):
    server.faults.add(CHAT, fault, times=2)
    with forwarding(server) as service, http_to(service) as http:
        batch = run(http, 5)
        assert batch["request_counts"]["completed"] == 5


def test_a_server_that_starts_later(server):
    server.stop()
    with forwarding(server) as service, http_to(service) as http:
        batch = create(http, upload(http, jsonl(5)))
        until(http, batch, "in_progress")
        threading.Timer(0.2, server.start).start()
        assert until(http, batch)["request_counts"]["completed"] == 5


def test_a_refusal_stands_in_the_error_file(server):
    refusal = Reject(400, "too long", code="context_length_exceeded", kind="invalid_request_error")
    server.faults.add(CHAT, refusal, times=1)
    with forwarding(server) as service, http_to(service) as http:
        batch = run(http, 4)
        assert batch["request_counts"] == {"total": 4, "completed": 3, "failed": 1}
        (bad,) = results(http, batch["error_file_id"]).values()
        assert bad["response"]["status_code"] == 400
        assert bad["response"]["body"]["error"]["code"] == "context_length_exceeded"
        assert bad["error"] is None
    assert server.count("POST", "/chat/completions") == 4


TROUBLE = [
    Reject(503),
    Reset(),
    Literally("<html>", status=200),
    Literally("plain", status=500),
    Literally(status=307, headers={"Location": "http://192.0.2.1/"}),
    Reject(401),
    Reject(429, code="insufficient_quota"),
]


def test_trouble_that_stays_fails_no_line_before_the_window_ends():
    limits = replace(Limits.lenient(), windows=["1s"])
    with ExitStack() as stack:
        running = []
        for fault in TROUBLE:
            behind = stack.enter_context(Service())
            behind.faults.add(CHAT, fault, times=None)
            source = upstream(behind.base_url, api_key="k", hurry=0.01)
            service = stack.enter_context(Service(source, limits=limits))
            http = stack.enter_context(http_to(service))
            batch = create(http, upload(http, jsonl(3)), completion_window="1s")
            running.append((behind, http, batch))
        for behind, http, created in running:
            batch = until(http, created)
            assert (batch["status"], batch["request_counts"]["failed"]) == ("expired", 3)
            for each in results(http, batch["error_file_id"]).values():
                assert (each["response"], each["error"]["code"]) == (None, "batch_expired")
            assert behind.count("POST", "/chat/completions") > 6


def test_an_answer_on_many_lines_becomes_one_with_its_numbers_as_they_were(server, model):
    model.answer = lambda body: (
        '{\n  "x": 1.10e5,\n  "y": 0.1000000000000000055511151231257827, "z": "a\\nb"\n}\n'
    )
    with forwarding(server) as service, http_to(service) as http:
        batch = run(http, 1)
        content = http.get(f"/files/{batch['output_file_id']}/content").content
    assert content.count(b"\n") == 1
    assert b'"body":{"x":1.10e5,"y":0.1000000000000000055511151231257827,"z":"a\\nb"}' in content


def test_a_line_that_asks_for_a_stream_fails(server):
    with forwarding(server) as service, http_to(service) as http:
        # `true` does not get past the validation of the batch.
        batch = run(http, [line("a", stream=1), line("b", stream=False)])
        assert batch["request_counts"] == {"total": 2, "completed": 1, "failed": 1}
        assert results(http, batch["error_file_id"])["a"]["response"]["body"]["error"]["param"] == "stream"


def test_a_cancel_stops_forwarding(server):
    server.faults.add(CHAT, Silence(), times=None)
    with forwarding(server, at_once=4) as service, http_to(service) as http:
        batch = create(http, upload(http, jsonl(20)))
        while server.count("POST", "/chat/completions") < 4:
            time.sleep(0.01)
        assert http.post(f"/batches/{batch['id']}/cancel").status_code == 200
        batch = until(http, batch)
        assert (batch["status"], batch["output_file_id"]) == ("cancelled", None)
        assert len(results(http, batch["error_file_id"])) == 20
    assert server.count("POST", "/chat/completions") == 4


def test_a_restart_asks_only_what_was_not_answered(server, model, tmp_path):
    server.faults.add(CHAT, Silence(), times=None, skip=10)
    service = Service(upstream(server.base_url, api_key="k", at_once=2), state=tmp_path)
    with service, http_to(service) as http:
        batch = create(http, upload(http, jsonl(20)))
        while retrieve(http, batch)["request_counts"]["completed"] < 10:
            time.sleep(0.01)
    server.faults.clear()
    with service, http_to(service) as http:
        batch = until(http, batch)
        assert len(results(http, batch["output_file_id"])) == 20
    assert len(model.bodies) == len(set(model.bodies)) == 20


def test_the_key_is_nowhere(server, capfd, caplog):
    server.faults.add(CHAT, Literally("<html>"), times=None)
    caplog.set_level(logging.DEBUG)
    source = upstream(server.base_url, api_key="canary-key", tries=1, hurry=0.01)
    assert "canary" not in repr(source)
    limits = replace(Limits.lenient(), windows=["1s"])
    with Service(source, limits=limits) as service, http_to(service) as http:
        batch = run(http, 1, completion_window="1s")
        content = http.get(f"/files/{batch['error_file_id']}/content").text
    out = capfd.readouterr()
    assert "canary" not in out.out + out.err + content + caplog.text


def test_a_file_may_name_any_endpoint_and_several_models(server, model):
    lines = [
        line("a", url="/v1/score", model="one", text_1="x"),
        line("b", url="/v1/rerank", model="two", query="x"),
        line("c", url="/pooling?truncate=1", model=None),
        {"custom_id": "d", "method": "POST", "url": "/v1/score", "body": {"text_1": "x"}},
    ]
    with forwarding(server) as service, http_to(service) as http:
        batch = run(http, lines, endpoint="/v1/score")
        assert (batch["status"], batch["request_counts"]["completed"]) == ("completed", 4)
        assert (batch["endpoint"], batch["model"]) == ("/v1/score", None)
        answers = results(http, batch["output_file_id"])
        for each in lines:
            assert answers[each["custom_id"]]["response"]["body"]["you"] == each["body"]
    assert sorted(model.paths) == ["/pooling", "/v1/rerank", "/v1/score", "/v1/score"]


def test_a_file_of_one_model_has_a_batch_of_it(server):
    with forwarding(server) as service, http_to(service) as http:
        assert run(http, [line(name, model="one") for name in "abc"])["model"] == "one"
        assert run(http, [line(name, model=name) for name in "aab"])["model"] is None
        assert run(http, [line(name, model=name) for name in "aba"])["model"] is None


NO_PATHS = [
    "@192.0.2.1/v1/score",
    ":80@192.0.2.1/",
    ".example/v1/score",
    "http://192.0.2.1/v1/score",
    "/v1/../admin",
    "/..",
    "/v1/./score",
    "/v1/%2e%2e/admin",
    "/v1/score#x",
    "/v1/sc ore",
    "/v1/sc\nore",
    "/v1/sc\\ore",
    "/v1/ü",
    "v1/score",
    "",
    "/" + "x" * 3000,
]


@pytest.mark.parametrize("url", NO_PATHS)
def test_what_is_no_path_reaches_no_server(server, model, url):
    """A line must not be able to send the server's key elsewhere."""
    with forwarding(server) as service, http_to(service) as http:
        failed = run(http, [line("a", url=url)], endpoint="/v1/score")
        assert failed["status"] == "failed"
        assert [each["param"] for each in failed["errors"]["data"]] == ["url"]
        answer = http.post("/batches", json=creation({"id": "file-x"}, endpoint=url))
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "endpoint")
    assert model.bodies == []


def test_limits_that_are_given_hold_for_a_server_behind_as_well(server, model):
    limits = replace(Limits.lenient(), endpoints=["/v1/score", "/v1/rerank"], models=["one"])
    with (
        Service(upstream(server.base_url, api_key="k"), limits=limits) as service,
        http_to(service) as http,
    ):
        lines = [line("a", url="/v1/score", model="one"), line("b", url="/v1/rerank", model="one")]
        assert run(http, lines, endpoint="/v1/score")["status"] == "completed"
        lines = [line("a", url="/v1/score", model="two"), line("b", url="/v1/pooling", model="one")]
        failed = run(http, lines, endpoint="/v1/score")
        assert [each["param"] for each in failed["errors"]["data"]] == ["body.model", "url"]
        answer = http.post("/batches", json=creation({"id": "file-x"}, endpoint="/v1/pooling"))
        assert answer.status_code == 400
    with Service(upstream(server.base_url), limits=Limits()) as service, http_to(service) as http:
        failed = run(http, [line("a", model="x"), line("b", model="y"), line("c", url="/v1/score")])
        assert {each["param"] for each in failed["errors"]["data"]} == {"body.model", "url"}
