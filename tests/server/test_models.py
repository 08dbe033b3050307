"""/v1/models: the service's own list, the one in its limits, or that of the server behind it."""

import json

import httpx
import openai
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from support.service_http import http_to, line, run
from support.strictness import check

from overlay.server import Limits, Service, echo, upstream


def strict(service):
    return openai.OpenAI(
        base_url=service.base_url, api_key="any", max_retries=0, _strict_response_validation=True
    )


def test_where_any_model_is_accepted_well_known_ones_are_listed_and_any_is_found(service):
    with strict(service) as client, http_to(service) as http:
        listed = [each.id for each in client.models.list()]
        assert {"gpt-4o-mini", "text-embedding-3-small", "omni-moderation-latest"} <= set(listed)
        assert len(listed) == len(set(listed))
        for name in [*listed, "my-own", "meta-llama/Llama-3.1-8B-Instruct", "a b?c#d%e"]:
            assert client.models.retrieve(name).id == name
        check("model_list", http.get("/models").json())
        check("model", http.get("/models/org/name").json())


def test_models_of_the_limits_are_all_there_are():
    with Service(limits=Limits(models=["org/one", "two"])) as service, strict(service) as client:
        assert [each.id for each in client.models.list()] == ["org/one", "two"]
        assert client.models.retrieve("org/one").id == "org/one"
        with pytest.raises(openai.NotFoundError, match="The model 'three' does not exist") as caught:
            client.models.retrieve("three")
        assert caught.value.code == "model_not_found"


def test_models_are_only_read_and_by_whoever_may(service):
    with http_to(service) as http:
        assert http.delete("/models/gpt-4o-mini").status_code == 405
        assert http.post("/models").status_code == 405
        assert http.get("/models/").status_code == 404
    assert httpx.get(f"{service.base_url}/models").status_code == 401


LISTED = {
    "object": "list",
    "data": [
        {"id": "org/llama", "object": "model", "owned_by": "vllm", "max_model_len": 8192, "permission": []},
        {"id": "second", "object": "model", "created": 1},
    ],
}


class Behind:
    """A server with models: answers GET by path, and notes the keys it was sent."""

    def __init__(self):
        self.answers = {"/v1/models": JSONResponse(LISTED)}
        self.keys = []
        self.app = Starlette(routes=[Route("/{path:path}", self.serve, methods=["GET", "POST"])])

    async def serve(self, request):
        self.keys.append(request.headers.get("authorization"))
        if request.method == "POST":
            return JSONResponse({"model": "x"})
        path = request.scope["path"]
        return self.answers.get(path, Response("no such page", 404))


@pytest.fixture
def behind():
    return Behind()


@pytest.fixture
def server(behind):
    with Service(wrap=lambda app: behind.app) as server:
        yield server


@pytest.fixture
def front(server):
    with Service(upstream(server.base_url, api_key="model-key")) as front:
        yield front


def test_the_list_of_the_server_behind_is_passed_on_as_it_is(front, behind):
    with http_to(front) as http:
        answer = http.get("/models")
        assert (answer.status_code, answer.json()) == (200, LISTED)
    assert behind.keys == ["Bearer model-key"]


def test_the_clients_key_is_sent_on_where_there_is_no_other(server, behind):
    with Service(upstream(server.base_url)) as front, http_to(front, "client-key") as http:
        assert http.get("/models").json() == LISTED
    assert behind.keys == ["Bearer client-key"]


def test_a_model_of_the_server_behind(front, behind):
    """A server that has no path for one model is asked for all of them."""
    behind.answers["/v1/models/alias"] = JSONResponse({"id": "second", "root": "alias"})
    behind.answers["/v1/models/sleepy"] = JSONResponse({"error": {"message": "loading"}}, 503)
    with http_to(front) as http:
        assert http.get("/models/alias").json() == {"id": "second", "root": "alias"}
        assert http.get("/models/org/llama").json() == LISTED["data"][0]
        assert http.get("/models/org%2Fllama").json() == LISTED["data"][0]
        sleepy = http.get("/models/sleepy")
        assert (sleepy.status_code, sleepy.json()["error"]["message"]) == (503, "loading")
        missing = http.get("/models/third")
        assert missing.status_code == 404
        assert missing.json()["error"]["code"] == "model_not_found"


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (Response("<html>", 200), 502),
        (Response("<html>", 500), 502),
        (Response("", 404), 404),
        (RedirectResponse("http://192.0.2.1/"), 502),
        (JSONResponse({}, 307, headers={"Location": "http://192.0.2.1/"}), 502),
        (JSONResponse({"error": {"message": "no"}}, 403), 403),
    ],
)
def test_what_is_no_list_is_an_error_and_not_a_puzzle(front, behind, answer, status):
    behind.answers["/v1/models"] = answer
    with http_to(front) as http:
        got = http.get("/models")
        assert got.status_code == status
        assert got.json()["error"]["message"]
        assert http.get("/models/x").status_code == status


@pytest.mark.parametrize("models", [{"data": 5}, {"data": [{"name": "x"}]}, ["x"]])
def test_a_list_of_another_shape_has_no_model(front, behind, models):
    behind.answers["/v1/models"] = JSONResponse(models)
    with http_to(front) as http:
        assert http.get("/models").json() == models
        assert http.get("/models/x").status_code == 404


def test_a_server_that_is_not_there(front, server):
    server.stop()
    with http_to(front) as http:
        for path in ("/models", "/models/x"):
            answer = http.get(path)
            assert answer.status_code == 502
            assert "could not be reached" in answer.json()["error"]["message"]
            assert answer.json()["error"]["code"] == "upstream_error"


def test_models_of_the_limits_come_before_those_of_the_server_behind(server, behind):
    limits = Limits(models=["second"])
    with Service(upstream(server.base_url), limits=limits) as front, http_to(front) as http:
        assert [each["id"] for each in http.get("/models").json()["data"]] == ["second"]
        assert http.get("/models/org/llama").status_code == 404
    assert behind.keys == []


class Custom:
    """A source of answers of somebody's own, with models and limits."""

    at_once = batch_of = 1
    limits = Limits(models=None, endpoints=["/v1/mine"])

    async def answer(self, lines, token):
        raise NotImplementedError

    async def models(self, name, token):
        return 200, json.dumps({"name": name, "token": token}).encode()

    async def close(self):
        pass


def test_any_source_may_know_its_models_and_limits():
    with Service(Custom()) as service, http_to(service, "key") as http:
        assert http.get("/models").json() == {"name": None, "token": "key"}
        assert http.get("/models/a/b").json() == {"name": "a/b", "token": "key"}
        body = {"input_file_id": "file-x", "endpoint": "/v1/responses", "completion_window": "24h"}
        assert "'/v1/mine'" in http.post("/batches", json=body).json()["error"]["message"]


def test_a_function_has_no_models_and_is_as_strict_as_the_api():
    with Service(echo) as service, http_to(service) as http:
        assert http.get("/models").json()["data"]
        failed = run(http, [line("a", model="x"), line("b", model="y")])
        assert failed["errors"]["data"][0]["code"] == "model_mismatch"
