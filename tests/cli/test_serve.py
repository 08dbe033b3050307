"""`overlay serve`, as a process."""

import json
import signal
import sqlite3
import time
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import httpx
import pytest
from support.command_line import CANARY, CommandLine
from support.model_server import ModelServer
from support.service_http import create, creation, jsonl, line, results, run, upload

from overlay import Request, write_requests
from overlay.server import Service


@pytest.fixture
def overlay(tmp_path):
    write_requests(
        tmp_path / "r.jsonl", (Request(f"id-{n}", {"model": "m", "messages": []}) for n in range(3))
    )
    return CommandLine(tmp_path)


def serving(process):
    return json.loads(process.stdout.readline())["base_url"]


def test_serve_until_stopped_and_go_on_from_its_state(tmp_path, overlay):
    words = ("serve", "--port", "0", "--json", "--state", tmp_path / "state", "--token", CANARY)
    for round_ in range(2):
        with overlay.start(*words) as process:
            client = CommandLine(tmp_path, serving(process))
            if round_:
                assert [
                    json.loads(line)["status"]
                    for line in client("batches", "list", "--json").stdout.splitlines()
                ] == ["completed"]
            else:
                assert client("run", "r.jsonl", "-o", "out.jsonl", "--poll", "0.1").returncode == 0
                client.env["OPENAI_API_KEY"] = "other-token"
                assert client("batches", "list").returncode == 3
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=20) == 0


class Model(BaseHTTPRequestHandler):
    """An OpenAI-compatible server that has no batches."""

    def do_GET(self):
        self.answer({"object": "list", "data": [{"id": "m", "object": "model", "owned_by": "llama.cpp"}]})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = f"{asked['model']}, asked with {self.headers['Authorization']}"
        self.answer({"choices": [{"message": {"content": text}}]})

    def answer(self, value):
        answer = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


@contextmanager
def model_server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Model) as server:
        Thread(target=server.serve_forever).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()


def test_serve_forwards_lines_to_a_server(tmp_path, overlay):
    with model_server() as url:
        overlay.env["OVERLAY_UPSTREAM_API_KEY"] = "key-xyz"
        with overlay.start("serve", "--port", "0", "--json", "--upstream", url) as process:
            client = CommandLine(tmp_path, serving(process))
            done = client("run", "r.jsonl", "-o", "-", "--poll", "0.1")
            process.terminate()
    assert done.returncode == 0
    answers = [json.loads(line)["response"]["body"]["choices"] for line in done.stdout.splitlines()]
    assert answers == [[{"message": {"content": "m, asked with Bearer key-xyz"}}]] * 3


def test_serve_says_what_is_in_its_way(overlay):
    with Service() as service:
        port = service.base_url.rpartition(":")[2].removesuffix("/v1")
        taken = overlay("serve", "--port", port)
    assert taken.returncode == 2
    assert taken.stderr.count("\n") == 1
    assert overlay("serve", "--port", "0", "--pace", "quick").returncode == 2
    for host in ("no..host", "\u00f1..host"):
        assert overlay("serve", "--port", "0", "--host", host).returncode == 2


