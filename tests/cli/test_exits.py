"""The ways out of every state from a shell, and advice that is true of the job as it is."""

import json
import time

import pytest
from support.command_line import CANARY, CommandLine

from overlay import Client, FileGoneError, Limits, NotFoundError, Request, write_requests
from overlay.cli import output
from overlay.cli.columns import Column
from overlay.server import Reject, Reset, Service

IDS = [f"id-{number}" for number in range(4)]
REQUESTS = [Request(name, {"model": "m", "messages": []}) for name in IDS]
SOON = ("--poll", "0.1")


class Clock:
    """The service's time, which can be later than ours."""

    later = 0.0

    def time(self):
        return time.time() + self.later


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def service(clock):
    with Service(tokens=CANARY, clock=clock) as service:
        yield service


@pytest.fixture
def overlay(tmp_path, service):
    write_requests(tmp_path / "r.jsonl", REQUESTS)
    return CommandLine(tmp_path, service.base_url)


@pytest.fixture
def client(tmp_path, service):
    with Client(token=CANARY, base_url=service.base_url, home=tmp_path / "home", max_retries=0) as client:
        yield client


@pytest.fixture
def stuck(client, clock):
    """A job of two shards; the results of the first are gone."""
    client.jobs.submit(REQUESTS, id="j", limits=Limits(requests=2))
    first, _ = [client.batches.wait(shard.batch_id) for shard in client.jobs.retrieve("j").shards]
    client.files.delete(first.output_file_id)
    clock.later = 3_600.0  # no file appears so long after the end of its batch
    with pytest.raises(FileGoneError):
        client.jobs.wait("j", poll=0.1)


