"""The client as a whole: what it is made from, what it refuses, and the main job from start to end."""

import inspect
import json
import pydoc
from datetime import timedelta

import pytest
from support.calling import ENDPOINT, batch_object, calling, started
from support.raw_server import answer

from overlay import (
    AsyncClient,
    AsyncListing,
    BadRequestError,
    Batch,
    Client,
    ConfigurationError,
    ConflictError,
    Listing,
)
from overlay.server import Pace, Reject, Service

BOTH = pytest.mark.parametrize("client_type", [Client, AsyncClient])


def test_the_main_job(api, requests_file, tmp_path):
    file = api.files.upload(requests_file)
    batch = api.batches.create(input_file_id=file.id, endpoint=ENDPOINT, metadata={"run": "7"})
    seen = []
    batch = api.batches.wait(batch.id, on_change=lambda batch: seen.append(batch.status))
    assert batch.succeeded
    assert batch.metadata["run"] == "7"
    assert batch.metadata.keys() == {"run", "overlay"}
    assert batch.request_counts.completed == 3
    assert seen[-1] == "completed"
    assert [result.custom_id for result in api.batches.results(batch.id)] == ["r0", "r1", "r2"]
    assert all(result.ok and "ask" in result.text for result in api.batches.results(batch.id))
    path = api.files.download(batch.output_file_id, tmp_path / "out.jsonl")
    assert sorted(json.loads(line)["custom_id"] for line in path.read_bytes().splitlines()) == [
        "r0",
        "r1",
        "r2",
    ]
    assert [each.id for each in api.batches.list()] == [batch.id]
    assert api.batches.retrieve(batch.id) == batch
    assert file.id in [each.id for each in api.files.list(purpose="batch")]
    assert api.files.retrieve(file.id).bytes == requests_file.stat().st_size
    assert api.files.delete(file.id) is None
    assert file.id not in [each.id for each in api.files.list()]


def test_all_settings_can_come_from_the_environment(kind, service, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment")
    monkeypatch.setenv("OPENAI_BASE_URL", service.base_url + "/")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-1")
    with calling(kind) as api:
        assert list(api.batches.list()) == []
    with calling(kind, organization="org-2", token="sk-of-the-argument", headers={"X-Team": "a"}) as api:
        list(api.files.list())
    first, second = service.requests
    assert first.token == "sk-of-the-environment"
    assert first.path == "/v1/batches"
    assert (first.headers["openai-organization"], first.headers["openai-project"]) == ("org-1", "proj-1")
    assert first.headers["user-agent"].startswith("openai-batch-overlay/")
    assert second.token == "sk-of-the-argument"
    assert (second.headers["openai-organization"], second.headers["x-team"]) == ("org-2", "a")


def test_the_default_is_the_api_itself():
    with Client(token="sk-1") as client:
        assert repr(client) == "Client(base_url='https://api.openai.com/v1', service='openai')"


@BOTH
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"token": None}, "OPENAI_API_KEY"),
        ({"token": ""}, "empty"),
        ({"token": "sk-1\n"}, "white space"),
        ({"token": "sk-ü"}, "ASCII"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": timedelta(seconds=-1)}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"max_retries": -1}, "max_retries"),
        ({"max_retries": True}, "max_retries"),
        ({"headers": {"X-Team": "a\r\nX-Other: b"}}, "X-Team"),
        ({"organization": "örg"}, "OpenAI-Organization"),
        ({"base_url": "http://api.example.com/v1"}, "unencrypted"),
        ({"base_url": "http://10.0.0.1/v1"}, "unencrypted"),
        ({"base_url": "http://localhost.example.com/v1"}, "unencrypted"),
        ({"base_url": "https://user:pass-word@example.com/v1"}, "user name or password"),
        ({"base_url": "https://user@example.com"}, "user name or password"),
        ({"base_url": "ftp://example.com"}, "http"),
        ({"base_url": "example.com/v1"}, "http"),
        ({"base_url": "https://"}, "host"),
        ({"base_url": "https://example.com:port/"}, "base URL"),
        ({"base_url": "https://example.com:99999/"}, "base URL"),
        ({"base_url": "https://[::1/v1"}, "base URL"),
        ({"base_url": "https://example.com/v1#part"}, "fragment"),
        ({"base_url": "https://example.com/v1#top"}, "fragment"),
    ],
)
def test_what_cannot_work_is_refused_at_once(client_type, options, reason):
    with pytest.raises(ConfigurationError, match=reason) as caught:
        client_type(**{"token": "sk-1"} | options)
    assert isinstance(caught.value, ValueError)
    assert "pass-word" not in str(caught.value)


@BOTH
@pytest.mark.parametrize(
    "base_url",
    [
        "http://localhost:8000/v1",
        "http://batch.localhost/v1",
        "http://127.0.0.53:8000",
        "http://[::1]:8000/v1/",
        "https://example.com/openai/v1/",
    ],
)
def test_base_urls_that_a_token_may_be_sent_to(client_type, base_url):
    client = client_type(token="sk-1", base_url=base_url)
    assert client._driver.settings.base_url == base_url.rstrip("/")


@BOTH
def test_http_elsewhere_has_to_be_asked_for(client_type):
    client = client_type(token="sk-1", base_url="http://gpu.internal:8000/v1", allow_insecure=True)
    assert client._driver.settings.host == "gpu.internal:8000"


