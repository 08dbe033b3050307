"""Whose a failure is, the server's or the line's, and what becomes of it."""

import threading
import time
from dataclasses import replace

import pytest
from support.model_server import CLOSE, HALF, HANG, RESET, ModelServer, Reply, answer
from support.service_http import create, http_to, jsonl, line, results, retrieve, run, until, upload

from overlay.server import Limits, Service, upstream
from overlay.server.upstreams import link

FAILURES = [
    (Reply(500), 500),
    (Reply(503, headers={"Retry-After": "1000"}), 503),
    (Reply(429), 429),
    (Reply(429, headers={"Retry-After": "1000"}), 429),
    (Reply(408), 408),
    (Reply(ending=RESET), 502),
    (Reply(body=b'{"a": "' + b"x" * 1000 + b'"}', ending=HALF), 502),
    (Reply(body=b"<html>"), 502),
    (Reply(502, b"<html><title>Bad gateway</title>"), 502),
    (Reply(200, b""), 502),
    (Reply(body=b"data: {}\n\ndata: [DONE]\n\n", headers={"Content-Type": "text/event-stream"}), 502),
    (Reply(307, headers={"Location": "http://192.0.2.1/"}), 502),
]


def forwarding(model, **options):
    return Service(upstream(model.url, **{"api_key": "k", "hurry": 0.004, **options}))


def for_a_while(failure, attempts):
    """Every request meets the failure, as many times; then all is well."""
    left = [attempts]

    def respond(path, body, times):
        left[0] -= 1
        return failure if left[0] >= 0 else answer(body)

    return respond


def only(name, failure):
    """One line meets the failure for ever."""
    return lambda path, body, times: failure if f"ask {name}'" in str(body) else answer(body)


@pytest.mark.parametrize("failure", [each for each, _ in FAILURES] + [Reply(401)])
def test_no_line_fails_of_trouble_that_passes(failure):
    with (
        ModelServer(for_a_while(failure, 25)) as model,
        forwarding(model) as service,
        http_to(service) as http,
    ):
        batch = run(http, 12)
        assert batch["request_counts"] == {"total": 12, "completed": 12, "failed": 0}
    assert set(model.answered) - {None} == {f"r{number}" for number in range(12)}
    assert max(count for name, count in model.answered.items() if name) == 1


@pytest.mark.parametrize(("failure", "status"), FAILURES)
def test_a_line_that_fails_while_others_succeed_has_its_own_answer(failure, status):
    with ModelServer(only("r3", failure)) as model, forwarding(model) as service, http_to(service) as http:
        batch = run(http, 200)
        assert batch["request_counts"] == {"total": 200, "completed": 199, "failed": 1}
        (bad,) = results(http, batch["error_file_id"]).values()
        assert (bad["custom_id"], bad["response"]["status_code"]) == ("r3", status)
        assert bad["response"]["body"]["error"]["message"]
    assert 5 <= model.ids().count("r3") <= 12


@pytest.mark.parametrize("tries", [1, 3])
def test_so_many_tries(tries):
    with (
        ModelServer(only("r3", Reply(500))) as model,
        forwarding(model, tries=tries) as service,
        http_to(service) as http,
    ):
        assert run(http, 100)["request_counts"]["failed"] == 1
    assert tries <= model.ids().count("r3") <= tries + 4


@pytest.mark.parametrize("failure", [Reply(500), Reply(ending=RESET), Reply(429)])
def test_a_line_that_is_alone_has_its_answer_once_a_witness_was_answered(failure):
    with ModelServer(only("a", failure)) as model, forwarding(model) as service, http_to(service) as http:
        batch = run(http, [line("a")])
        assert (batch["status"], batch["request_counts"]["failed"]) == ("completed", 1)
    assert 5 <= model.ids().count("a") <= 20  # probes are paced by time
    witnesses = [each for each, name in zip(model.asked, model.ids(), strict=True) if name is None]
    assert witnesses[0] == {
        "model": "m",
        "messages": [{"role": "user", "content": "Hello"}],
        "max_tokens": 1,
    }


