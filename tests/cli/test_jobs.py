"""`overlay jobs …`, as processes, against the embedded service."""

import json
import shutil
import signal
import subprocess
import sys

import pytest
from support.command_line import CANARY, OVERLAY, CommandLine, lines_until

from overlay import Client, Request, write_requests
from overlay.server import Literally, Pace, Service

COUNT = 12
SOON = ("--poll", "0.1")
IDS = [f"id-{number}" for number in range(COUNT)]


@pytest.fixture
def service():
    with Service(tokens=CANARY, pace=Pace(in_progress=3600)) as service:
        yield service


@pytest.fixture
def overlay(tmp_path, service):
    write_requests(tmp_path / "r.jsonl", (Request(name, {"model": "m", "messages": []}) for name in IDS))
    return CommandLine(tmp_path, service.base_url)


@pytest.fixture
def job_id(overlay):
    """A job that was stopped while its only batch is at work."""
    with overlay.start("run", "r.jsonl", "-o", "out.jsonl", *SOON) as process:
        lines_until(process.stderr, "created")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 130
    (line,) = overlay("jobs", "list", "--json").stdout.splitlines()
    return json.loads(line)["id"]


def custom_ids(text):
    return [json.loads(line)["custom_id"] for line in text.splitlines()]


def test_a_stopped_job_is_listed_shown_resumed_and_read(overlay, service, job_id, tmp_path):
    header, row = overlay("jobs", "list").stdout.splitlines()
    assert header.split()[:2] == ["ID", "STATE"]
    assert row.split()[:2] == [job_id, "open"]
    shown = overlay("jobs", "show", job_id).stdout
    assert service.batches()[0]["id"] in shown
    assert f"{COUNT}" in shown
    early = overlay("jobs", "results", job_id)
    assert (early.returncode, early.stdout) == (1, "")
    late = overlay("jobs", "resume", job_id, "--timeout", "0.3", *SOON)
    assert late.returncode == 1
    assert f"overlay jobs resume {job_id}" in late.stderr
    service.advance(3600)
    assert overlay("jobs", "resume", job_id, *SOON).returncode == 0
    assert custom_ids(overlay("jobs", "results", job_id).stdout) == IDS
    found = overlay.json("jobs", "results", job_id, "-o", "out.jsonl")
    assert (found["job"]["ok"], found["job"]["failed"]) == (COUNT, 0)
    assert custom_ids((tmp_path / "out.jsonl").read_text()) == IDS
    assert service.count("POST", "/batches") == 1


def test_the_same_run_again_goes_on(overlay, service, job_id, tmp_path):
    service.advance(3600)
    done = overlay("run", "r.jsonl", "-o", "out.jsonl", *SOON)
    assert done.returncode == 0
    assert "nothing is paid for twice" in done.stderr
    assert custom_ids((tmp_path / "out.jsonl").read_text()) == IDS
    assert service.count("POST", "/batches") == 1


def test_answers_that_lost_their_ids_are_matched_by_order(overlay, service, job_id, tmp_path):
    service.advance(3600)
    with Client(base_url=service.base_url, token=CANARY) as client:
        (batch,) = client.batches.list()
        answers = [
            json.loads(result.raw) | {"custom_id": None} for result in client.batches.results(batch.id)
        ]
    content = "".join(json.dumps(answer) + "\n" for answer in answers)
    service.faults.add("GET /files/*/content", Literally(content, media_type="application/jsonl"), times=None)
    stopped = overlay("jobs", "resume", job_id, *SOON)
    assert stopped.returncode == 3
    assert f"overlay jobs resume {job_id} --match order" in stopped.stderr
    again = overlay("run", "r.jsonl", "-o", "out.jsonl", *SOON)
    assert again.returncode == 3
    assert not (tmp_path / "out.jsonl").exists()
    done = overlay("run", "r.jsonl", "-o", "out.jsonl", "--match", "order", *SOON)
    assert done.returncode == 0
    assert custom_ids((tmp_path / "out.jsonl").read_text()) == IDS
    assert service.count("POST", "/batches") == 1


