"""Which key a server behind is sent, and what becomes of lines while it is not known or not accepted."""

import json
import time
from dataclasses import replace

import pytest
from support.model_server import ModelServer, Reply, answer
from support.service_http import create, http_to, jsonl, line, results, retrieve, run, until, upload

from overlay.server import Limits, Service, upstream

HURRY = 0.005


def wanting(model, *keys):
    """Let the model accept these keys and no other; returns what else it was sent."""
    others = []

    def respond(path, body, times):
        if model.key in keys:
            return answer(body)
        others.append(model.key)
        return Reply(401)

    model.respond = respond
    return others


def waiting_for_key(http, batch):
    """The batch, once it says that it waits for a key."""
    for _ in range(2000):
        shown = retrieve(http, batch)
        if shown["errors"]:
            assert (shown["status"], shown["errors"]["data"][0]["code"]) == (
                "in_progress",
                "upstream_key_needed",
            )
            return shown
        time.sleep(0.005)
    raise AssertionError("it does not say so")


def begun(service, model, token):
    """A batch of 20 lines that was created with a token, of which some are answered."""
    model.respond = lambda path, body, times: answer(body) if len(model.asked) < 8 else Reply(503)
    with http_to(service, token) as http:
        batch = create(http, upload(http, jsonl(20)))
        while retrieve(http, batch)["request_counts"]["completed"] < 8:
            time.sleep(0.005)
    return batch


def test_after_a_restart_a_batch_waits_for_the_token_that_it_was_created_with(tmp_path, caplog):
    with ModelServer() as model:
        service = Service(upstream(model.url, hurry=HURRY, at_once=4), state=tmp_path)
        with service:
            batch = begun(service, model, "client-key")
        others = wanting(model, "client-key")
        for each in tmp_path.rglob("*"):
            assert each.is_dir() or b"client-key" not in each.read_bytes()
        with service, http_to(service, "somebody-else") as other, http_to(service, "client-key") as http:
            shown = waiting_for_key(other, batch)
            assert "not known since the service was restarted" in shown["errors"]["data"][0]["message"]
            assert other.get("/batches").json()["data"][0]["errors"]
            assert "somebody-else" not in model.keys
            batch = until(http, batch)
            assert (batch["status"], batch["errors"]) == ("completed", None)
            assert batch["request_counts"] == {"total": 20, "completed": 20, "failed": 0}
            assert len(results(http, batch["output_file_id"])) == 20
    assert set(others) == {None}
    assert "waits for a key" in caplog.text
    assert "client-key" not in caplog.text


def test_a_server_that_wants_no_key_goes_on_by_itself(tmp_path):
    with ModelServer() as model:
        service = Service(upstream(model.url, hurry=HURRY, at_once=4), state=tmp_path)
        with service:
            batch = begun(service, model, "any")
        model.respond = lambda path, body, times: answer(body)
        with service, http_to(service, "somebody-else") as http:
            assert until(http, batch)["request_counts"] == {"total": 20, "completed": 20, "failed": 0}
    assert set(model.keys) == {"Bearer any", None}


@pytest.mark.parametrize("status", [400, 403, 404])
def test_what_a_server_says_to_nobody_is_no_answer_to_a_line(tmp_path, status):
    with ModelServer() as model:
        service = Service(upstream(model.url, hurry=HURRY, at_once=4), state=tmp_path)
        with service:
            batch = begun(service, model, "client-key")
        model.respond = lambda path, body, times: answer(body) if model.key else Reply(status)
        with service, http_to(service, "somebody-else") as other, http_to(service, "client-key") as http:
            waiting_for_key(other, batch)
            assert until(http, batch)["request_counts"]["completed"] == 20


def test_after_a_restart_with_a_key_of_its_own_a_batch_goes_on_with_that(tmp_path):
    with ModelServer() as model:
        first = Service(upstream(model.url, hurry=HURRY, at_once=4), state=tmp_path)
        with first:
            batch = begun(first, model, "client-key")
        others = wanting(model, "own")
        second = Service(upstream(model.url, hurry=HURRY, api_key="own"), state=tmp_path)
        with second, http_to(second, "x") as http:
            assert until(http, batch)["request_counts"]["completed"] == 20
    assert others == []


