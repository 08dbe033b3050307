"""Webhooks over real sockets: what is taken wakes the wait for a batch, and what is not wakes nobody."""

import json
import signal
import threading
import time
from base64 import b64encode
from contextlib import contextmanager
from functools import partial

import httpx
import pytest
from support.asgi_server import AsgiServer
from support.command_line import CommandLine, lines_until

from overlay import Client, ConfigurationError, WaitTimeoutError, webhooks
from overlay.operations.hints import Hints
from overlay.server import ManualClock, Pace, Service

SECRET = "whsec_" + b64encode(b"k" * 24).decode()
OTHER = "whsec_" + b64encode(b"o" * 24).decode()
LONG = 30.0
"""Longer than a test takes: a wait that polls at this pace alone is found out."""


@pytest.fixture
def service():
    """A batch completes when time is moved."""
    with Service(clock=ManualClock(), pace=Pace(in_progress=60)) as service:
        yield service


@pytest.fixture
def client(service, tmp_path):
    with Client(base_url=service.base_url, token="any", home=tmp_path / "home") as client:
        yield client


@pytest.fixture
def receiver(client):
    """Where webhooks are received; `told` are the events that were taken."""
    told = []
    with AsgiServer(webhooks.app(client, secret=[OTHER, SECRET], on_event=told.append)) as server:
        server.told = told
        yield server


def event_of(batch_id, kind="batch.completed"):
    data = {"id": "evt_1", "object": "event", "type": kind, "created_at": 1, "data": {"id": batch_id}}
    return json.dumps(data).encode()


def send(url, body, name="wh_1", *, secret=SECRET, ago=0.0):
    headers = webhooks.sign(body, name, secret, now=time.time() - ago)
    return httpx.post(url, content=body, headers=headers).status_code


def created(client, path):
    file = client.files.upload(path)
    return client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions")


@contextmanager
def waiting(wait):
    """A wait in a thread; yields what it has returned, and when."""
    done = []

    def run():
        done.append((wait(), time.monotonic()))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield done
    thread.join(LONG / 2)


def looked(service, batch_id, before=0):
    """Return once the batch was looked at more often than that."""
    path = f"/batches/{batch_id}"
    until = time.monotonic() + 10
    while service.count("GET", path) <= before:
        assert time.monotonic() < until, "nobody looked at the batch"
        time.sleep(0.01)
    return service.count("GET", path)


def test_a_wait_ends_within_a_second_of_the_event(service, client, receiver, requests_file):
    took = []
    while not took or (took[-1] >= 1 and len(took) < 4):  # a busy machine may need a second of its own
        batch = created(client, requests_file)
        with waiting(partial(client.batches.wait, batch.id, poll=LONG)) as done:
            looked(service, batch.id)
            service.advance(60)
            sent = time.monotonic()
            assert send(receiver.url, event_of(batch.id), f"wh_{len(took)}") == 204
        ((ended, at),) = done
        assert ended.status == "completed"
        assert receiver.told[-1].batch_id == batch.id
        took.append(at - sent)
    assert took[-1] < 1, took
    assert max(took) < LONG / 2


def test_the_wait_of_a_job_in_another_process_ends_at_once(
    service, client, receiver, requests_file, tmp_path
):
    command = CommandLine(tmp_path, service.base_url)
    command("jobs", "submit", requests_file, "--id", "j", "--poll", "30", "-q")
    ((batch_id,),) = ([shard.batch_id] for shard in client.jobs.retrieve("j").shards)
    before = service.count("GET", f"/batches/{batch_id}")
    with command.start("jobs", "wait", "j", "--poll", "30") as process:
        looked(service, batch_id, before)
        service.advance(60)
        sent = time.monotonic()
        assert send(receiver.url, event_of(batch_id)) == 204
        _, said = process.communicate(timeout=LONG / 2)
    assert process.returncode == 0, said
    # The command has the answers to fetch, and Python to end.
    assert time.monotonic() - sent < LONG / 3
    assert client.jobs.retrieve("j").ended


def test_an_event_before_the_answer_of_the_create_is_heard(service, client, receiver, requests_file):
    """The hint is there before anybody knows the batch, and before it shows that it has ended."""
    batch = created(client, requests_file)
    assert send(receiver.url, event_of(batch.id)) == 204
    with waiting(partial(client.batches.wait, batch.id, poll=LONG)) as done:
        looked(service, batch.id, 1)  # once at first, and once for the hint
        service.advance(60)
        assert send(receiver.url, event_of(batch.id), "wh_2") == 204
    assert done[0][0].status == "completed"


def test_an_event_that_lies_ends_no_wait(service, client, receiver, requests_file):
    batch = created(client, requests_file)
    assert send(receiver.url, event_of(batch.id)) == 204
    with pytest.raises(WaitTimeoutError, match="in_progress"):
        client.batches.wait(batch.id, poll=LONG, timeout=1)
    assert service.count("GET", f"/batches/{batch.id}") >= 2


