"""What is acknowledged is on the disk; a disk that is full, or damaged, costs no answer but its own."""

import errno
import json
import os
import resource
from functools import partial
from pathlib import Path

import httpx
import pytest
from support.command_line import CommandLine
from support.model_server import ModelServer
from support.service_http import create, creation, http_to, jsonl, results, retrieve, run, until, upload

from overlay.server import ManualClock, Pace, Service
from overlay.server.disk import Disk, Growing, NoRoomError, write_whole


class Sluggish:
    """A file that takes three bytes at a time, and no more than it has room for."""

    def __init__(self, room):
        self.written, self.room = b"", room

    def write(self, data):
        taken = bytes(data[: min(3, self.room - len(self.written))])
        if not taken:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.written += taken
        return len(taken)


def test_a_short_write_is_continued():
    file = Sluggish(room=100)
    write_whole(file, b"0123456789")
    assert file.written == b"0123456789"


def test_what_a_full_disk_refuses_is_an_error():
    with pytest.raises(NoRoomError, match="the disk takes no more: No space left"):
        write_whole(Sluggish(room=5), b"0123456789")


def test_a_file_that_grows_by_lines_is_as_it_was_after_a_refusal(tmp_path, monkeypatch):
    path = tmp_path / "lines"
    path.write_bytes(b"before\n")
    file = Growing(path, Disk(synced=False))

    def half(file, data):
        file.write(data[:2])
        raise NoRoomError(errno.ENOSPC, "full")

    with monkeypatch.context() as full:
        full.setattr("overlay.server.disk.write_whole", half)
        with pytest.raises(NoRoomError):
            file.append(b"one\n")
        assert path.read_bytes() == b"before\n"
    file.append(b"two\n")
    file.close()
    assert path.read_bytes() == b"before\ntwo\n"


@pytest.fixture
def synced(monkeypatch):
    """The paths that were synced, in order."""
    paths, sync = [], os.fsync

    def recorded(descriptor):
        paths.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", recorded)
    return paths


def test_what_is_acknowledged_is_synced_with_its_name_before(tmp_path, synced):
    with Service(state=tmp_path, synced=True) as service, http_to(service) as http:
        assert service._running.app.store.execute("PRAGMA synchronous").fetchone() == (2,)
        synced.clear()
        file = upload(http, jsonl(3))
        content = tmp_path / "files" / file["id"]
        assert synced == [content, content.parent]
        synced.clear()
        batch = until(http, create(http, file))
        kept = tmp_path / "inputs" / batch["id"]
        output = tmp_path / "files" / batch["output_file_id"]
        assert synced[:2] == [kept, kept.parent]
        assert output in synced[2:]
        assert synced.index(output.parent) > synced.index(output)


def test_a_service_of_tests_does_not_wait_for_its_disk(tmp_path, synced):
    with Service(state=tmp_path) as service, http_to(service) as http:
        assert run(http, 3)["status"] == "completed"
    assert synced == []


def test_one_damaged_line_costs_one_line(tmp_path):
    options = {"state": tmp_path, "pace": Pace(in_progress=10), "clock": ManualClock()}
    with Service(**options) as service, http_to(service) as http:
        batch = create(http, upload(http, jsonl(10)))
        service.advance(5)
        assert retrieve(http, batch)["request_counts"]["completed"] == 5
    output = max((tmp_path / "files").iterdir(), key=lambda path: b'"response"' in path.read_bytes())
    written = output.read_bytes().splitlines(keepends=True)
    _damage(output, b'"request_id"')
    _damage(next((tmp_path / "inputs").iterdir()), b"ask r")
    with Service(**options) as service, http_to(service) as http:
        service.advance(20)
        batch = retrieve(http, batch)
        answered = results(http, batch["output_file_id"])
        failed = results(http, batch["error_file_id"]) if batch["error_file_id"] else {}
        assert batch["status"] == "completed"
        assert answered.keys() | failed.keys() == {f"r{number}" for number in range(10)}
        # The first line is answered already, or cannot be read any more.
        assert [each["error"]["code"] for each in failed.values()] in ([], ["server_error"])
        kept = http.get(f"/files/{batch['output_file_id']}/content").content
        assert all(each in kept for each in written[1:])