def test_a_closed_client_says_so(connect, service, requests_file):
    api = connect(service.base_url)
    list(api.batches.list())
    api.close()
    for use in (
        lambda: list(api.batches.list()),
        lambda: api.batches.retrieve("batch_1"),
        lambda: api.files.upload(requests_file),
        lambda: list(api.batches.results("batch_1")),
        lambda: api.batches.create(input_file_id="file-1", endpoint=ENDPOINT),
    ):
        with pytest.raises(ConfigurationError, match="closed"):
            use()
    assert len(service.requests) == 1


def test_unusable_arguments_send_nothing(api, service):
    for use in (
        lambda: api.batches.create(input_file_id="file-1", endpoint=""),
        lambda: api.batches.create(input_file_id="file-1", endpoint=ENDPOINT, completion_window=24),
        lambda: api.batches.create(input_file_id="file-1", endpoint=ENDPOINT, metadata={"a": 1}),
        lambda: api.batches.create(input_file_id="file-1", endpoint=ENDPOINT, metadata={"a": "b" * 513}),
        lambda: api.batches.create(input_file_id="file-1", endpoint=ENDPOINT, metadata={"k" * 65: "b"}),
        lambda: api.batches.create(
            input_file_id="file-1", endpoint=ENDPOINT, metadata={str(n): "" for n in range(17)}
        ),
        lambda: api.batches.wait("batch_1", poll=0),
        lambda: list(api.batches.list(limit=0)),
        lambda: list(api.files.list(limit=True)),
    ):
        with pytest.raises(ConfigurationError):
            use()
    assert service.requests == []


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("a/b", "a%2Fb"),
        ("a?b#c", "a%3Fb%23c"),
        ("ä", "%C3%A4"),
        ("a b", "a%20b"),
        ("a%2Fb", "a%252Fb"),
        ("...", "..."),
    ],
)
def test_ids_of_any_other_shape_are_one_step_of_the_path(connect, raw_server, tmp_path, name, sent):
    batch = batch_object(id=name, output_file_id=name, status="completed")
    empty = {"data": [], "has_more": False}
    server = raw_server(lambda request: answer(empty if "?" in request.path else batch))
    api = connect(server.base_url)
    api.batches.retrieve(name)
    api.batches.cancel(name)
    api.batches.wait(name)
    api.files.retrieve(name)
    api.files.download(name, tmp_path / "out")
    api.files.delete(name)
    list(api.batches.list(after=name))
    seen = {request.path.removeprefix("/v1/") for request in server.received}
    assert {f"batches/{sent}", f"batches/{sent}/cancel", f"files/{sent}", f"files/{sent}/content"} < seen
    (listed,) = seen - {f"batches/{sent}", f"batches/{sent}/cancel", f"files/{sent}", f"files/{sent}/content"}
    assert listed.startswith("batches?after=a" if name.startswith("a") else "batches?after=")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    "bad_id", ["..", ".", "", "a/../b", "../b", "a/.", "a\n", "\ud800", "x" * 1025, None, 7], ids=ascii
)
def test_ids_that_would_name_another_resource_are_refused(api, service, tmp_path, bad_id):
    for use in (
        lambda: api.batches.retrieve(bad_id),
        lambda: api.batches.cancel(bad_id),
        lambda: api.batches.wait(bad_id),
        lambda: list(api.batches.results(bad_id)),
        lambda: api.batches.create(input_file_id=bad_id, endpoint=ENDPOINT),
        lambda: api.files.retrieve(bad_id),
        lambda: api.files.delete(bad_id),
        lambda: api.files.download(bad_id, tmp_path / "out"),
    ):
        with pytest.raises(ConfigurationError, match="id"):
            use()
    if bad_id is not None:
        with pytest.raises(ConfigurationError, match="id"):
            list(api.batches.list(after=bad_id))
    assert service.requests == []


def test_cancel_twice_is_as_good_as_once(connect, requests_file):
    with Service(pace=Pace(in_progress=60, cancelling=60)) as service:
        api = connect(service.base_url)
        batch = started(api, requests_file)
        assert api.batches.cancel(batch.id).status == "cancelling"
        for status in (400, 409):
            service.faults.add(
                "POST /batches/*/cancel", Reject(status, "It is cancelling already."), times=None
            )
            assert api.batches.cancel(batch.id).status == "cancelling"
            service.faults.clear()
        service.advance(120)
        assert api.batches.cancel(batch.id).status == "cancelled"


def test_a_batch_that_has_ended_cannot_be_cancelled(api, requests_file):
    batch = started(api, requests_file)
    api.batches.wait(batch.id)
    waited = len(api.clock.slept)
    with pytest.raises((ConflictError, BadRequestError), match="completed"):
        api.batches.cancel(batch.id)
    assert len(api.clock.slept) == waited  # it will not pass by itself


def test_help_shows_what_callers_see():
    signature = str(inspect.signature(_batches(Client).retrieve))
    assert signature.startswith("(self, batch_id: str, *, extra_query: ")
    assert signature.endswith(") -> overlay.models.Batch")
    assert inspect.signature(_batches(Client).list).return_annotation == Listing[Batch]
    assert inspect.signature(_batches(AsyncClient).list).return_annotation == AsyncListing[Batch]
    assert inspect.signature(_files(Client).delete).return_annotation is None
    shown = pydoc.render_doc(_batches(Client), renderer=pydoc.plaintext)
    assert "Wait until the batch has ended" in shown
    assert "Flow" not in shown
    assert "settings" not in shown
    for verb in ("create", "retrieve", "list", "cancel", "wait", "results"):
        assert inspect.getdoc(getattr(_batches(AsyncClient), verb))


def _batches(client_type):
    return type(client_type(token="sk-1").batches)


def _files(client_type):
    return type(client_type(token="sk-1").files)
