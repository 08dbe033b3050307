"""What goes wrong at several places at once still makes one batch of a shard, and leaves nothing lying about."""

import os
import time

import pytest
from support.calling import TOKEN, somebody_creates

from overlay import APIConnectionError, Client, PermissionDeniedError, Request
from overlay.server import Accept, Pace, Reject, Reset, Service

REQUESTS = [Request(f"r{number}", {"model": "m", "messages": []}) for number in range(3)]


@pytest.fixture
def service():
    with Service(pace=Pace(in_progress=0.5)) as service:
        yield service


@pytest.fixture
def client(service, tmp_path):
    with Client(token=TOKEN, base_url=service.base_url, home=tmp_path, max_retries=0) as client:
        yield client


def create_unanswered(client, service):
    """A batch was made, and neither its answer nor the list came through."""
    service.faults.add("POST /batches", Accept(then=Reset()))
    service.faults.add("GET /batches", Reject(403))
    with pytest.raises(PermissionDeniedError):
        client.jobs.submit(REQUESTS, id="j", grace=1)
    assert client.jobs.retrieve("j").shards[0].state == "creating"


def test_a_refused_list_does_not_turn_an_unanswered_create_into_a_refused_one(client, service):
    create_unanswered(client, service)
    client.jobs.submit(REQUESTS, id="j", grace=1)
    assert client.jobs.wait("j", poll=0.05).ok == 3
    assert len(service.batches()) == 1


def test_a_second_batch_is_cancelled_before_the_first_counts_as_created(client, service):
    """Or a crash between the two would leave both of them running."""
    create_unanswered(client, service)
    (first,) = service.batches()
    somebody_creates(service, first["input_file_id"], first["metadata"])  # a proxy that repeats requests
    service.faults.add("POST /batches/*/cancel", Reset())
    with pytest.raises(APIConnectionError):
        client.jobs.submit(REQUESTS, id="j")
    client.jobs.submit(REQUESTS, id="j")
    job = client.jobs.wait("j", poll=0.05)
    assert (job.ok, job.duplicates_cancelled) == (3, 1)
    assert [batch["status"] for batch in service.batches()] == ["cancelled", "completed"]


def test_what_a_dead_process_left_half_written_is_put_away(client, tmp_path):
    folder = tmp_path / "jobs" / "j"
    client.jobs.submit(REQUESTS, id="j")
    for name in ("shards/.0123456789abcdef.part", ".fetched-00001-0-output.jsonl.file-1.part"):
        (folder / name).write_bytes(b"{")
    assert client.jobs.wait("j", poll=0.05).ok == 3
    assert {path.name for path in folder.rglob("*") if path.is_file()} == {
        "ledger.db",
        "lock",
        "00001-0.jsonl",
        "00001.jsonl",
    }


def test_a_deleted_job_stays_deleted_and_does_not_stand_in_the_way_of_recovering_others(client, tmp_path):
    for job_id in ("a", "b"):
        client.jobs.submit(REQUESTS, id=job_id)
        client.jobs.wait(job_id, poll=0.05)
    client.jobs.delete("a", files=True)
    (tmp_path / "jobs" / "b" / "ledger.db").write_bytes(b"This was a ledger." * 100)
    assert [job.id for job in client.jobs.recover()] == ["b"]
    assert client.jobs.wait("b", poll=0.05).ok == 3
    assert [job.id for job in client.jobs.list()] == ["b"]


def test_folders_of_requests_that_came_in_too_late_for_their_process_go(client, tmp_path):
    for name, age in (("0123456789abcdef", 0), (".0123456789abcdef", 7200), (".new", 0)):
        folder = tmp_path / "spool" / name
        folder.mkdir(parents=True)
        (folder / "spooling").touch()
        os.utime(folder, (time.time() - age,) * 2)
    client.jobs.submit(REQUESTS, id="j")
    assert [path.name for path in (tmp_path / "spool").iterdir()] == [".new"]
    (tmp_path / "jobs" / "j" / "spooling").touch()  # it died just after it gave the job its name
    client.jobs.wait("j", poll=0.05)
    assert not (tmp_path / "jobs" / "j" / "spooling").exists()