@pytest.mark.parametrize("version", [None, 99])
def test_serve_says_what_is_wrong_with_its_state(tmp_path, overlay, version):
    state = tmp_path / "state.sqlite3"
    if version is None:
        state.write_bytes(b"no database " * 100)
    else:
        with closing(sqlite3.connect(state)) as database:
            database.execute(f"PRAGMA user_version = {version}")
    done = overlay("serve", "--port", "0", "--state", tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert ("not hold the state" if version is None else "newer version") in done.stderr


def test_serve_wants_an_url_upstream(overlay):
    assert overlay("serve", "--port", "0", "--upstream", "localhost").returncode == 2


@contextmanager
def served(overlay, *options):
    """A client of `overlay serve` with these options, which ends well once the block has."""
    with overlay.start("serve", "--port", "0", "--json", *options) as process:
        headers = {"Authorization": "Bearer any"}
        with httpx.Client(base_url=serving(process), headers=headers) as http:
            yield http
        process.terminate()
        assert process.wait(timeout=20) == 0
        said = [each for each in process.stderr.read().splitlines() if not each.startswith("batch batch_")]
        assert len(said) == 1


def test_serve_with_limits(overlay):
    options = ("--limit", "requests=2", "--limit", "windows=24h,48h", "--limit", "creates_per_hour=3")
    with served(overlay, *options) as http:
        file = upload(http, jsonl(3))
        assert run(http, 2, completion_window="48h")["status"] == "completed"
        assert run(http, 3)["errors"]["data"][0]["code"] == "too_many_tasks"
        create(http, file)
        assert http.post("/batches", json=creation(file)).status_code == 429


def test_serve_with_models(overlay):
    with served(overlay, "--model", "one", "--model", "org/two") as http:
        assert [each["id"] for each in http.get("/models").json()["data"]] == ["one", "org/two"]
        assert run(http, [line("a", model="org/two")])["status"] == "completed"
        assert run(http, [line("a", model="three")])["errors"]["data"][0]["code"] == "model_not_found"


def test_serve_with_faults(overlay):
    options = (
        "--fault",
        "POST /batches reject status=503 headers.Retry-After=1 times=2",
        "--fault",
        "GET /files/*/content cut after=10",
    )
    with served(overlay, *options) as http:
        file = upload(http, jsonl(1))
        answers = [http.post("/batches", json=creation(file)) for _ in range(3)]
        assert [each.status_code for each in answers] == [503, 503, 200]
        assert answers[0].headers["retry-after"] == "1"
        with pytest.raises(httpx.RemoteProtocolError):
            http.get(f"/files/{file['id']}/content")
        assert http.get(f"/files/{file['id']}/content").content == jsonl(1)


def test_serve_with_a_pace(overlay):
    with served(overlay, "--pace", "validating=0.4") as http:
        began = time.monotonic()
        run(http, 1)
        assert time.monotonic() - began > 0.4


def test_serve_takes_whatever_the_server_behind_it_takes(overlay):
    lines = [line("a", url="/v1/score", model="one"), line("b", url="/rerank", model="two")]
    with model_server() as url:
        with served(overlay, "--upstream", url) as http:
            assert [each["id"] for each in http.get("/models").json()["data"]] == ["m"]
            batch = run(http, lines, endpoint="/v1/score")
            assert results(http, batch["output_file_id"]).keys() == {"a", "b"}
        with served(overlay, "--upstream", url, "--model", "one", "--limit", "endpoints=/v1/score") as http:
            failed = run(http, lines, endpoint="/v1/score")
            assert [(each["line"], each["param"]) for each in failed["errors"]["data"]] == [
                (2, "url"),
                (2, "body.model"),
            ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ("--limit", "reqests=5"),
            "there is no limit 'reqests'; there are requests, input_bytes, embedding_inputs",
        ),
        (("--limit", "requests"), "expected name=value, got 'requests'"),
        (("--limit", "requests=many"), "requests: expected a whole number, got 'many'"),
        (("--limit", "requests=-1"), "requests: expected a whole number"),
        (("--limit", "windows=soon"), "a completion window is a number and one of s, m, h, d"),
        (("--limit", "requests=1", "--limit", "requests=2"), "requests is given twice"),
        (("--limit", "models=a", "--model", "b"), "give --limit models=… or --model, not both"),
        (("--fault", "POST /batches"), "expected a pattern and an effect"),
        (("--fault", "POST batches reset"), "a pattern is a method and a path"),
        (("--fault", "POST /batches explode"), "there is no effect 'explode' here; there are accept"),
        (("--fault", "POST /batches reject status=1000"), "status=1000: Expected int <= 599"),
        (("--fault", "POST /batches reject message='x"), "No closing quotation"),
        (("--fault", ""), "expected a pattern and an effect"),
        (("--limit", f"windows={'9' * 400}h"), "a completion window has at most 9 digits"),
        (("--upstream", "http://localhost:99999"), "an upstream is an http or https URL"),
        (("--upstream", "http://vllm:8000"), "http://vllm:8000 is plain http to another machine"),
        (("--upstream", "m=http://[::1]/;weigth=2"), "an upstream has ;weight=NUMBER and ;at-once=NUMBER"),
        (("--at-once", "many", "--upstream", "http://[::1]/"), "expected a whole number from 1, or auto"),
        (("--host", "0.0.0.0"), "0.0.0.0 can be reached by other machines, and any token would do"),
        (("--pace", "walking=2"), "not a status with a pace: walking"),
        (("--pace", "validating=x"), "validating=x: expected a number of 0 or more, got 'x'"),
    ],
)
def test_a_wrong_option_is_a_wrong_usage_and_nothing_is_served(overlay, options, said):
    done = overlay("serve", "--port", "0", *options)
    assert (done.returncode, done.stdout) == (2, "")
    shown = " ".join(done.stderr.replace("│", " ").split())
    assert f"invalid value for {options[0]}: {said}" in shown


def test_serve_in_another_services_dialect(overlay):
    words = ("serve", "--port", "0", "--json", "--dialect", "together", "--limit", "requests=7")
    with overlay.start(*words) as process:
        url = serving(process)
        answer = httpx.get(f"{url}/batches", headers={"Authorization": "Bearer any"})
        assert (url.rpartition("/")[2], answer.json()) == ("v1", [])
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0


def test_serve_in_a_dialect_that_there_is_not(overlay):
    done = overlay("serve", "--dialect", "togehter")
    assert done.returncode == 2
    assert "there is no dialect 'togehter'" in " ".join(done.stderr.replace("│", " ").split())


def test_serve_for_other_machines_says_an_address_that_they_can_reach(tmp_path, overlay):
    (tmp_path / "tokens").write_text("one\ntwo\n")
    options = ("--host", "0.0.0.0", "--token-file", tmp_path / "tokens")
    with overlay.start("serve", "--port", "0", "--json", *options) as process:
        url = serving(process)
        assert "0.0.0.0" not in url
        for token, status in (("two", 200), ("any", 401)):
            answer = httpx.get(f"{url}/batches", headers={"Authorization": f"Bearer {token}"})
            assert answer.status_code == status
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0


def test_serve_sends_the_server_behind_the_key_of_its_file_and_no_token_of_clients(tmp_path, overlay):
    (tmp_path / "tokens").write_text("any")
    (tmp_path / "key").write_text("its-key\n")
    with ModelServer() as model:
        behind = ("--upstream", model.url, "--token-file", tmp_path / "tokens")
        with served(overlay, *behind, "--upstream-key-file", tmp_path / "key", "--at-once", "auto") as http:
            assert run(http, 2)["request_counts"]["completed"] == 2
        with served(overlay, *behind) as http:
            assert run(http, 1)["request_counts"]["completed"] == 1
        with served(overlay, *behind, "--pass-token", "--tries", "2", "--timeout", "3") as http:
            assert run(http, 1)["request_counts"]["completed"] == 1
    assert model.keys == ["Bearer its-key", "Bearer its-key", None, "Bearer any"]


def test_a_key_file_that_there_is_not(overlay):
    done = overlay("serve", "--upstream", "http://127.0.0.1:1", "--upstream-key-file", "none")
    assert done.returncode != 0
    assert "--upstream-key-file none: No such file" in done.stderr