def test_lines_that_all_fail_at_the_end_have_their_answers():
    bad = {"r1", "r5", "r6", "r8"}

    def respond(path, body, times):
        return 500 if any(f"ask {name}'" in str(body) for name in bad) else answer(body)

    with ModelServer(respond) as model, forwarding(model, at_once=4) as service, http_to(service) as http:
        batch = run(http, 10)
        assert results(http, batch["error_file_id"]).keys() == bad
        assert batch["request_counts"] == {"total": 10, "completed": 6, "failed": 4}
    assert max(model.ids().count(name) for name in bad) <= 25


def test_a_line_that_is_alone_waits_as_long_as_the_witness_is_not_answered():
    with ModelServer(lambda path, body, times: 500) as model:
        limits = replace(Limits.lenient(), windows=["1s"])
        source = upstream(model.url, api_key="k", hurry=0.005)
        with Service(source, limits=limits) as service, http_to(service) as http:
            batch = run(http, 1, completion_window="1s")
            assert (batch["status"], batch["request_counts"]["failed"]) == ("expired", 1)
        assert len(model.asked) > 10


def test_for_an_endpoint_of_which_nothing_is_known_the_list_of_models_is_the_witness():
    def respond(path, body, times):
        return Reply(body=b'{"data": []}') if path == "/v1/models" else Reply(500)

    with ModelServer(respond) as model, forwarding(model, hurry=0.0005) as service, http_to(service) as http:
        batch = run(http, [line("a", url="/v1/score")], endpoint="/v1/score")
        assert batch["request_counts"]["failed"] == 1
    assert set(model.paths) == {"/v1/score"}


def test_where_failing_lines_recover_five_failures_are_not_enough():
    """Every other request fails, whoever sends it: by chance, one line in 32 fails five times in a row."""
    flip = [0]

    def respond(path, body, times):
        flip[0] = flip[0] * 1103515245 + 12345 & 0x7FFFFFFF
        return answer(body) if flip[0] >> 16 & 1 else Reply(503)

    with ModelServer(respond) as model, forwarding(model) as service, http_to(service) as http:
        batch = run(http, 300)
        assert batch["request_counts"] == {"total": 300, "completed": 300, "failed": 0}


def test_a_slow_answer_is_asked_for_once_more():
    with (
        ModelServer(only("r3", Reply(ending=HANG))) as model,
        forwarding(model, timeout=0.1) as service,
        http_to(service) as http,
    ):
        batch = run(http, 20)
        (bad,) = results(http, batch["error_file_id"]).values()
        assert (bad["custom_id"], bad["response"]["status_code"]) == ("r3", 504)
        assert bad["response"]["body"]["error"]["code"] == "upstream_timeout"
        assert run(http, [line("r3")])["request_counts"]["failed"] == 1
    assert model.ids().count("r3") == 4


def test_a_server_that_never_answers_fails_no_line():
    with (
        ModelServer(for_a_while(Reply(ending=HANG), 30)) as model,
        forwarding(model, timeout=0.05) as service,
        http_to(service) as http,
    ):
        assert run(http, 10)["request_counts"]["completed"] == 10


@pytest.mark.parametrize("status", [400, 403, 404, 409, 413, 422])
def test_a_refusal_of_its_own_is_a_lines_answer_at_once(status):
    with (
        ModelServer(only("r3", Reply(status))) as model,
        forwarding(model) as service,
        http_to(service) as http,
    ):
        batch = run(http, 10)
        (bad,) = results(http, batch["error_file_id"]).values()
        assert bad["response"]["status_code"] == status
    assert model.ids().count("r3") == 1


def test_connections_that_are_closed_after_each_answer():
    def respond(path, body, times):
        return replace(answer(body), ending=CLOSE)

    with ModelServer(respond) as model, forwarding(model) as service, http_to(service) as http:
        assert run(http, 40)["request_counts"]["completed"] == 40
    assert len(set(model.ids())) == 40


def test_a_model_in_trouble_does_not_hold_up_another():
    def respond(path, body, times):
        return 503 if body["model"] == "ill" else answer(body)

    lines = [line(f"r{number}", model="ill" if number % 2 else "well") for number in range(60)]
    with ModelServer(respond) as model, forwarding(model, at_once=4) as service, http_to(service) as http:
        batch = create(http, upload(http, jsonl(lines)))
        while retrieve(http, batch)["request_counts"]["completed"] < 30:
            time.sleep(0.01)
        health = service.source.health()[0]
        assert (health.state != "closed", health.waiting_models) == (True, ["ill"])
        model.respond = lambda path, body, times: answer(body)
        assert until(http, batch)["request_counts"]["completed"] == 60