def _damage(path, after):
    """Break the first line of a file that has these bytes, right behind them."""
    content = bytearray(path.read_bytes())
    place = content.index(after) + len(after)
    content[place : place + 2] = b'\x00"'
    path.write_bytes(content)


def test_a_line_of_the_input_that_cannot_be_read_is_one_failure(tmp_path):
    with Service(state=tmp_path, pace=Pace(in_progress=10)) as service, http_to(service) as http:
        batch = until(http, create(http, upload(http, jsonl(5))), "in_progress")
    _damage(next((tmp_path / "inputs").iterdir()), b"ask r")
    with Service(state=tmp_path) as service, http_to(service) as http:
        batch = until(http, batch)
        assert batch["request_counts"] == {"total": 5, "completed": 4, "failed": 1}
        ((custom_id, failed),) = results(http, batch["error_file_id"]).items()
    assert custom_id == "r0"
    assert failed["error"]["message"].startswith("Line 1 of the input file can no longer be read")


def test_what_a_killed_process_left_is_removed(tmp_path):
    with Service(state=tmp_path, pace=Pace(in_progress=60)) as service, http_to(service) as http:
        batch = until(http, create(http, upload(http, jsonl(2))), "in_progress")
    left = [tmp_path / "inputs" / "batch_of_nobody", tmp_path / "files" / "file.clean"]
    left.append(tmp_path / "inputs" / f"{batch['id']}.filled")
    for each in left:
        each.write_bytes(b"half")
    with Service(state=tmp_path) as service, http_to(service) as http:
        assert not any(each.exists() for each in left)
        assert until(http, batch)["request_counts"]["completed"] == 2


def _serve(tmp_path, model, *options):
    words = ("serve", "--port", "0", "--json", "--state", tmp_path / "state", "--upstream", model.url)
    return CommandLine(tmp_path).start(*words, *options)


def test_a_full_disk_stops_a_batch_which_goes_on_when_there_is_room(tmp_path):
    with ModelServer() as model, _serve(tmp_path, model) as process:
        url = json.loads(process.stdout.readline())["base_url"]
        with httpx.Client(base_url=url, headers={"Authorization": "Bearer any"}) as http:
            file, limit = (
                upload(http, jsonl(1000)),
                partial(resource.prlimit, process.pid, resource.RLIMIT_FSIZE),
            )
            limit((1, resource.RLIM_INFINITY))
            assert _refused(http.post("/batches", json=creation(file)))
            limit((200_000, resource.RLIM_INFINITY))
            batch = until_waiting(http, create(http, file))
            assert batch["errors"]["data"][0]["code"] == "disk_full"
            assert _refused(
                http.post("/files", data={"purpose": "batch"}, files={"file": ("a.jsonl", jsonl(3000))})
            )
            limit((resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            batch = until(http, batch)
            assert batch["request_counts"] == {"total": 1000, "completed": 1000, "failed": 0}
            assert batch["errors"] is None
            assert len(results(http, batch["output_file_id"])) == 1000
            assert [each["id"] for each in http.get("/batches").json()["data"]] == [batch["id"]]
        process.terminate()
        assert process.wait(20) == 0
    assert sum(model.answered.values()) == 1000


def _refused(answer):
    return (answer.status_code, answer.json()["error"]["code"]) == (507, "insufficient_storage")


def until_waiting(http, batch):
    for _ in range(2000):
        batch = retrieve(http, batch)
        if batch["errors"]:
            return batch
        assert batch["status"] in {"validating", "in_progress"}
    raise AssertionError("the disk had room")
