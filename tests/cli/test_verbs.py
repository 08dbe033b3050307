"""`overlay batches …` and `overlay files …`, as processes."""

import json
import re

import pytest
from support.command_line import CANARY, CommandLine, lines_until

from overlay import Client, Request, write_requests
from overlay.server import Pace, Reject, Service


@pytest.fixture
def service():
    with Service(tokens=CANARY) as service:
        yield service


@pytest.fixture
def overlay(tmp_path, service):
    write_requests(
        tmp_path / "r.jsonl", (Request(f"id-{n}", {"model": "m", "messages": []}) for n in range(3))
    )
    return CommandLine(tmp_path, service.base_url)


@pytest.fixture
def client(service):
    with Client(base_url=service.base_url, token=CANARY) as client:
        yield client


@pytest.fixture
def file_id(client, overlay):
    return client.files.upload(overlay.folder / "r.jsonl").id


@pytest.fixture
def batch_id(client, service, file_id):
    batch = client.batches.create(input_file_id=file_id, endpoint="/v1/chat/completions")
    service.settle()
    return batch.id


def many(client, file_id, count):
    return [
        client.batches.create(input_file_id=file_id, endpoint="/v1/chat/completions").id for _ in range(count)
    ]


def test_that_a_call_is_tried_again_is_said_meanwhile(overlay, service):
    service.faults.add("GET /batches", Reject(503))
    listed = overlay("batches", "list", "--json")
    assert (listed.returncode, listed.stdout) == (0, "")
    (said,) = listed.stderr.splitlines()
    assert re.fullmatch(r"503 from 127\.0\.0\.1:\d+ for GET /v1/batches: .*; retrying in \d\.\d s", said)


def test_a_file_goes_there_and_back(overlay, tmp_path):
    sent = overlay.json("files", "upload", "r.jsonl", "--filename", "mine.jsonl", "--expires-after", "2h")
    assert (sent["filename"], sent["purpose"]) == ("mine.jsonl", "batch")
    assert sent["expires_at"] - sent["created_at"] == 7200
    assert overlay.json("files", "retrieve", sent["id"]) == sent
    (listed,) = overlay("files", "list", "--json", "--purpose", "batch").stdout.splitlines()
    assert json.loads(listed) == sent
    content = (tmp_path / "r.jsonl").read_text()
    assert overlay("files", "download", sent["id"]).stdout == content
    assert overlay("files", "download", sent["id"], "-o", "copy").returncode == 0
    assert (tmp_path / "copy").read_text() == content
    assert overlay.json("files", "delete", sent["id"]) == {"id": sent["id"], "deleted": True}
    gone = overlay("files", "retrieve", sent["id"])
    assert gone.returncode == 3
    assert gone.stderr.count("\n") == 1


def test_a_batch_from_start_to_end_step_by_step(overlay, service, file_id, tmp_path):
    made = overlay.json(
        "batches", "create", file_id, "--endpoint", "/v1/chat/completions", "--metadata", "a=b=c"
    )
    assert made["metadata"]["a"] == "b=c"
    assert made["metadata"].keys() == {"a", "overlay"}
    waited = overlay.json("batches", "wait", made["id"], "--poll", "0.1")
    assert waited["status"] == "completed"
    assert overlay.json("batches", "retrieve", made["id"]) == waited
    results = overlay("batches", "results", made["id"], "--requests", "r.jsonl")
    assert results.returncode == 0
    assert [json.loads(line)["custom_id"] for line in results.stdout.splitlines()] == ["id-0", "id-1", "id-2"]
    found = overlay.json("batches", "results", made["id"], "-o", "out.jsonl", "--unordered")
    assert found["results"] == {"total": 3, "ok": 3, "failed": 0, "missing": 0}
    assert sorted((tmp_path / "out.jsonl").read_text().splitlines()) == sorted(results.stdout.splitlines())
    assert service.count("POST", "/batches") == 1