def test_a_cancel_and_the_end_of_the_window_end_a_batch_amid_an_outage():
    limits = replace(Limits.lenient(), windows=["1s", "24h"])
    with ModelServer(lambda path, body, times: 503) as model:
        source = upstream(model.url, api_key="k", hurry=0.01)
        with Service(source, limits=limits) as service, http_to(service) as http:
            short = create(http, upload(http, jsonl(5)), completion_window="1s")
            long = create(http, upload(http, jsonl(5)))
            while len(model.asked) < 10:
                time.sleep(0.01)
            http.post(f"/batches/{long['id']}/cancel")
            assert until(http, long)["status"] == "cancelled"
            assert until(http, short)["status"] == "expired"
            model.respond = lambda path, body, times: answer(body)
            assert run(http, 5)["request_counts"]["completed"] == 5


def test_an_answer_of_many_megabytes():
    def respond(path, body, times):
        return Reply(body=b'{"x": "' + b"y" * 30_000_000 + b'"}')

    with ModelServer(respond) as model, forwarding(model) as service, http_to(service) as http:
        batch = run(http, 2)
        assert batch["request_counts"]["completed"] == 2
        size = http.get(f"/files/{batch['output_file_id']}").json()["bytes"]
        assert size > 60_000_000


@pytest.mark.parametrize("damaged", ["r0", "r5", "r11", "r*"])
def test_a_line_that_is_damaged_on_the_disk_between_two_attempts_costs_one_line(tmp_path, damaged):
    down = threading.Event()
    down.set()

    def respond(path, body, times):
        return Reply(503) if down.is_set() else answer(body)

    with (
        ModelServer(respond) as model,
        Service(upstream(model.url, api_key="k", hurry=0.004), state=tmp_path) as service,
        http_to(service) as http,
    ):
        batch = create(http, upload(http, jsonl(12)))
        while len(model.asked) < 20:
            time.sleep(0.01)
        path = next((tmp_path / "inputs").iterdir())
        lines = path.read_bytes().splitlines(keepends=True)
        for at, text in enumerate(lines):
            if damaged in {f"r{at}", "r*"}:
                lines[at] = text.replace(b"ask r", b"ask \x00")
        with path.open("r+b") as file:  # the same file, as a disk would change it
            file.write(b"".join(lines))
        down.clear()
        batch = until(http, batch)
        lost = 12 if damaged == "r*" else 1
        assert batch["status"] == "completed"
        assert batch["request_counts"] == {"total": 12, "completed": 12 - lost, "failed": lost}
        failed = results(http, batch["error_file_id"])
        assert all("can no longer be read" in each["error"]["message"] for each in failed.values())
        if damaged != "r*":
            assert failed.keys() == {damaged}


def test_models_that_are_all_in_trouble_are_asked_no_more_at_once_than_allowed():
    well = threading.Event()

    def respond(path, body, times):
        return answer(body) if well.is_set() else Reply(503, after=0.01)

    lines = [line(f"r{number}", model=f"m{number}") for number in range(150)]
    with ModelServer(respond) as model, forwarding(model, at_once=3) as service, http_to(service) as http:
        batch = create(http, upload(http, jsonl(lines)))
        while len(set(model.ids())) < 100:
            assert retrieve(http, batch)["request_counts"]["failed"] == 0
        well.set()
        assert until(http, batch)["request_counts"]["completed"] == 150
        # Four probes go out whatever else hangs.
        assert model.most <= 3 + 4


def test_what_the_client_cannot_bear_is_the_servers_trouble(monkeypatch):
    """An exception that nobody foresaw leaves no line behind."""
    left = [3]
    whole = link._whole

    async def breaking(response):
        left[0] -= 1
        if left[0] >= 0:
            raise AssertionError("of the client's own")
        return await whole(response)

    monkeypatch.setattr(link, "_whole", breaking)
    with ModelServer() as model, forwarding(model) as service, http_to(service) as http:
        assert run(http, 6)["request_counts"]["completed"] == 6
