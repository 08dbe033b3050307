"""Spans and metrics, taken from OpenTelemetry's own SDK, of calls and jobs at a service behind a real socket."""

import json
import socket
import subprocess
import sys
import threading
from collections import Counter
from functools import partial
from urllib.parse import urlsplit

import anyio
import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes as gen_ai, url_attributes as url
from opentelemetry.semconv.attributes import (
    error_attributes as error,
    http_attributes as http,
    server_attributes as server,
)
from opentelemetry.semconv.metrics.http_metrics import HTTP_CLIENT_REQUEST_DURATION
from opentelemetry.trace import SpanKind, StatusCode
from support.calling import TOKEN, FakeClock, advancing, calling
from support.raw_server import answer
from support.services import at, file_for

from overlay import (
    APIConnectionError,
    AsyncClient,
    BadRequestError,
    Client,
    ConfigurationError,
    Limits,
    NotFoundError,
    Price,
    Request,
    Telemetry,
)
from overlay.jobs import observing
from overlay.jobs.records import Unit
from overlay.server import Pace, Reject, Service
from overlay.telemetry import names

SECRET = "the prompt of nobody else"


class Seen:
    """What the exporters have got."""

    def __init__(self):
        self.exporter, self.reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.meters = MeterProvider(metric_readers=[self.reader])
        self.telemetry = Telemetry(tracer_provider=self.tracers, meter_provider=self.meters)

    def spans(self, name=None):
        return [span for span in self.exporter.get_finished_spans() if name in {None, span.name}]

    def metrics(self):
        """Data points by metric."""
        data = self.reader.get_metrics_data()
        if data is None:
            return {}
        scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics]
        return {metric.name: list(metric.data.data_points) for scope in scopes for metric in scope.metrics}

    def total(self, name):
        return sum(point.value for point in self.metrics().get(name, []))

    def everything(self):
        points = [dict(point.attributes) for points in self.metrics().values() for point in points]
        return "".join(span.to_json() for span in self.spans()) + json.dumps(points)


@pytest.fixture
def seen():
    return Seen()


@pytest.fixture
def told(connect, service, clock, seen):
    """A client of each kind in turn that tells `seen`."""
    return connect(service.base_url, clock=clock, telemetry=seen.telemetry)


def requests(count, model="gpt-4o-mini"):
    return [Request.chat(f"r{number}", model=model, prompt=SECRET) for number in range(count)]


def test_a_call_is_a_short_span_of_http(told, service, seen):
    assert list(told.batches.list(limit=2)) == []
    (span,) = seen.spans()
    assert (span.name, span.kind) == ("GET /batches", SpanKind.CLIENT)
    place = urlsplit(service.base_url)
    assert span.attributes == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "server.address": place.hostname,
        "server.port": place.port,
        "url.template": "/batches",
        "url.full": f"{service.base_url}/batches",
        "gen_ai.provider.name": "other",
    }
    (point,) = seen.metrics()["http.client.request.duration"]
    assert point.count == 1
    assert 0 < point.sum < 10
    assert point.attributes == {name: span.attributes[name] for name in span.attributes if name != "url.full"}


def test_a_refusal_has_its_status_and_no_words(told, seen):
    with pytest.raises(NotFoundError):
        told.batches.retrieve("batch_" + "0" * 32)
    span = seen.spans()[-1]
    assert span.name == "GET /batches/{id}"
    assert span.attributes["http.response.status_code"] == 404
    assert span.attributes["error.type"] == "404"
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, None)
    assert not span.events


def test_no_connection_is_an_error_of_its_kind(connect, seen):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    api = connect(f"http://127.0.0.1:{port}/v1", telemetry=seen.telemetry, max_retries=0)
    with pytest.raises(APIConnectionError, match="cannot connect"):
        api.batches.retrieve("batch_1")
    (span,) = seen.spans()
    assert span.attributes["error.type"] == "ConnectError"
    assert "http.response.status_code" not in span.attributes


def test_the_trace_context_goes_out_with_a_call(raw_server, seen):
    server = raw_server(lambda _: answer({"id": "batch_1", "object": "batch", "status": "completed"}))
    tracer = trace.get_tracer("app", tracer_provider=seen.tracers)
    with (
        Client(token=TOKEN, base_url=server.base_url, telemetry=seen.telemetry) as client,
        tracer.start_as_current_span("the application's own") as own,
    ):
        client.batches.retrieve("batch_1")
    call, _ = seen.spans()
    assert call.parent.span_id == own.get_span_context().span_id
    sent = server.received[0].headers["traceparent"]
    assert sent.startswith(f"00-{call.context.trace_id:032x}-{call.context.span_id:016x}-")