def test_a_batch_is_shown_to_people(overlay, batch_id, file_id):
    shown = dict(
        re.split(r"\s{2,}", line, maxsplit=1)
        for line in overlay("batches", "retrieve", batch_id).stdout.splitlines()
    )
    assert shown["id"] == batch_id
    assert shown["status"] == "completed"
    assert shown["requests"] == "3: 3 completed, 0 failed"
    assert shown["input file"] == file_id


def test_lists_for_people_and_for_machines(overlay, client, file_id):
    made = many(client, file_id, 25)[::-1]
    listed = overlay("batches", "list")
    rows = listed.stdout.splitlines()
    assert rows[0].split() == ["ID", "STATUS", "DONE", "TOTAL", "CREATED", "ENDPOINT"]
    assert [row.split()[0] for row in rows[1:]] == made[:20]
    assert "only the first 20 are shown" in listed.stderr
    every = overlay("--json", "batches", "list", "--all")
    assert [json.loads(line)["id"] for line in every.stdout.splitlines()] == made
    assert every.stderr == ""
    two = overlay("batches", "list", "--json", "--limit", "2", "--after", made[9])
    assert [json.loads(line)["id"] for line in two.stdout.splitlines()] == made[10:12]
    none = overlay("batches", "list", "--json", "--created-before", "2020-01-01")
    assert (none.returncode, none.stdout) == (0, "")
    assert overlay("batches", "list", "--created-after", "yesterday").returncode == 2


def test_cancel_and_wait_for_what_will_not_complete(tmp_path):
    write_requests(tmp_path / "r.jsonl", [Request("a", {"model": "m", "messages": []})])
    with (
        Service(pace=Pace(in_progress=3600)) as service,
        Client(base_url=service.base_url, token="t") as client,
    ):
        file_id = client.files.upload(tmp_path / "r.jsonl").id
        (batch_id,) = many(client, file_id, 1)
        overlay = CommandLine(tmp_path, service.base_url)
        assert overlay.json("batches", "cancel", batch_id)["status"] in {"cancelling", "cancelled"}
        waited = overlay("batches", "wait", batch_id, "--poll", "0.1")
        assert waited.returncode == 1
        assert "cancelled" in waited.stdout
        (other,) = many(client, file_id, 1)
        late = overlay("batches", "wait", other, "--timeout", "0.2", "--poll", "0.1")
        assert late.returncode == 1
        assert late.stderr.splitlines()[-1].startswith("error: ")
        early = overlay("batches", "results", other)
        assert (early.returncode, early.stdout) == (1, "")


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("batches", "retrieve", "batch_none"), 3),
        (("batches", "retrieve", ".."), 2),
        (("batches", "retrieve", "../files"), 2),
        (("batches", "retrieve"), 2),
        (("batches", "create", "file-x"), 2),
        (("batches", "frobnicate"), 2),
        (("files", "upload", "missing"), 2),
        (("files", "upload", "."), 2),
        (("files", "download", "file-none"), 3),
        (("batches", "list", "--limit", "0"), 2),
    ],
)
def test_what_cannot_be_done_is_said_and_has_its_status(overlay, words, status):
    done = overlay(*words)
    assert (done.returncode, done.stdout) == (status, "")
    assert "rror: " in done.stderr


def test_what_a_service_sends_cannot_write_to_the_terminal(overlay, client, tmp_path):
    (tmp_path / "evil").write_text("{}\n")
    client.files.upload(tmp_path / "evil", filename="a[red]b\x1b[2Jc.jsonl")
    shown = overlay("files", "list").stdout
    assert "\x1b" not in shown
    assert "a[red]b" in shown


@pytest.mark.parametrize(
    "noun", [(), ("check",), ("run",), ("serve",), ("batches",), ("batches", "wait"), ("files",)]
)
def test_help(overlay, noun):
    done = overlay(*noun, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: ")
    if not noun:
        assert "Exit status" in done.stdout


def test_progress_of_a_wait_is_on_stderr(overlay, batch_id):
    with overlay.start("batches", "wait", batch_id) as process:
        assert batch_id in lines_until(process.stderr, "completed")
        assert batch_id in process.stdout.read()
