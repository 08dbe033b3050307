"""Several servers behind, and several batches in front of them."""

import time
from contextlib import ExitStack

import pytest
from support.model_server import HANG, ModelServer, Reply, answer
from support.service_http import create, http_to, jsonl, line, results, retrieve, run, until, upload

from overlay.server import Service, upstream
from overlay.server.upstreams import model_lists
from overlay.server.upstreams.address import read_address

HURRY = 0.01


@pytest.fixture
def models():
    with ExitStack() as stack:
        yield [stack.enter_context(ModelServer()) for _ in range(3)]


def slowly(path, body, times):
    reply = answer(body)
    reply.after = 0.005
    return reply


def forwarding(*urls, **options):
    return Service(upstream(urls, **{"api_key": "k", "hurry": HURRY, **options}))


def test_the_least_loaded_first_by_weight_and_room(models):
    for each in models:
        each.respond = slowly
    one, two, three = (each.url for each in models)
    with forwarding(one, f"{two};weight=3;at-once=12", f"{three};at-once=2", at_once=8) as service:
        with http_to(service) as http:
            assert run(http, 300)["request_counts"]["completed"] == 300
        assert [each.at_once for each in service.source.health()] == [8, 12, 2]
        assert sum(each.answered for each in service.source.health()) == 300
    counts = [len(each.asked) for each in models]
    assert sum(counts) == 300
    assert counts[1] > counts[0] > counts[2] > 0
    assert [each.most for each in models] == [8, 12, 2]


def test_a_dead_one_is_left_out_and_comes_back(models):
    alive, dead, _ = models
    alive.respond = dead.respond = slowly
    dead.stop()
    with forwarding(alive.url, dead.url, at_once=4) as service, http_to(service) as http:
        assert run(http, 60)["request_counts"]["completed"] == 60
        assert [each.state == "closed" for each in service.source.health()] == [True, False]
        assert "could not be reached" in service.source.health()[1].last_error
        dead.start()
        for _ in range(50):
            assert run(http, 10)["request_counts"]["completed"] == 10
            if dead.asked:
                break
        assert dead.asked


def test_a_line_that_failed_at_one_server_is_asked_of_another(models):
    good, bad, _ = models
    bad.respond = lambda path, body, times: 500
    with forwarding(good.url, bad.url, at_once=4) as service, http_to(service) as http:
        assert run(http, 40)["request_counts"] == {"total": 40, "completed": 40, "failed": 0}


def test_by_model(models):
    small, large, rest = models
    urls = (f"small={small.url}", f"org/large={large.url}", rest.url)
    lines = [line(f"r{n}", model=["small", "org/large", "x", "y"][n % 4]) for n in range(40)]
    for each, name in zip(models, ["small", "org/large", "x"], strict=True):
        listed = f'{{"object":"list","data":[{{"id":"{name}"}}]}}'.encode()
        each.respond = lambda path, body, times, listed=listed: answer(body) if body else Reply(body=listed)
    with forwarding(*urls) as service, http_to(service) as http:
        assert run(http, lines)["request_counts"]["completed"] == 40
        assert {each["model"] for each in small.asked} == {"small"}
        assert {each["model"] for each in large.asked} == {"org/large"}
        assert {each["model"] for each in rest.asked} == {"x", "y"}
        names = [each["id"] for each in http.get("/models").json()["data"]]
        assert names == ["small", "org/large", "x"]
        assert http.get("/models/org/large").json() == {"id": "org/large"}
        assert http.get("/models/none").status_code == 404
        assert http.post("/chat/completions", json={"model": "small"}).status_code == 200
        assert small.asked[-1] == {"model": "small"}


@pytest.mark.parametrize("after", [0.0, 0.3])
def test_a_server_that_hangs_holds_no_list_of_models_up(models, monkeypatch, after):
    monkeypatch.setattr(model_lists, "_LISTS_TOGETHER", 0.1)
    models[0].respond = lambda path, body, times: Reply(ending=HANG)
    models[1].respond = lambda path, body, times: Reply(500)
    models[2].respond = lambda path, body, times: Reply(body=b'{"data": [{"id": "x"}]}', after=after)
    with forwarding(*(each.url for each in models)) as service, http_to(service) as http:
        assert [each["id"] for each in http.get("/models").json()["data"]] == ["x"]
        assert http.get("/models/x").json() == {"id": "x"}


