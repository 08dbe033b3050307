"""What is seen of a service: the page and what it shows, health, metrics; and who may act through it."""

import asyncio
import json
import time
from contextlib import contextmanager

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.model_server import ModelServer, answer
from support.service_http import create, jsonl, line, run, until, upload

from overlay.server import Pace, Service, upstream
from overlay.server.app import Application
from overlay.server.http.hosts import Hosts

HOSTILE = "</script><img src=x onerror=alert(1)>"


@contextmanager
def watched(answer=None, **options):
    """A service as `overlay serve` has it, and a client of its root."""
    service = Service(answer, pace=options.pop("pace", None), tokens=options.get("tokens"))
    service._make = _with(service._make, monitored=True, **options)
    with (
        service,
        httpx.Client(
            base_url=service.base_url.removesuffix("/v1"), headers={"Authorization": "Bearer any"}
        ) as root,
        httpx.Client(base_url=service.base_url, headers={"Authorization": "Bearer any"}) as http,
    ):
        yield service, http, root


def _with(make, **options):
    return lambda: Application(*make.args, **(make.keywords | options))


def metrics(root):
    answer = root.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_the_page_loads_nothing_and_is_shown_in_no_frame():
    with watched() as (_, _, root):
        answer = root.get("/")
        policy = answer.headers["content-security-policy"]
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        nonce = policy.partition("'nonce-")[2].partition("'")[0]
        assert answer.text.count(f'nonce="{nonce}"') == 2
        assert "http://" not in answer.text.replace("http://www.w3.org/2000/svg", "")
        assert "https://" not in answer.text
        assert "innerHTML" not in answer.text
        assert root.get("/").headers["content-security-policy"] != policy


def test_the_status_shows_batches_rates_and_first_failures():
    def some(request):
        return (500, {"error": HOSTILE}) if request["custom_id"] == "r3" else {"id": 1}

    with watched(some) as (_, http, root):
        batch = run(http, 5, metadata={"name": HOSTILE})
        shown = root.get("/status").json()
        assert shown["statuses"]["completed"] == 1
        assert shown["lines"] == {"completed": 4, "failed": 1, "expired": 0, "cancelled": 0}
        assert [each["id"] for each in shown["batches"]] == [batch["id"]]
        assert shown["batches"][0]["failures"] == {"500": 1}
        assert shown["batches"][0]["metadata"] == {"name": HOSTILE}
        one = root.get(f"/status/{batch['id']}").json()
        assert one["first_failures"][0]["custom_id"] == "r3"
        assert HOSTILE in one["first_failures"][0]["said"]
        assert root.get("/status/batch_none").status_code == 404
        assert root.get("/status").headers["content-type"] == "application/json"


def test_failures_are_known_after_a_restart(tmp_path):
    with watched(lambda _: (429, {}), state=tmp_path) as (_, http, _):
        run(http, 3)
    with watched(state=tmp_path) as (_, _, root):
        shown = root.get("/status").json()
        assert shown["batches"][0]["failures"] == {"429": 3}
        assert shown["statuses"]["completed"] == 1
        assert metrics(root)["overlay_lines_total", "failed"] == 0


def test_ten_thousand_batches_are_shown_a_page_at_a_time():
    with watched() as (service, http, root):
        file = upload(http, jsonl(1))
        first = until(http, create(http, file))
        store, engine = service._running.app.store, service._running.app.engine

        async def fill():
            batch, progress = store.batch(first["id"]), store.progress(first["id"])
            with store.transaction():
                for number in range(10_000):
                    batch.id = f"batch_{number}"
                    store.add_batch(batch, progress)
                    store.save_batch(batch, progress)
            engine.tallies.ended.clear()
            engine.tallies.ended.update(store.final_statuses())

        asyncio.run_coroutine_threadsafe(fill(), service._running.loop).result(60)
        began = time.monotonic()
        answer = root.get("/status")
        assert time.monotonic() - began < 1
        shown = answer.json()
        assert (len(shown["batches"]), shown["statuses"]["completed"]) == (50, 10_001)
        assert len(answer.content) < 100_000
        older = root.get("/status", params={"after": shown["older"]}).json()
        assert older["batches"][0]["id"] == "batch_9949"


def test_only_the_page_itself_may_cancel():
    with watched(pace=Pace(in_progress=60)) as (_, http, root):
        batch = create(http, upload(http, jsonl(2)))
        path, mine = f"/status/{batch['id']}/cancel", {"X-Overlay": "page"}
        own = str(root.base_url).rstrip("/")
        for headers in (
            {},
            {"Origin": own},
            mine | {"Origin": "https://evil.example"},
            mine | {"Origin": "null"},
            mine | {"Origin": own, "Sec-Fetch-Site": "cross-site"},
            mine | {"Sec-Fetch-Site": "same-site"},
        ):
            assert root.post(path, headers=headers).status_code == 403
        assert root.get(path, headers=mine).status_code in {404, 405}
        assert "access-control-allow-origin" not in root.options(path).headers
        answer = root.post(path, headers=mine | {"Origin": own, "Sec-Fetch-Site": "same-origin"})
        assert (answer.status_code, answer.json()["id"]) == (200, batch["id"])
        assert until(http, batch)["status"] == "cancelled"