def test_a_storage_elsewhere_gets_no_trace_context(raw_server, connect, tmp_path, seen):
    storage = raw_server(lambda _: answer(b"content"))
    server = raw_server(lambda _: answer("", 302, location=f"{storage.base_url}/signed?signature={SECRET}"))
    connect(server.base_url, telemetry=seen.telemetry).files.download("file-1", tmp_path / "out")
    assert "traceparent" in server.received[0].headers
    assert "traceparent" not in storage.received[0].headers
    assert "signed" not in seen.everything()


def test_an_upload_to_a_storage_says_nothing_of_where_it_is(kind, tmp_path, seen):
    path = file_for("together", tmp_path / "requests.jsonl", 1)
    with at("together", kind, tmp_path / "home", telemetry=seen.telemetry) as (service, api):
        api.files.upload(path)
        put = [each for each in service.requests if each.method == "PUT"]
    (span,) = seen.spans("PUT")
    assert "url.full" not in span.attributes
    assert span.attributes["gen_ai.provider.name"] == "together"
    assert len(put) == 1
    assert "traceparent" not in put[0].headers


def test_the_steps_of_a_job_are_spans_that_its_id_links(told, seen):
    job = told.jobs.submit(requests(5), id="nightly", limits=Limits(requests=2))
    assert told.jobs.wait(job.id).ok == 5
    steps = [span for span in seen.spans() if span.name.startswith("job ")]
    counted = {name: sum(span.name == name for span in steps) for name in {span.name for span in steps}}
    assert counted["job create"] == counted["job collect"] == 3
    assert counted["job poll"] >= 1
    assert {span.attributes["overlay.job.id"] for span in steps} == {"nightly"}
    for span in seen.spans("job create"):
        assert span.attributes["gen_ai.operation.name"] == "chat"
        assert span.attributes["gen_ai.request.model"] == "gpt-4o-mini"
        assert span.attributes["gen_ai.provider.name"] == "other"
        assert span.attributes["overlay.batch.id"].startswith("batch_")
        inside = [
            each for each in seen.spans() if each.parent and each.parent.span_id == span.context.span_id
        ]
        assert {each.name for each in inside} >= {"POST /files", "POST /batches"}
        assert {each.attributes["overlay.job.id"] for each in inside} == {"nightly"}
    collected = seen.spans("job collect")
    assert sorted(span.attributes["overlay.batch.requests.ok"] for span in collected) == [1, 2, 2]
    tokens = sum(span.attributes["gen_ai.usage.input_tokens"] for span in collected)
    assert tokens == told.jobs.retrieve("nightly").input_tokens > 0
    longest = max(span.end_time - span.start_time for span in seen.spans()) / 1e9
    assert longest < 10
    assert all(span.status.status_code is StatusCode.UNSET for span in steps)


def test_what_comes_after_a_job_is_no_part_of_it(told, seen, caplog):
    told.jobs.submit(requests(3), id="j", limits=Limits(requests=1))
    assert told.jobs.wait("j").ok == 3
    assert len(list(told.batches.list())) == 3
    last = seen.spans()[-1]
    assert (last.name, last.parent) == ("GET /batches", None)
    assert "overlay.job.id" not in last.attributes
    assert not [each for each in caplog.records if each.name.startswith("opentelemetry")]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_step_that_is_cancelled_ends_its_spans(backend, raw_server, seen, tmp_path, caplog):
    asked, done = threading.Event(), threading.Event()

    def silent(_):
        asked.set()
        done.wait(10)

    server = raw_server(silent)

    async def cancelled():
        options = {"base_url": server.base_url, "home": tmp_path, "telemetry": seen.telemetry}
        async with AsyncClient(token=TOKEN, **options) as client, anyio.create_task_group() as group:
            group.start_soon(partial(client.jobs.submit, requests(1), id="j"))
            await anyio.to_thread.run_sync(asked.wait)
            group.cancel_scope.cancel()
        return trace.get_current_span()

    try:
        assert anyio.run(cancelled, backend=backend) is trace.INVALID_SPAN
    finally:
        done.set()
    (span,) = seen.spans("job create")
    assert span.status.status_code is StatusCode.UNSET  # nothing went wrong
    (call,) = seen.spans("POST /files")
    assert call.parent.span_id == span.context.span_id
    assert not [each for each in caplog.records if each.name.startswith("opentelemetry")]


