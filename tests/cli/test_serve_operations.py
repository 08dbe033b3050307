"""How `overlay serve` is run: its file of options, its signals, its log, and what it refuses to do."""

import json
import re
import signal
import socket
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from support.command_line import CommandLine
from support.model_server import ModelServer, answer
from support.service_http import create, jsonl, retrieve, run, until, upload

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def overlay(tmp_path):
    return CommandLine(tmp_path)


@contextmanager
def served(overlay, *options, token="any"):
    with overlay.start("serve", "--port", "0", "--json", *options) as process:
        url = json.loads(process.stdout.readline())["base_url"]
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}) as http:
            yield http, process
        if process.poll() is None:
            process.terminate()
            assert process.wait(timeout=20) == 0


def said(done):
    return " ".join(done.stderr.replace("│", " ").split())


def test_options_from_a_file_and_the_command_line_wins(tmp_path, overlay):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "tokens").write_text("from-file")
    (tmp_path / "etc" / "other").write_text("from-line")
    (tmp_path / "etc" / "serve.toml").write_text(
        'state = "kept"\ntoken-file = "tokens"\nlimit = ["requests=2"]\nmodel = "one"\nlog_json = true\ntries = 3\n'
    )
    with served(overlay, "--config", "etc/serve.toml", token="from-file") as (http, _):
        assert [each["id"] for each in http.get("/models").json()["data"]] == ["one"]
        assert (tmp_path / "etc" / "kept" / "state.sqlite3").exists()
    words = ("--config", "etc/serve.toml", "--token-file", "etc/other", "--model", "two", "--state", "here")
    with served(overlay, *words, token="from-line") as (http, _):
        assert [each["id"] for each in http.get("/models").json()["data"]] == ["two"]
        assert http.get("/models", headers={"Authorization": "Bearer from-file"}).status_code == 401
        assert (tmp_path / "here" / "state.sqlite3").exists()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("upstreams = 'x'", "there is no option 'upstreams'; did you mean 'upstream'?"),
        ("qqqq = 1", "there is no option 'qqqq'; there are allow-host, allow-insecure"),
        ("[serve]\nport = 1", "there is no option 'serve'"),
        ("config = 'x'", "there is no option 'config'"),
        ("open = 'yes'", "open is true or false, not 'yes'"),
        ("port = [1]", "port has one value, not a list"),
        ("port = true", "port is a text or a number, not True"),
        ("port = 'many'", "nvalid value for '--port'"),
        ("limit = [[1]]", "limit is a text or a number, not [1]"),
        ("port = ", "nvalid value"),
        ("tries = 0", "'--tries'"),
        ("state = 'a\\u0000b'".replace("'", '"'), "state holds a NUL character"),
        ("timeout = inf\nupstream = 'http://127.0.0.1:9'", "timeout is a number of seconds"),
    ],
)
def test_a_wrong_file_of_options_is_a_wrong_usage(tmp_path, overlay, text, told):
    (tmp_path / "serve.toml").write_text(text)
    done = overlay("serve", "--config", "serve.toml")
    assert (done.returncode, done.stdout) == (2, "")
    assert told.replace("'", "") in said(done).replace("'", "")


def test_a_file_of_options_that_is_not_there(overlay):
    assert "none.toml: No such file" in said(overlay("serve", "--config", "none.toml"))


def slow(path, body, times):
    reply = answer(body)
    reply.after = 0.6
    return reply


def test_sigterm_lets_lines_end_and_the_rest_is_asked_by_the_next_run(tmp_path, overlay):
    with ModelServer(slow) as model:
        words = ("--upstream", model.url, "--at-once", "3", "--state", "state")
        with served(overlay, *words) as (http, process):
            batch = until(http, create(http, upload(http, jsonl(9))), "in_progress")
            while model.now < 3:
                time.sleep(0.01)
            process.terminate()
            assert process.wait(timeout=20) == 0
        first = list(model.asked)
        model.respond = lambda path, body, times: answer(body)
        with served(overlay, *words) as (http, _):
            assert until(http, batch)["request_counts"] == {"total": 9, "completed": 9, "failed": 0}
    assert len(model.asked) == 9
    assert sum(model.answered.values()) == 9
    assert 3 <= len(first) <= 6


def test_lines_that_do_not_end_in_time_are_put_back(overlay):
    def never(path, body, times):
        reply = answer(body)
        reply.after = 0 if times else 30
        return reply

    with ModelServer(never) as model:
        words = ("--upstream", model.url, "--state", "state", "--drain", "0.3")
        with served(overlay, *words) as (http, process):
            batch = create(http, upload(http, jsonl(2)))
            while model.now < 2:
                time.sleep(0.01)
            began = time.monotonic()
            process.terminate()
            assert process.wait(timeout=20) == 0
            assert 0.3 <= time.monotonic() - began < 8
        with served(overlay, *words) as (http, _):
            assert until(http, batch)["request_counts"]["completed"] == 2