def test_results_of_a_job_whose_answers_lost_their_ids(overlay, service, job_id):
    service.advance(3600)
    with Client(base_url=service.base_url, token=CANARY) as client:
        (batch,) = client.batches.list()
        answers = [
            json.loads(result.raw) | {"custom_id": None} for result in client.batches.results(batch.id)
        ]
    content = "".join(json.dumps(answer) + "\n" for answer in answers)
    service.faults.add(f"GET /files/{batch.output_file_id}/content", Literally(content), times=None)
    assert custom_ids(overlay("jobs", "results", job_id, "--match", "order").stdout) == IDS
    assert overlay("batches", "results", batch.id).returncode == 3
    assert custom_ids(overlay("batches", "results", batch.id, "--match", "order").stdout) == IDS


def test_cancelled(overlay, service, job_id):
    assert overlay("jobs", "cancel", job_id).returncode == 0
    service.settle()
    assert [each["status"] for each in service.batches()] == ["cancelled"]
    resumed = overlay("jobs", "resume", job_id, *SOON)
    assert resumed.returncode == 1
    assert overlay.json("jobs", "show", job_id)["cancelled"] is True


def test_only_an_ended_job_is_deleted(overlay, service, job_id):
    refused = overlay("jobs", "delete", job_id)
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    service.advance(3600)
    assert overlay("jobs", "resume", job_id, *SOON).returncode == 0
    assert overlay("jobs", "delete", job_id, "--files").returncode == 0
    assert overlay("jobs", "list", "--json").stdout == ""
    assert "input" not in overlay("files", "list").stdout
    assert overlay("jobs", "show", job_id).returncode == 2


def test_a_home_that_is_gone_is_recovered(overlay, service, job_id, tmp_path):
    shutil.rmtree(overlay.env["OVERLAY_HOME"])
    refused = overlay("run", "r.jsonl", "-o", "out.jsonl")
    assert refused.returncode == 4
    # A new home folder is another one: what it does not know to be its own is brought back by name.
    assert f"overlay jobs recover {job_id}" in refused.stderr
    assert "no job needs to be recovered" in overlay("jobs", "recover").stderr
    assert overlay("jobs", "recover", job_id).returncode == 0
    service.advance(3600)
    assert overlay("run", "r.jsonl", "-o", "out.jsonl", *SOON).returncode == 0
    assert custom_ids((tmp_path / "out.jsonl").read_text()) == IDS
    assert service.count("POST", "/batches") == 1


def test_nothing_is_left_to_clean(overlay, job_id):
    done = overlay("jobs", "clean", "--json")
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("verb", ["show", "resume", "cancel", "results", "delete"])
def test_an_unknown_job(overlay, verb):
    done = overlay("jobs", verb, "no-such-job")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no-such-job" in done.stderr


def test_old_jobs_are_pruned_and_what_each_takes_is_shown(overlay, service, job_id, tmp_path):
    (row,) = overlay("jobs", "list", "--json").stdout.splitlines()
    assert json.loads(row)["disk_bytes"] > 4096
    assert "DISK" in overlay("jobs", "list").stdout.splitlines()[0]
    assert "kB" in overlay("jobs", "show", job_id).stdout
    assert "no job ended" in overlay("jobs", "prune", "--older-than", "0.001s").stderr
    service.advance(3600)
    assert overlay("jobs", "resume", job_id, *SOON).returncode == 0
    assert "no job ended" in overlay("jobs", "prune", "--older-than", "1h").stderr
    shown = overlay("jobs", "prune", "--older-than", "0.001s", "--dry-run")
    assert job_id in shown.stdout
    assert "1 jobs can be removed" in shown.stderr
    assert job_id in overlay("jobs", "prune", "--older-than", "0.001s").stdout
    assert overlay("jobs", "list", "--json").stdout == ""


def test_much_that_jobs_take_is_mentioned(overlay, job_id, tmp_path):
    assert "prune" not in overlay("jobs", "list").stderr
    lowered = "import overlay.cli.job_tables as j; j._MUCH_BYTES = 1000; " + OVERLAY[2]
    done = subprocess.run(
        [sys.executable, "-c", lowered, "jobs", "list"],
        env=overlay.env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "warning: jobs take" in done.stderr
    assert "overlay jobs prune --older-than 30d" in done.stderr