def test_a_job_is_counted(told, seen):
    told.jobs.submit(requests(5), id="j", limits=Limits(requests=2))
    job = told.jobs.wait("j")
    what = {
        "gen_ai.provider.name": "other",
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o-mini",
    }
    found = seen.metrics()
    (answered,) = found["overlay.job.requests.answered"]
    assert (answered.value, dict(answered.attributes)) == (5, what)
    for name, count in (("input_tokens", job.input_tokens), ("output_tokens", job.output_tokens)):
        (point,) = found[f"gen_ai.client.inference.usage.{name}"]
        assert (point.value, dict(point.attributes)) == (count, what | {"gen_ai.token.modality": "unknown"})
    assert seen.total("overlay.job.requests.failed") == seen.total("overlay.job.requests.sent_again") == 0


def test_failures_and_what_is_sent_again_are_counted(seen, kind, tmp_path):
    asked = Counter()

    def busy_at_first(line):
        asked[line["custom_id"]] += 1
        if line["custom_id"] == "r0":
            return 400, {"error": {"message": SECRET, "code": "bad"}}
        if line["custom_id"] == "r1" and asked["r1"] == 1:
            return 500, {"error": {"message": SECRET, "code": "server_error"}}
        message = {"role": "assistant", "content": SECRET}
        usage = {"prompt_tokens": 1_000_000, "completion_tokens": 2_000_000}
        return {"object": "chat.completion", "choices": [{"index": 0, "message": message}], "usage": usage}

    with (
        Service(busy_at_first) as service,
        calling(kind, token=TOKEN, base_url=service.base_url, home=tmp_path, telemetry=seen.telemetry) as api,
    ):
        api.settings.clock = FakeClock(advancing(service))
        api.jobs.submit(requests(3), id="j")
        job = api.jobs.wait("j")
    assert (job.ok, job.failed) == (2, 1)
    assert seen.total("overlay.job.requests.answered") == 2
    assert seen.total("overlay.job.requests.sent_again") == 1
    assert seen.total("overlay.job.requests.failed") == 2  # one of them is sent again
    assert seen.total("gen_ai.client.inference.usage.input_tokens") == 2_000_000
    assert [span.attributes["overlay.job.generation"] for span in seen.spans("job collect")] == [0, 1]


def test_no_token_prompt_or_answer_is_told(told, seen):
    told.jobs.submit(requests(2), id="j")
    assert told.jobs.wait("j").ok == 2
    everything = seen.everything()
    assert "job collect" in everything
    assert TOKEN not in everything
    assert SECRET not in everything
    assert not any(result.text in everything for result in told.jobs.results("j"))


def test_what_the_answers_cost_is_counted_where_the_rate_is_known(seen, monkeypatch):
    settings = Client(token=TOKEN, base_url="https://api.openai.com/v1", telemetry=seen.telemetry)._settings
    facts = {"shard_requests": 2, "bytes": 8, "tokens": 4, "sha256": ""}
    what = {"shard": 0, "generation": 0, "endpoint": "/v1/embeddings", "model": "m", "requests": 2}
    unit = Unit(**what, **facts, ok=2, input_tokens=4)
    monkeypatch.setattr("overlay.costs.prices._known_price", lambda *_: Price(250_000.0))
    observing.count(settings, "fetched", unit)
    (point,) = seen.metrics()["overlay.job.cost"]
    assert point.value == 1.0
    assert dict(point.attributes) == {
        "gen_ai.provider.name": "openai",
        "gen_ai.operation.name": "embeddings",
        "gen_ai.request.model": "m",
    }
    monkeypatch.setattr("overlay.costs.prices._known_price", lambda *_: None)
    observing.count(settings, "fetched", unit)
    assert seen.total("overlay.job.cost") == 1.0
    assert seen.total("overlay.job.requests.answered") == 4