def test_sighup_reads_keys_again(tmp_path, overlay):
    (tmp_path / "tokens").write_text("old")
    (tmp_path / "key").write_text("key-1")
    with ModelServer() as model:
        words = ("--upstream", model.url, "--upstream-key-file", "key", "--token-file", "tokens")
        with served(overlay, *words, token="old") as (http, process):
            run(http, 1)
            (tmp_path / "tokens").write_text("new other")
            (tmp_path / "key").write_text("key-2")
            process.send_signal(signal.SIGHUP)
            for _ in range(1000):
                http.headers["Authorization"] = "Bearer new"
                if http.get("/batches").status_code == 200:
                    break
            run(http, 1)
            assert http.get("/batches", headers={"Authorization": "Bearer old"}).status_code == 401
            (tmp_path / "tokens").unlink()
            process.send_signal(signal.SIGHUP)
            assert http.get("/batches").status_code == 200
    assert model.keys == ["Bearer key-1", "Bearer key-2"]


def test_the_log_as_json_has_a_line_for_each_event_and_each_request(overlay):
    with served(overlay, "--log-json", "-v") as (http, process):
        batch = run(http, 2)
        process.terminate()
        lines = [json.loads(line) for line in process.stderr.read().splitlines()]
    assert all({"time", "level", "message"} <= each.keys() for each in lines)
    events = [each["status"] for each in lines if each.get("batch") == batch["id"]]
    assert events == ["validating", "in_progress", "finalizing", "completed"]
    asked = [each for each in lines if each.get("event") == "request"]
    assert (asked[0]["method"], asked[0]["path"], asked[0]["status"]) == ("POST", "/v1/files", 200)
    assert "Bearer" not in json.dumps(lines)


@pytest.mark.parametrize(
    "options",
    [
        ("--control", "--upstream", "http://127.0.0.1:1"),
        ("--control", "--host", "0.0.0.0", "--open"),
    ],
)
def test_the_paths_for_tests_are_not_served_to_others(overlay, options):
    done = overlay("serve", "--port", "0", *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert "the paths for tests are not served" in said(done)


def test_the_paths_for_tests_are_served_on_purpose(overlay):
    for options, status in ((), 404), (("--control",), 200):
        with served(overlay, *options) as (http, _):
            root = str(http.base_url).removesuffix("/v1/")
            assert http.get(f"{root}/_control/faults").status_code == status


def test_the_host_is_checked_on_loopback(overlay):
    with served(overlay, "--allow-host", "batches.internal") as (http, _):
        for host, status in ("evil.example", 421), ("batches.internal", 200), ("localhost:1", 200):
            assert http.get("/batches", headers={"Host": host}).status_code == status


def test_kill_9_between_upload_and_answer_leaves_nothing_and_loses_nothing(tmp_path, overlay):
    with served(overlay, "--state", "state") as (http, process):
        kept = upload(http, jsonl(5))
        port = http.base_url.port
        with socket.create_connection(("127.0.0.1", port)) as made:
            made.sendall(
                b"POST /v1/files HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer t\r\nContent-Length: 9999\r\n"
                b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\nContent-Disposition: form-data;"
                b' name="file"; filename="f.jsonl"\r\n\r\n{"half":'
            )
            while len(list((tmp_path / "state" / "files").iterdir())) < 2:
                time.sleep(0.01)
            process.kill()
            process.wait()
    with served(overlay, "--state", "state") as (http, _):
        assert [path.name for path in (tmp_path / "state" / "files").iterdir()] == [kept["id"]]
        assert http.get(f"/files/{kept['id']}/content").content == jsonl(5)
        batch = until(http, create(http, kept))
        assert retrieve(http, batch)["request_counts"]["completed"] == 5


def test_the_examples_of_deployment_name_options_that_there_are(tmp_path, overlay):
    text = (EXAMPLES / "serve.toml").read_text()
    (tmp_path / "serve.toml").write_text(
        re.sub(r"(?m)^#(?=\w[\w-]* = )", "", text).replace("/run/secrets/", "")
    )
    done = overlay("serve", "--config", "serve.toml")
    assert "there is no option" not in said(done)
    assert "contains no token" in said(done) or "No such file" in said(done)
    unit = re.findall(r"ExecStart=.*", (EXAMPLES / "overlay-serve.service").read_text())[0]
    container = (EXAMPLES / "Containerfile").read_text()
    options = {*re.findall(r"--[a-z][a-z-]+", unit), *re.findall(r'"(--[a-z][a-z-]+)"', container)}
    helped = overlay("serve", "--help", COLUMNS="200").stdout
    assert options
    assert all(each in helped for each in options)