def lines(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


def codes(done):
    return [line["error"] and line["error"]["code"] for line in lines(done)]


def test_a_stuck_job_says_how_to_go_on(overlay, stuck):
    done = overlay("jobs", "resume", "j", *SOON)
    assert done.returncode == 3
    assert "overlay jobs give-up j --shard 1" in done.stderr
    assert "overlay jobs send-again j --shard 1" in done.stderr
    assert "no batch of job j is running at the service; resume with: overlay jobs resume j" in done.stderr
    shown = overlay("jobs", "show", "j").stdout
    assert "last error" in shown
    assert "shard 1 stuck" in shown
    assert overlay.json("jobs", "show", "j")["shards"][0]["trouble"] == "stuck"


def test_what_is_answered_so_far_is_written(overlay, stuck, tmp_path):
    early = overlay("jobs", "results", "j")
    assert early.returncode == 1
    partial = overlay("jobs", "results", "j", "--partial")
    assert partial.returncode == 1
    assert [line["custom_id"] for line in lines(partial)] == IDS
    assert codes(partial) == ["not_yet", "not_yet", None, None]
    assert "2 not yet answered" in partial.stderr
    found = overlay.json("jobs", "results", "j", "--partial", "-o", "so-far.jsonl")
    assert found["results"] == {"total": 4, "ok": 2, "failed": 0, "not_yet": 2}


def test_given_up(overlay, stuck):
    done = overlay("jobs", "give-up", "j", "--shard", "1")
    assert done.returncode == 1
    assert "jobs results j" in done.stderr
    assert codes(overlay("jobs", "results", "j")) == ["given_up", "given_up", None, None]
    assert overlay("jobs", "give-up", "j", "--shard", "7").returncode == 2


def test_sent_again(overlay, stuck, service):
    assert overlay("jobs", "send-again", "j").returncode == 0
    assert service.count("POST", "/batches") == 3
    assert overlay("jobs", "resume", "j", *SOON).returncode == 0
    assert codes(overlay("jobs", "results", "j")) == [None] * 4


def test_a_create_unanswered_whose_file_is_gone(overlay, client, service):
    service.faults.add("POST /batches", Reset())
    service.faults.add("DELETE /files/*", Reject(404))
    with pytest.raises(NotFoundError, match="give-up k --shard 1"):
        client.jobs.submit(REQUESTS, id="k", grace=0.1)
    refused = overlay("jobs", "delete", "k")
    assert refused.returncode == 1
    assert "by force" in refused.stderr
    assert overlay("jobs", "cancel", "k").returncode == 0
    forced = overlay("jobs", "delete", "k", "--force")
    assert forced.returncode == 0
    assert overlay("jobs", "list", "--json").stdout == ""


def test_deleted_by_force_names_what_stays(overlay, client):
    client.jobs.submit(REQUESTS, id="k")
    file_id = client.batches.retrieve(client.jobs.retrieve("k").shards[0].batch_id).input_file_id
    done = overlay("jobs", "delete", "k", "--force")
    assert done.stdout.split() == [file_id]


def test_a_file_that_is_refused_ends_as_failed_and_is_run_anew_when_that_is_mended(overlay, service):
    service.faults.add("POST /batches", Reject(400, message="no such model"))
    done = overlay("run", "r.jsonl", "-o", "out.jsonl", *SOON)
    assert done.returncode == 3
    assert "no such model" in done.stderr
    assert "ended as failed" in done.stderr
    assert "nothing ran" in done.stderr
    assert "keep running" not in done.stderr
    (row,) = lines(overlay("jobs", "list", "--json"))
    assert (row["state"], row["failed"]) == ("failed", 4)
    resumed = overlay("jobs", "resume", row["id"])
    assert resumed.returncode == 1
    assert "no such model" in resumed.stdout
    assert codes(overlay("jobs", "results", row["id"])) == ["batch_failed"] * 4
    again = overlay("run", "r.jsonl", "-o", "out.jsonl", *SOON)
    assert again.returncode == 0
    assert "once more" in again.stderr
    assert service.count("POST", "/batches") == 2


def test_advice_is_true(overlay, service):
    nope = overlay("jobs", "resume", "nope")
    assert nope.returncode == 2
    assert nope.stderr.count("\n") == 1
    service.faults.add("POST /files", Reject(403))
    done = overlay("run", "r.jsonl", "-o", "out.jsonl", *SOON)
    assert done.returncode == 3
    assert "no batch of job" in done.stderr
    assert "keep running" not in done.stderr
    assert overlay("run", "r.jsonl", "-o", "out.jsonl", *SOON).returncode == 0
    ended = overlay("run", "r.jsonl", "-o", "out.jsonl", *SOON)
    assert "has ended" in ended.stderr
    assert "continuing" not in ended.stderr


def test_what_cannot_be_read_is_left_out_of_lists_and_said(overlay, client, tmp_path):
    for name in ("a", "b"):
        client.jobs.submit(REQUESTS, id=name)
    (tmp_path / "home" / "jobs" / "a" / "ledger.db").write_bytes(b"x")
    done = overlay("jobs", "list", "--json")
    assert done.returncode == 0
    assert [line["id"] for line in lines(done)] == ["b"]
    assert "a is left out" in done.stderr
    client.batches.create(
        input_file_id=client.batches.retrieve(client.jobs.retrieve("b").shards[0].batch_id).input_file_id,
        endpoint="/v1/chat/completions",
        metadata={"overlay_job": "c", "overlay_shard": "99", "overlay_generation": "7"},
    )
    recovered = overlay("jobs", "recover", "--json")
    assert recovered.returncode == 0
    assert [line["id"] for line in lines(recovered)] == ["a"]
    assert overlay("jobs", "recover", "--json").stdout == ""
    assert overlay("jobs", "recover", "c").returncode != 0


def test_one_odd_object_does_not_end_a_list(capsysbinary):
    output.listing(
        ["1", "odd", "3"], [Column("NUMBER")], lambda item: (str(int(item)),), most=None, as_json=False
    )
    output.finish()
    written, said = capsysbinary.readouterr()
    assert written.split() == [b"NUMBER", b"1", b"3"]
    assert b"left out" in said
