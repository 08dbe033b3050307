"""The end of a job is told: to a function and to a URL, at least once each, under an id that stays the same."""

import sqlite3

import pytest
from support.asgi_server import AsgiServer
from support.command_line import CommandLine
from support.inbox import SECRET, Inbox
from support.job_steps import chats

from overlay import BatchFailedError, ConfigurationError, JobEnd
from overlay.jobs import telling
from overlay.server import Service, echo

VARIABLE = "OVERLAY_WEBHOOK_SECRET"


@pytest.fixture
def inbox():
    return Inbox()


@pytest.fixture
def url(inbox, monkeypatch):
    monkeypatch.setenv(VARIABLE, SECRET)
    with AsgiServer(inbox, lifespan="off") as server:
        yield server.url


def run(api, **options):
    job = api.jobs.submit(chats(2), id="j", **options)
    return job if job.ended else api.jobs.wait(job.id, on_end=options.get("on_end"))


def test_the_end_is_posted_once_with_counts_alone(api, url, inbox):
    assert not run(api, notify=url).unnotified
    api.jobs.wait("j")
    ((name, event, headers),) = inbox.got
    assert (event["type"], event["id"]) == ("job.ended", name)
    counts = {"id": "j", "requests": 2, "ok": 2, "failed": 0, "missing": 0}
    assert {key: event["data"][key] for key in counts} == counts
    assert "authorization" not in headers


def test_the_function_is_told_once(api):
    told = []
    run(api, on_end=told.append)
    api.jobs.wait("j", on_end=told.append)
    (end,) = told
    assert isinstance(end, JobEnd)
    assert (end.type, end.job.id, end.job.ok) == ("job.ended", "j", 2)


def test_a_function_that_raises_is_told_again_under_the_same_id(api):
    told = []

    def tell(end):
        told.append(end.id)
        if len(told) == 1:
            raise ValueError("the database is away")

    with pytest.raises(ValueError, match="the database is away"):
        run(api, on_end=tell)
    api.jobs.wait("j", on_end=tell)
    assert len(told) == 2
    assert len(set(told)) == 1


def test_what_is_not_taken_is_posted_again_and_then_by_the_next_wait(api, url, inbox):
    inbox.statuses = [500] * 4
    job = run(api, notify=url)
    assert (job.ended, job.unnotified, len(inbox.got)) == (True, True, 4)
    assert "127.0.0.1 answered 500; `overlay jobs wait j` tries again" in job.last_error
    assert not api.jobs.wait("j").unnotified
    assert len(inbox.got) == 5
    assert len(set(inbox.ids)) == 1


@pytest.mark.parametrize("status", [302, 401])
def test_what_is_refused_is_not_posted_again_at_once(api, url, inbox, status):
    inbox.statuses = [status]
    assert run(api, notify=url).unnotified
    assert len(inbox.got) == 1


def test_a_process_that_dies_before_it_notes_what_was_taken(api, url, inbox, monkeypatch):
    """The event is out, and the ledger does not say so: the next process posts it under the same id."""

    class DiedError(Exception):
        pass

    post = telling.post

    def last(*sent):
        post(*sent)
        raise DiedError

    monkeypatch.setattr(telling, "post", last)
    with pytest.raises(DiedError):
        run(api, notify=url)
    monkeypatch.setattr(telling, "post", post)
    assert not api.jobs.wait("j").unnotified
    assert len(inbox.ids) == 2
    assert len(set(inbox.ids)) == 1


def test_a_retry_has_an_end_of_its_own(connect, url, inbox):
    failing = {"first"}

    def answer(line):
        return (400, {"error": {"code": "no"}}) if failing else echo(line)

    with Service(answer) as service:
        api = connect(service.base_url)
        run(api, notify=url)
        failing.clear()
        job = api.jobs.retry("j")
        assert job.ended or api.jobs.wait("j").ended
    assert [event["data"]["failed"] for _, event, _ in inbox.got] == [2, 0]
    assert len(set(inbox.ids)) == 2


def test_a_job_that_was_cancelled(scene, url, inbox):
    scene.submit(2, notify=url)
    scene.jobs.cancel("j")
    assert scene.finish().cancelled
    assert inbox.types == ["job.cancelled"]


def test_a_job_that_was_refused_and_one_more_time(scene, url, inbox):
    """Each time that it is submitted it ends anew."""
    told = []
    for _ in range(2):
        scene.submit(2, notify=url)
        for batch in scene.fake.live():
            scene.fake.fail(batch, code="no_such_model")
        with pytest.raises(BatchFailedError):
            scene.jobs.wait("j", on_end=told.append)
    assert inbox.types == [end.type for end in told] == ["job.failed"] * 2
    assert inbox.ids == [end.id for end in told]
    assert len(set(inbox.ids)) == 2


def test_without_a_secret_nothing_is_sent(api, service, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(ConfigurationError, match=f"set {VARIABLE}, or notify_secret_file"):
        run(api, notify="https://example.com/")
    monkeypatch.setenv(VARIABLE, "hunter2")
    with pytest.raises(ConfigurationError, match="whsec_") as caught:
        run(api, notify="https://example.com/")
    assert "hunter2" not in str(caught.value)
    assert not service.requests


@pytest.mark.parametrize("where", ["http://example.com/", "ftp://h/", "https://me:pw@h/", "h", "https://", 3])
def test_a_url_that_is_none(api, service, monkeypatch, where):
    monkeypatch.setenv(VARIABLE, SECRET)
    with pytest.raises(ConfigurationError, match="notify must be") as caught:
        run(api, notify=where)
    assert "pw" not in str(caught.value)
    assert not service.requests


def test_a_later_process_without_the_secret_says_so_and_has_the_answers(api, url, inbox, monkeypatch):
    inbox.statuses = [401]
    run(api, notify=url)
    monkeypatch.delenv(VARIABLE)
    job = api.jobs.wait("j")
    assert (job.ended, job.unnotified) == (True, True)
    assert f"set {VARIABLE}" in job.last_error
    assert [result.ok for result in api.jobs.results("j")] == [True, True]


def test_the_secret_is_in_a_file_and_not_in_the_ledger(api, url, inbox, tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE)
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    monkeypatch.chdir(tmp_path)
    run(api, notify=url, notify_secret_file="secret")
    assert len(inbox.got) == 1
    with sqlite3.connect(api.client.jobs.folder("j") / "ledger.db") as ledger:
        (options,) = ledger.execute("SELECT options FROM job").fetchone()
    assert str(tmp_path / "secret") in options
    assert SECRET not in "".join(
        path.read_text(errors="replace") for path in api.settings.home.rglob("*") if path.is_file()
    )


def test_the_command_posts_the_end_and_once_more_if_nobody_took_it(
    service, url, inbox, tmp_path, requests_file
):
    command = CommandLine(tmp_path, service.base_url)
    command.env[VARIABLE] = SECRET
    inbox.statuses = [403]
    words = ("run", requests_file, "-o", "out.jsonl", "--poll", "0.1", "--notify", url)
    done = command(*words)
    assert (done.returncode, len(inbox.got)) == (0, 1), done.stderr
    done = command(*words, "--force")
    assert (done.returncode, len(inbox.got)) == (0, 2), done.stderr
    command(*words, "--force")
    assert inbox.types == ["job.ended"] * 2
    assert len(set(inbox.ids)) == 1
    done = command("run", requests_file, "-o", "b.jsonl", "--notify", "http://example.com/", "--again")
    assert (done.returncode, "--notify must be an https URL" in done.stderr) == (2, True), done.stderr