def test_a_model_that_no_server_serves(models):
    with forwarding(f"small={models[0].url}") as service, http_to(service) as http:
        batch = run(http, [line("a", model="small"), line("b", model="other")])
        (bad,) = results(http, batch["error_file_id"]).values()
        assert (bad["custom_id"], bad["response"]["status_code"]) == ("b", 404)
        assert bad["response"]["body"]["error"]["code"] == "model_not_found"
        assert http.post("/chat/completions", json={"model": "other"}).status_code == 404


def test_a_dead_model_does_not_hold_up_the_lines_of_another(models):
    models[0].stop()
    lines = [line(f"r{n}", model="dead" if n % 10 else "well") for n in range(400)]
    behind = (f"dead={models[0].url}", f"well={models[1].url}")
    with forwarding(*behind, at_once=2) as service, http_to(service) as http:
        batch = create(http, upload(http, jsonl(lines)))
        until(http, batch, "in_progress")
        while retrieve(http, batch)["request_counts"]["completed"] < 40:
            time.sleep(0.005)
        assert len(models[1].asked) == 40
        models[0].start()
        assert until(http, batch)["request_counts"]["completed"] == 400


@pytest.mark.parametrize(
    ("text", "model", "base", "weight", "at_once"),
    [
        ("http://h:1/v1", None, "http://h:1", 1.0, None),
        ("https://h/openai/v1/;weight=2.5", None, "https://h/openai", 2.5, None),
        ("gpt-oss=http://h;at-once=64;weight=2", "gpt-oss", "http://h", 2.0, 64),
        ("org/name:free=https://h;at-once=auto", "org/name:free", "https://h", 1.0, "auto"),
    ],
)
def test_how_an_upstream_is_spelled(text, model, base, weight, at_once):
    read = read_address(text)
    assert (read.model, read.base, read.weight, read.at_once) == (model, base, weight, at_once)


@pytest.mark.parametrize(
    "text",
    [
        "=http://h",
        "http://u:p@h",
        "http://h?x=1",
        "http://h;weight=0",
        "http://h;weight=x",
        "http://h;at-once=0",
        "http://h/a\r\nX: y",
        "http://h/a b",
        "http://b\u00fccher.example",
    ],
)
def test_what_is_no_upstream(text):
    with pytest.raises(ValueError, match=r"upstream|weight|whole number") as caught:
        read_address(text)
    assert "u:p" not in str(caught.value)


def owners(model):
    """Which batch each request was of, by the first letter of its custom_id."""
    return [name[0] for name in model.ids() if name]


def lines_of(letter, count):
    return [line(f"{letter}{number}") for number in range(count)]


def test_batches_share_a_server_evenly(models):
    model = models[0]
    model.respond = slowly
    with forwarding(model.url, at_once=8) as service, http_to(service) as http:
        long = create(http, upload(http, jsonl(lines_of("a", 2000))))
        until(http, long, "in_progress")
        short = create(http, upload(http, jsonl(lines_of("b", 40))))
        assert until(http, short)["request_counts"]["completed"] == 40
        asked = owners(model)
        since = asked[asked.index("b") :]
        assert retrieve(http, long)["status"] == "in_progress"
        assert 25 <= since[:80].count("a") <= 55
        http.post(f"/batches/{long['id']}/cancel")
        until(http, long)


def test_batches_of_a_higher_priority_go_first(models):
    model = models[0]
    model.respond = slowly
    with forwarding(model.url, at_once=4, priority="urgency") as service, http_to(service) as http:
        low = create(http, upload(http, jsonl(lines_of("a", 2000))), metadata={"urgency": "-1"})
        until(http, low, "in_progress")
        odd = create(http, upload(http, jsonl(lines_of("b", 60))), metadata={"urgency": "soon"})
        high = create(http, upload(http, jsonl(lines_of("c", 40))), metadata={"urgency": "10"})
        assert until(http, high)["request_counts"]["completed"] == 40
        assert until(http, odd)["request_counts"]["completed"] == 60
        asked = owners(model)
        first, last = asked.index("c"), len(asked) - asked[::-1].index("c")
        assert asked[first:last].count("a") <= 4
        assert asked[first:last].count("b") <= 4
        assert retrieve(http, low)["status"] == "in_progress"
        http.post(f"/batches/{low['id']}/cancel")
        until(http, low)