def test_events_out_of_order_and_of_others_wake_whom_they_concern(service, client, receiver, requests_file):
    batch = created(client, requests_file)
    with waiting(partial(client.batches.wait, batch.id, poll=LONG)) as done:
        before = looked(service, batch.id)
        for number in range(3):
            assert send(receiver.url, event_of(f"batch_of_others/../{number}"), f"wh_other_{number}") == 204
        service.advance(60)
        assert service.count("GET", f"/batches/{batch.id}") == before
        assert send(receiver.url, event_of(batch.id), "wh_9") == 204
        assert send(receiver.url, event_of(batch.id, "batch.failed"), "wh_8") == 204
    assert done[0][0].status == "completed"


@pytest.mark.parametrize(
    ("options", "status"),
    [({"secret": "whsec_" + b64encode(b"x" * 24).decode()}, 400), ({"ago": 301}, 400), ({"ago": -330}, 400)],
    ids=["forged", "late", "early"],
)
def test_what_nobody_vouches_for_leaves_nothing(receiver, client, options, status):
    assert send(receiver.url, event_of("batch_1"), **options) == status
    left = {path.name for path in (client._settings.home / "hints").rglob("[!.]*")}
    assert left <= {"receiver", "seen"}  # the first is replaced now and then, and may not be listed meanwhile
    assert not receiver.told


def test_what_is_too_long_or_no_post_is_refused(receiver):
    assert send(receiver.url, b" " * 300_000) == 413
    assert httpx.get(receiver.url).status_code == 405


def test_a_webhook_sent_twice_is_one_event_even_to_two_receivers(receiver, client):
    body = event_of("batch_1")
    assert [send(receiver.url, body, secret=secret) for secret in (SECRET, OTHER, SECRET)] == [204] * 3
    with AsgiServer(webhooks.app(client, secret=SECRET, on_event=receiver.told.append)) as second:
        assert send(second.url, body) == 204
    assert len(receiver.told) == 1
    assert send(receiver.url, body, "wh_2") == 204
    assert len(receiver.told) == 2


def test_an_event_that_the_application_could_not_take_is_taken_when_it_comes_again(client):
    told = []

    def take(event):
        told.append(event)
        if len(told) == 1:
            raise ValueError("the database is away")

    with AsgiServer(webhooks.app(client, secret=SECRET, on_event=take)) as server:
        assert [send(server.url, event_of("batch_1")) for _ in range(3)] == [500, 204, 204]
    assert len(told) == 2


def test_events_of_something_else_are_taken_and_ignored(receiver):
    assert send(receiver.url, json.dumps({"type": "response.completed", "data": {"id": "r"}}).encode()) == 204
    assert not receiver.told


def test_waits_poll_more_slowly_where_webhooks_are_received(client, receiver):
    paces = []
    for _ in range(2):
        hints = Hints(client._settings)
        client._driver.run(hints.rest(0.0, []))
        paces.append(hints.longest_pause)
        (client._settings.home / "hints" / "receiver").unlink(missing_ok=True)
    assert paces == [300.0, 60.0]
    assert send(receiver.url, event_of("batch_1")) == 204
    client._driver.run(hints.rest(0.0, []))
    assert hints.longest_pause == 300.0


def test_without_webhooks_a_wait_pauses_as_it_always_did(service, tmp_path, connect, requests_file):
    api = connect(service.base_url)
    api.clock.passed.append(service.advance)
    file = api.files.upload(requests_file)
    batch = api.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions")
    assert api.batches.wait(batch.id, poll=20).status == "completed"
    assert len(api.clock.slept) <= 3


def test_a_secret_from_the_environment_and_none(client, monkeypatch):
    with pytest.raises(ConfigurationError, match="set OPENAI_WEBHOOK_SECRET"):
        webhooks.app(client)
    monkeypatch.setenv("OPENAI_WEBHOOK_SECRET", f"{OTHER} {SECRET}")
    with AsgiServer(webhooks.app(client)) as server:
        assert send(server.url, event_of("batch_1")) == 204
    with pytest.raises(ConfigurationError, match="whsec_"):
        webhooks.app(client, secret="hunter2")


def test_the_command_receives_webhooks_until_it_is_stopped(tmp_path, service):
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    command = CommandLine(tmp_path, service.base_url)
    words = ("hooks", "serve", "--secret-file", "secret", "--port", "0", "--path", "/openai", "--json")
    with command.start(*words) as process:
        url = json.loads(lines_until(process.stdout, "url"))["url"]
        assert url.endswith("/openai")
        assert send(url, event_of("batch_1")) == 204
        assert send(url, event_of("batch_1"), "wh_2", secret=OTHER) == 400
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=20)
    assert process.returncode == 0, said
    assert "batch_1: batch.completed" in said
    assert SECRET not in said
    done = command("hooks", "serve", "--secret-file", "nothing")
    assert (done.returncode, done.stderr) == (2, "error: --secret-file nothing: No such file or directory\n")
