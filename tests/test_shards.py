"""Creates that go wrong in more than one way at once still make one batch of a shard."""

import pytest
from harness import TOKEN

from overlay import APIConnectionError, Client, Request
from overlay.emulator import Accept, Reject, Reset

REQUESTS = [Request(f"r{number}", {"model": "m", "messages": []}) for number in range(3)]


@pytest.fixture
def client(service, tmp_path):
    with Client(token=TOKEN, base_url=service.base_url, home=tmp_path) as client:
        yield client


def test_a_refused_list_does_not_turn_an_unanswered_create_into_a_refused_one(client, service):
    service.faults.add("POST /batches", Accept(then=Reset()))
    service.faults.add("GET /batches", Reject(403))
    with pytest.raises(APIConnectionError):
        client.jobs.submit(REQUESTS, id="j", grace=1)
    assert client.jobs.retrieve("j").shards[0].state == "creating"
    client.jobs.submit(REQUESTS, id="j", grace=1)
    assert client.jobs.wait("j", poll=0.05).ok == 3
    assert len(service.batches()) == 1


def test_what_a_dead_process_left_half_written_is_put_away(client, tmp_path):
    folder = tmp_path / "jobs" / "j"
    client.jobs.submit(REQUESTS, id="j")
    for name in ("shards/.0123456789abcdef.part", ".fetched-00001-0-output.jsonl.file-1.part"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"{")
    assert client.jobs.wait("j", poll=0.05).ok == 3
    assert {path.name for path in folder.rglob("*") if path.is_file()} == {
        "ledger.db",
        "lock",
        "00001-0.jsonl",
        "00001.jsonl",
    }