def test_live_batches_and_the_last_look_are_shown_while_a_job_is_worked_on(connect, seen):
    with Service(pace=Pace(in_progress=60)) as service:
        clock = FakeClock(advancing(service))
        api = connect(service.base_url, clock=clock, telemetry=seen.telemetry)
        shown = []
        clock.passed.insert(0, lambda _: shown.append(seen.metrics()))
        api.jobs.submit(requests(4), id="j", limits=Limits(requests=2))
        assert api.jobs.wait("j").ok == 4
    during = [each for each in shown if "overlay.job.batches.live" in each]
    live = [point for each in during for point in each["overlay.job.batches.live"]]
    assert max(point.value for point in live) == 2
    assert all(dict(point.attributes) == {"overlay.job.id": "j"} for point in live)
    (since,) = during[-1]["overlay.job.since_last_look"]
    assert 0 <= since.value < 30
    assert "overlay.job.batches.live" not in seen.metrics()


def test_a_step_that_fails_says_with_what(connect, service, clock, seen):
    service.faults.add("POST /batches", Reject(400))
    api = connect(service.base_url, clock=clock, telemetry=seen.telemetry)
    with pytest.raises(BadRequestError):
        api.jobs.submit(requests(1), id="j")
    (span,) = seen.spans("job create")
    assert span.attributes["error.type"] == "BadRequestError"
    assert span.status.status_code is StatusCode.ERROR
    assert not span.events


def test_clients_of_one_provider_share_its_instruments(seen, service):
    for _ in range(2):
        again = Telemetry(tracer_provider=seen.tracers, meter_provider=seen.meters)
        with Client(token=TOKEN, base_url=service.base_url, telemetry=again) as client:
            assert list(client.batches.list()) == []
    (point,) = seen.metrics()["http.client.request.duration"]
    assert point.count == 2


def test_it_is_turned_on_by_an_argument_or_the_environment(monkeypatch):
    assert Client(token=TOKEN)._settings.telemetry is None
    assert isinstance(Client(token=TOKEN, telemetry=True)._settings.telemetry, Telemetry)
    monkeypatch.setenv("OVERLAY_TELEMETRY", "1")
    shared = Client(token=TOKEN)._settings.telemetry
    assert shared is Client(token=TOKEN, telemetry=True)._settings.telemetry
    assert Client(token=TOKEN, telemetry=False)._settings.telemetry is None
    monkeypatch.setenv("OVERLAY_TELEMETRY", "yes")
    with pytest.raises(ConfigurationError, match="OVERLAY_TELEMETRY must be 1 or 0, not 'yes'"):
        Client(token=TOKEN)
    with pytest.raises(ConfigurationError, match="True, False or a Telemetry, not 'on'"):
        Client(token=TOKEN, telemetry="on")


def test_without_the_library_an_error_names_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'openai-batch-overlay\[otel\]'"):
        Telemetry()


def test_nothing_of_it_is_loaded_where_it_is_off(service):
    code = (
        "import sys; from overlay import Client\n"
        f"with Client(token='t', base_url={service.base_url!r}) as client: list(client.batches.list())\n"
        "print([name for name in sys.modules if 'opentelemetry' in name or 'overlay.telemetry' in name])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/batches/batch_1/cancel", "/batches/{id}/cancel"),
        ("/files/file-1/content", "/files/{id}/content"),
        ("/batch/jobs/1", "/batch/jobs/{id}"),
    ],
)
def test_names_of_calls_are_few(path, template):
    assert names.template_of(path) == template


@pytest.mark.parametrize(
    ("endpoint", "operation"),
    [("/v1/responses", "chat"), ("/v1/completions", "text_completion"), ("/v1/moderations", "moderations")],
)
def test_operations_have_the_names_of_the_conventions(endpoint, operation):
    assert names.operation_of(endpoint) == operation


def test_names_are_those_of_the_conventions():
    own = {value for name, value in vars(names).items() if name.isupper() and isinstance(value, str)}
    known = {
        each
        for module in (gen_ai, http, server, url, error)
        for each in vars(module).values()
        if isinstance(each, str)
    }
    # Newer than the package of names that the SDK brings.
    newer = {"gen_ai.token.modality", names.USED_INPUT, names.USED_OUTPUT}
    standard = {each for each in own if not each.startswith("overlay.")} - newer - {names.CALLS}
    assert standard - known == set()
    assert names.CALLS == HTTP_CLIENT_REQUEST_DURATION