def test_with_tokens_all_but_the_empty_page_needs_one():
    with watched(tokens="secret") as (_, _, root):
        for path, status in (
            ("/", 200),
            ("/health", 200),
            ("/ready", 200),
            ("/status", 401),
            ("/status/x", 401),
            ("/metrics", 401),
        ):
            assert root.get(path).status_code == status
        good = {"Authorization": "Bearer secret"}
        assert root.get("/status", headers=good).status_code == 200
        assert root.get("/metrics", headers=good).status_code == 200


def test_metrics_are_what_prometheus_reads():
    with ModelServer() as model, watched(upstream(model.url)) as (_, http, root):
        run(http, 20)
        http.get("/batches/none")
        url = model.url.removesuffix("/v1")
        found = metrics(root)
        assert found["overlay_lines_total", "completed"] == 20
        assert found["overlay_batches", "completed"] == 1
        assert found["overlay_batches", "in_progress"] == 0
        assert found["overlay_lines_queued",] == 0
        assert found["overlay_upstream_up", url] == 1
        assert found["overlay_upstream_requests_total", "answered", url] == 20
        assert found["overlay_upstream_seconds_count", url] == 20
        assert found["overlay_http_requests_total", "404", "GET", "batches"] == 1
        assert found["overlay_ready",] == 1
        assert found["overlay_disk_free_bytes",] > 0
        open_metrics = root.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
        assert open_metrics.text.endswith("# EOF\n")


def test_a_queue_is_seen_while_batches_run():
    def slow(path, body, times):
        reply = answer(body)
        reply.after = 0.2
        return reply

    with ModelServer(slow) as model, watched(upstream(model.url, at_once=2)) as (_, http, root):
        batch = until(http, create(http, upload(http, jsonl(12))), "in_progress")
        url = model.url.removesuffix("/v1")
        for _ in range(400):
            found = metrics(root)
            if found["overlay_upstream_in_flight", url] == 2:
                break
        assert found["overlay_upstream_in_flight", url] == 2
        assert found["overlay_lines_queued",] > 2
        assert found["overlay_batches", "in_progress"] == 1
        assert root.get("/status").json()["upstreams"][0]["at_once"] == 2
        assert until(http, batch)["request_counts"]["completed"] == 12


def test_a_service_that_is_full_or_stops_is_not_ready(monkeypatch):
    with watched() as (service, _, root):
        assert root.get("/ready").json() == {"status": "ready"}
        monkeypatch.setattr("overlay.server.monitoring.survey.Survey.free_bytes", lambda _: 0)
        service._running.app.engine.draining = True
        answer = root.get("/ready")
        assert answer.status_code == 503
        assert answer.json()["reasons"] == ["the disk is full", "the service stops"]
        assert root.get("/health").status_code == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8080", 200),
        ("localhost", 200),
        ("LOCALHOST.:80", 200),
        ("api.localhost", 200),
        ("[::1]:80", 200),
        ("batches.example", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("169.254.169.254", 421),
        ("0.0.0.0", 421),
    ],
)
def test_a_host_of_another_machine_is_turned_away(host, status):
    with watched(hosts=["batches.example"]) as (_, _, root):
        for path in ("/", "/status", "/v1/batches", "/_control/faults"):
            assert root.get(path, headers={"Host": host}).status_code == status


def test_requests_without_a_host_are_of_no_browser():
    said = []

    async def app(scope, receive, send):
        said.append(scope["path"])

    asyncio.run(Hosts(app)({"type": "http", "path": "/x", "headers": []}, None, None))
    assert said == ["/x"]


def test_events_of_batches_and_requests_are_lines_of_the_log(caplog):
    caplog.set_level("INFO")
    with watched() as (_, http, root):
        batch = run(http, 2)
        root.get("/v1/files/%0Afake")
    events = [each.fields for each in caplog.records if getattr(each, "fields", {}).get("event") == "batch"]
    assert [each["status"] for each in events if each["batch"] == batch["id"]] == [
        "validating",
        "in_progress",
        "finalizing",
        "completed",
    ]
    assert events[-1]["completed"] == 2
    requests = [each for each in caplog.records if each.name == "overlay.server.requests"]
    assert requests[-1].fields["status"] == 404
    assert "\n" not in requests[-1].getMessage()
    assert "any" not in json.dumps([each.fields for each in requests])


def test_lines_of_a_hostile_name_are_data(tmp_path):
    with watched() as (_, http, root):
        batch = run(http, [line(HOSTILE)], metadata={HOSTILE: HOSTILE})
        text = root.get(f"/status/{batch['id']}").text
        assert json.loads(text)["metadata"] == {HOSTILE: HOSTILE}