def test_a_key_that_is_refused_fails_no_line_and_holds_up_nobody_else():
    with ModelServer() as model, Service(upstream(model.url, hurry=HURRY)) as service:
        wanting(model, "good")
        with http_to(service, "bad") as bad, http_to(service, "good") as good:
            stuck = create(bad, upload(bad, jsonl(10)))
            shown = waiting_for_key(bad, stuck)
            assert "refuses the key" in shown["errors"]["data"][0]["message"]
            assert run(good, 10)["request_counts"]["completed"] == 10
            assert retrieve(bad, stuck)["request_counts"]["failed"] == 0
            wanting(model, "good", "bad")
            batch = until(bad, stuck)
            assert (batch["request_counts"]["completed"], batch["errors"]) == (10, None)


def test_a_key_that_is_refused_is_no_end_but_the_windows():
    limits = replace(Limits.lenient(), windows=["1s"])
    with ModelServer() as model:
        wanting(model)
        with (
            Service(upstream(model.url, hurry=HURRY), limits=limits) as service,
            http_to(service, "bad") as http,
        ):
            batch = run(http, 3, completion_window="1s")
            assert (batch["status"], batch["errors"]) == ("expired", None)
            codes = {each["error"]["code"] for each in results(http, batch["error_file_id"]).values()}
            assert codes == {"batch_expired"}


def test_the_services_own_key_is_read_again_when_it_is_refused(tmp_path):
    path = tmp_path / "key"
    path.write_text("old\n")
    with ModelServer() as model:
        others = wanting(model, "new")
        source = upstream(model.url, key_file=path, hurry=HURRY)
        assert "old" not in repr(source)
        with Service(source) as service, http_to(service, "client-key") as http:
            batch = create(http, upload(http, jsonl(10)))
            while len(others) < 5:
                time.sleep(0.005)
            path.write_text("")
            assert source.reload_key() is False
            path.write_text("new\n")
            assert until(http, batch)["request_counts"] == {"total": 10, "completed": 10, "failed": 0}
            assert source.health()[0].key_refused >= 5
    assert set(others) == {"old"}


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, {"type": "no_db_connection", "code": "400"}),
        (403, {"type": "x", "code": "invalid_api_key"}),
        (403, {"type": "authentication_error"}),
    ],
)
def test_gateways_refuse_a_key_with_other_statuses_as_well(status, error):
    refusal = Reply(status, json.dumps({"error": {"message": "no", **error}}).encode())
    with (
        ModelServer(lambda path, body, times: answer(body) if times else refusal) as model,
        Service(upstream(model.url, api_key="k", hurry=HURRY)) as service,
        http_to(service) as http,
    ):
        assert run(http, 10)["request_counts"]["completed"] == 10


def test_a_line_with_a_key_of_its_own_in_the_middle_of_a_batch():
    """401 for one line, for ever: it ends with the window, and not as a 401."""
    limits = replace(Limits.lenient(), windows=["1s"])
    with ModelServer(lambda path, body, times: 401 if "r3'" in str(body) else answer(body)) as model:
        source = upstream(model.url, api_key="k", hurry=HURRY)
        with Service(source, limits=limits) as service, http_to(service) as http:
            batch = run(http, [line(f"r{number}") for number in range(10)], completion_window="1s")
            assert batch["request_counts"] == {"total": 10, "completed": 9, "failed": 1}
            assert results(http, batch["error_file_id"])["r3"]["error"]["code"] == "batch_expired"


def test_a_batch_says_that_the_services_own_key_is_refused(tmp_path):
    (tmp_path / "key").write_text("old")
    with ModelServer() as model:
        model.respond = lambda path, body, times: answer(body) if model.key == "new" else Reply(401)
        source = upstream(model.url, key_file=tmp_path / "key", hurry=0.01)
        with Service(source) as service, http_to(service) as http:
            batch = create(http, upload(http, jsonl(20)))
            while not (errors := retrieve(http, batch)["errors"]):
                assert retrieve(http, batch)["status"] in {"validating", "in_progress"}
            assert [each["code"] for each in errors["data"]] == ["upstream_key_needed"]
            (tmp_path / "key").write_text("new")
            source.reload_key()
            batch = until(http, batch)
    assert (batch["request_counts"]["completed"], batch["errors"]) == (20, None)
