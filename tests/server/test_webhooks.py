"""The embedded service posts the end of each batch: signed, until it is taken, and again after it was killed."""

import json
import time

import pytest
from support.asgi_server import AsgiServer
from support.command_line import CommandLine, lines_until
from support.inbox import SECRET, Inbox
from support.service_http import http_to

from overlay import Client, ConfigurationError, webhooks
from overlay.server import ManualClock, Pace, Service, Webhook

DAY = 86_400


def serving(server, **options):
    settings = {"clock": ManualClock(), "webhook": Webhook(server.url, SECRET)} | options
    return Service(**settings)


@pytest.fixture
def inbox():
    return Inbox()


@pytest.fixture
def server(inbox):
    with AsgiServer(inbox, lifespan="off") as server:
        yield server


def created(service, path):
    with Client(base_url=service.base_url, token="any") as client:
        file = client.files.upload(path)
        return client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions")


def test_the_end_of_a_batch_is_posted(server, inbox, requests_file):
    with serving(server) as service:
        batch = created(service, requests_file)
        service.settle()
    ((name, event, headers),) = inbox.got
    assert (inbox.types, inbox.subjects) == (["batch.completed"], [batch.id])
    assert name.startswith("wh_")
    assert event["object"] == "event"
    assert headers["content-type"] == "application/json"


@pytest.mark.parametrize("end", ["cancelled", "failed", "expired"])
def test_every_end_has_its_event(server, inbox, requests_file, end):
    path = requests_file
    if end == "failed":
        path.write_text(path.read_text() * 2)  # two requests of one name
    with serving(server, pace=Pace(in_progress=2 * DAY)) as service:
        batch = created(service, path)
        service.settle()
        if end == "cancelled":
            with http_to(service) as http:
                assert http.post(f"/batches/{batch.id}/cancel").status_code == 200
        service.advance(DAY + 1)
        assert inbox.types == [f"batch.{end}"]


def test_what_is_not_taken_is_posted_again_under_the_same_id(server, inbox, requests_file):
    inbox.statuses = [500, 302]
    with serving(server) as service:
        created(service, requests_file)
        service.settle()
        assert len(inbox.got) == 1
        service.advance(5)
        assert len(inbox.got) == 2
        service.advance(3 * DAY)
    assert len(inbox.got) == 3
    assert len(set(inbox.ids)) == 1


def test_what_is_never_taken_is_given_up_after_72_hours(server, inbox, requests_file):
    inbox.statuses = [410] * 50
    with serving(server) as service:
        created(service, requests_file)
        service.advance(4 * DAY)
        posted = len(inbox.got)
        assert posted == 10
        service.advance(4 * DAY)
        assert len(inbox.got) == posted


def test_a_service_that_is_started_again_posts_what_was_not_taken(server, inbox, requests_file, tmp_path):
    inbox.statuses = [503]
    with serving(server, state=tmp_path / "state") as service:
        created(service, requests_file)
        service.settle()
    with serving(server, state=tmp_path / "state") as service:
        service.settle()
        assert len(inbox.got) == 2
        assert len(set(inbox.ids)) == 1
    with serving(server, state=tmp_path / "state") as service:
        service.settle()
    assert len(inbox.got) == 2


def test_a_receiver_that_is_away_harms_no_batch(requests_file, raw_server):
    away = raw_server(lambda _: None)
    webhook = Webhook(away.base_url, SECRET)
    with Service(clock=ManualClock(), webhook=webhook) as service:
        created(service, requests_file)
        service.settle()
        assert service.batches()[0]["status"] == "completed"
    assert away.requests()


def test_a_wait_ends_with_its_batch(tmp_path, requests_file):
    """All of it over sockets: the service posts, the receiver leaves the hint, the wait hears it."""
    with Client(base_url="http://127.0.0.1:9/v1", token="any", home=tmp_path) as local:
        application = webhooks.app(local, secret=SECRET)
    with (
        AsgiServer(application) as server,
        Service(pace=Pace(in_progress=0.5), webhook=Webhook(server.url, SECRET)) as service,
        Client(base_url=service.base_url, token="any", home=tmp_path) as client,
    ):
        file = client.files.upload(requests_file)
        batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions")
        began = time.monotonic()
        assert client.batches.wait(batch.id, poll=30).status == "completed"
        assert time.monotonic() - began < 10  # and not 30


@pytest.mark.parametrize(
    ("url", "secret"),
    [
        ("ftp://host/", SECRET),
        ("hook", SECRET),
        ("http://[", SECRET),
        ("http://me:pw@host/", SECRET),
        ("https://host/", "hunter2"),
    ],
)
def test_a_webhook_that_is_none(url, secret):
    with pytest.raises(ConfigurationError) as caught:
        Webhook(url, secret)
    assert "pw" not in str(caught.value)
    assert SECRET not in repr(Webhook("https://host/", SECRET))


def test_the_command_posts_them(server, inbox, tmp_path, requests_file):
    (tmp_path / "secret").write_text(SECRET)
    command = CommandLine(tmp_path)
    words = ("serve", "--port", "0", "--webhook", server.url, "--webhook-secret-file", "secret", "--json")
    with command.start(*words) as process:
        url = json.loads(lines_until(process.stdout, "base_url"))["base_url"]
        with Client(base_url=url, token="any") as client:
            file = client.files.upload(requests_file)
            batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions")
            client.batches.wait(batch.id, poll=0.05)
        process.terminate()
        process.communicate(timeout=20)
    assert inbox.subjects == [batch.id]
    done = command("serve", "--webhook", server.url)
    assert (done.returncode, "--webhook-secret-file" in done.stderr) == (2, True)
