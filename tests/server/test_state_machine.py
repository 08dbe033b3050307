"""The life of a batch: each status at its time, on a clock that the test moves; cancel, expiry, restarts."""

import logging
import threading
from datetime import timedelta

import httpx
import pytest
from support.service_http import (
    ENDPOINT,
    create,
    creation,
    http_to,
    jsonl,
    line,
    results,
    retrieve,
    run,
    until,
    upload,
)

from overlay.server import Fault, Limits, ManualClock, Pace, Reject, Service
from overlay.server.engine import transitions
from overlay.server.engine.store import StateInUseError
from overlay.server.objects import FINAL, STATUSES, Batch

PACE = Pace(validating=10, in_progress=timedelta(minutes=10), finalizing=20, cancelling=30)
TIMES = (
    "in_progress_at",
    "finalizing_at",
    "completed_at",
    "failed_at",
    "expired_at",
    "cancelling_at",
    "cancelled_at",
)


@pytest.fixture(autouse=True)
def nothing_logged(caplog):
    yield
    assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []


def moments(batch):
    """When each status was entered, in seconds after the creation."""
    return {name: batch[name] - batch["created_at"] for name in TIMES if batch[name] is not None}


def paced(**options):
    return Service(clock=ManualClock(), **{"pace": PACE, **options})


def test_the_machine_has_every_status_and_ends_in_the_final_ones():
    following = {status for each in transitions.FOLLOWING.values() for status in each}
    assert following | transitions.FOLLOWING.keys() == set(STATUSES)
    assert FINAL.isdisjoint(transitions.FOLLOWING)
    batch = Batch(
        id="b", endpoint=ENDPOINT, input_file_id="f", completion_window="24h", created_at=0, expires_at=86400
    )
    with pytest.raises(ValueError, match="from validating to completed"):
        transitions.enter(batch, "completed", 1.0)


def test_each_status_at_its_time():
    with paced() as service, http_to(service) as http:
        batch = create(http, upload(http, jsonl(100)))
        assert batch["expires_at"] == batch["created_at"] + 86400
        seen = []
        for step in (9, 2, 30, 300, 275, 10, 600):
            service.advance(step)
            batch = retrieve(http, batch)
            seen.append((batch["status"], batch["request_counts"]["completed"]))
        assert seen == [
            ("validating", 0),
            ("in_progress", 0),
            ("in_progress", 5),
            ("in_progress", 55),
            ("finalizing", 100),
            ("finalizing", 100),
            ("completed", 100),
        ]
        assert moments(batch) == {"in_progress_at": 10, "finalizing_at": 610, "completed_at": 630}


def test_one_jump_passes_every_moment_on_the_way():
    with paced() as service, http_to(service) as http:
        file = upload(http, jsonl(7))
        first = create(http, file)
        service.advance(100)
        second = create(http, file)
        service.advance(86400)
        for batch in (first, second):
            assert moments(retrieve(http, batch)) == {
                "in_progress_at": 10,
                "finalizing_at": 610,
                "completed_at": 630,
            }


def test_a_pace_for_each_line():
    with paced(pace=Pace(per_line=2)) as service, http_to(service) as http:
        batch = create(http, upload(http, jsonl(50)))
        service.advance(51)
        assert retrieve(http, batch)["request_counts"] == {"total": 50, "completed": 25, "failed": 0}
        service.advance(50)
        assert moments(retrieve(http, batch))["completed_at"] == 100


def test_time_that_runs_by_itself():
    pace = Pace(validating=0.05, in_progress=0.1, finalizing=0.05)
    with Service(pace=pace) as service, http_to(service) as http:
        batch = create(http, upload(http, jsonl(10)))
        statuses = [batch["status"]]
        while batch["status"] != "completed":
            batch = retrieve(http, batch)
            if batch["status"] != statuses[-1]:
                statuses.append(batch["status"])
        # A slow machine may miss one of them; none comes out of turn.
        turns = ["validating", "in_progress", "finalizing", "completed"]
        assert statuses == [each for each in turns if each in statuses]
        assert (statuses[0], statuses[-1]) == ("validating", "completed")


def test_a_running_clock_can_be_moved_too():
    with Service(pace=PACE) as service, http_to(service) as http:
        batch = create(http, upload(http, jsonl(10)))
        service.advance(86400)
        assert retrieve(http, batch)["status"] == "completed"


def test_a_clock_that_only_tells_the_time():
    class Watch:
        now = 1000.5

        def time(self):
            return self.now

    watch = Watch()
    with Service(pace=PACE, clock=watch) as service, http_to(service) as http:
        batch = create(http, upload(http, jsonl(10)))
        assert batch["created_at"] == 1000
        for step in (11, 601, 21):
            watch.now += step
            service.settle()
        assert retrieve(http, batch)["status"] == "completed"
        with pytest.raises(TypeError, match="only tells the time"):
            service.advance(1)


def test_expiry_keeps_what_was_answered():
    with paced(limits=Limits(windows=("5m", "24h"))) as service, http_to(service) as http:
        batch = create(http, upload(http, jsonl(100)), completion_window="5m")
        assert batch["expires_at"] == batch["created_at"] + 300
        service.advance(3600)
        batch = retrieve(http, batch)
        assert batch["status"] == "expired"
        assert moments(batch) == {"in_progress_at": 10, "finalizing_at": 300, "expired_at": 320}
        good, bad = results(http, batch["output_file_id"]), results(http, batch["error_file_id"])
        assert (len(good), len(bad)) == (48, 52)
        assert good.keys() | bad.keys() == {f"r{number}" for number in range(100)}
        for each in bad.values():
            assert each["response"] is None
            assert each["error"]["code"] == "batch_expired"
            assert each["error"]["message"]
        assert batch["request_counts"] == {"total": 100, "completed": 48, "failed": 52}


def test_expiry_before_any_answer():
    with paced(limits=Limits(windows=("5s",))) as service, http_to(service) as http:
        batch = create(http, upload(http, jsonl(3)), completion_window="5s")
        service.advance(3600)
        batch = retrieve(http, batch)
        assert (batch["status"], batch["output_file_id"]) == ("expired", None)
        assert len(results(http, batch["error_file_id"])) == 3


def test_expiry_while_an_answer_is_awaited():
    async def never(request):
        await asyncio_sleep(3600)

    from asyncio import sleep as asyncio_sleep  # noqa: PLC0415

    with Service(never, limits=Limits(windows=("1s",))) as service, http_to(service) as http:
        batch = until(http, create(http, upload(http, jsonl(3)), completion_window="1s"))
        assert batch["status"] == "expired"
        assert len(results(http, batch["error_file_id"])) == 3


def test_cancel_keeps_what_was_answered():
    with paced() as service, http_to(service) as http:
        batch = create(http, upload(http, jsonl(100)))
        service.advance(10 + 300)
        answer = http.post(f"/batches/{batch['id']}/cancel")
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelling")
        assert http.post(f"/batches/{batch['id']}/cancel").json()["status"] == "cancelling"
        service.advance(29)
        assert retrieve(http, batch)["status"] == "cancelling"
        service.advance(1)
        batch = retrieve(http, batch)
        assert moments(batch) == {"in_progress_at": 10, "cancelling_at": 310, "cancelled_at": 340}
        good, bad = results(http, batch["output_file_id"]), results(http, batch["error_file_id"])
        assert (len(good), len(bad)) == (50, 50)
        assert {each["error"]["code"] for each in bad.values()} == {"batch_cancelled"}
        assert good.keys().isdisjoint(bad)


def test_cancel_while_validating_leaves_no_files():
    with paced() as service, http_to(service) as http:
        batch = create(http, upload(http, jsonl(5)))
        http.post(f"/batches/{batch['id']}/cancel")
        service.advance(100)
        batch = retrieve(http, batch)
        assert moments(batch) == {"cancelling_at": 0, "cancelled_at": 30}
        assert (batch["output_file_id"], batch["error_file_id"]) == (None, None)


def test_cancel_at_once_and_often():
    """Wherever in its life a cancel meets a batch, the batch ends, and its lines are all there or none is."""
    with Service() as service, http_to(service) as http:
        file = upload(http, jsonl(200))
        batches = []
        for _ in range(30):
            batches.append(create(http, file))
            http.post(f"/batches/{batches[-1]['id']}/cancel")
        service.settle()
        for each in batches:
            batch = retrieve(http, each)
            assert batch["status"] in {"cancelled", "completed"}
            lines = len(results(http, batch["output_file_id"])) + len(results(http, batch["error_file_id"]))
            assert lines == batch["request_counts"]["total"]
            assert lines in {0, 200}


@pytest.mark.parametrize(("lines", "status"), [([line("a")], "completed"), ([{}], "failed")])
def test_cancel_of_what_has_ended_is_a_conflict(lines, status):
    with Service() as service, http_to(service) as http:
        batch = run(http, lines)
        assert batch["status"] == status
        answer = http.post(f"/batches/{batch['id']}/cancel")
        assert answer.status_code == 409
        assert batch["status"] in answer.json()["error"]["message"]
        assert http.post("/batches/batch_none/cancel").status_code == 404


def test_failed_lines_are_in_the_error_file():
    def answer(request):
        number = int(request["custom_id"][1:])
        if number % 5 == 0:
            return 429, {
                "error": {"message": "slow down", "type": "requests", "param": None, "code": "limit"}
            }
        if number % 5 == 1:
            raise RuntimeError("went wrong")
        return {"echo": request["body"]["messages"]}

    with Service(answer) as service, http_to(service) as http:
        batch = run(http, 20)
        assert batch["status"] == "completed"
        assert batch["request_counts"] == {"total": 20, "completed": 12, "failed": 8}
        good, bad = results(http, batch["output_file_id"]), results(http, batch["error_file_id"])
        assert (len(good), len(bad)) == (12, 8)
        assert bad["r5"]["response"]["status_code"] == 429
        assert bad["r5"]["response"]["body"]["error"]["message"] == "slow down"
        assert bad["r5"]["error"] is None
        assert bad["r6"]["response"]["status_code"] == 500
        assert "went wrong" in bad["r6"]["response"]["body"]["error"]["message"]


def test_a_batch_of_failures_has_no_output_file():
    with Service(lambda request: (400, {"error": {}})) as service, http_to(service) as http:
        batch = run(http, 3)
        assert (batch["status"], batch["output_file_id"]) == ("completed", None)
        assert len(results(http, batch["error_file_id"])) == 3


def test_an_answer_that_is_no_json_is_a_failed_line():
    with Service(lambda request: {"x": object()}) as service, http_to(service) as http:
        batch = run(http, 1)
        assert results(http, batch["error_file_id"])["r0"]["response"]["status_code"] == 500


def test_async_answers_run_together():
    waiting = threading.Semaphore(0)

    async def answer(request):
        import asyncio  # noqa: PLC0415

        waiting.release()
        for _ in range(2000):
            if together.is_set():
                return {"id": request["custom_id"]}
            await asyncio.sleep(0.005)
        raise TimeoutError

    together = threading.Event()
    with Service(answer) as service, http_to(service) as http:
        batch = create(http, upload(http, jsonl(10)))
        assert all(waiting.acquire(timeout=20) for _ in range(10))
        together.set()
        assert until(http, batch)["request_counts"]["completed"] == 10


def test_what_the_answer_is_given():
    seen = []
    with Service(lambda request: seen.append(request) or {}) as service, http_to(service) as http:
        run(http, [line("a", temperature=0.5)])
        assert seen == [line("a", temperature=0.5)]


@pytest.mark.parametrize("after", [0, 5, 11, 200, 611, 625])
@pytest.mark.parametrize("ending", ["completed", "cancelled", "expired"])
def test_a_restart_goes_on(tmp_path, after, ending):
    clock = ManualClock()
    asked = []

    def answer(request):
        asked.append(request["custom_id"])
        return {"usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}}

    limits = Limits(windows=("5m",) if ending == "expired" else ("24h",))
    options = {"state": tmp_path, "clock": clock, "pace": PACE, "limits": limits}
    service = Service(answer, **options)
    with service, http_to(service) as http:
        file = upload(http, jsonl(100))
        batch = create(http, file, metadata={"k": "v"}, completion_window=limits.windows[0])
        service.advance(after)
        before = retrieve(http, batch)
        if ending == "cancelled" and after < 600:
            http.post(f"/batches/{batch['id']}/cancel")
    with service, http_to(service) as http:
        if ending != "cancelled":
            assert retrieve(http, batch)["status"] == before["status"]
        service.advance(86400)
        batch = retrieve(http, batch)
        expected = "completed" if ending == "cancelled" and after > 600 else ending
        assert batch["status"] == expected
        assert batch["metadata"] == {"k": "v"}
        good, bad = results(http, batch["output_file_id"]), results(http, batch["error_file_id"])
        assert len(asked) == len(set(asked)) == len(good)
        assert batch["usage"] is None or batch["usage"]["total_tokens"] == 3 * len(good)
        counts = batch["request_counts"]
        assert (counts["completed"], counts["failed"]) == (len(good), len(bad))
        assert len(good) + len(bad) == counts["total"]
        assert http.get(f"/files/{file['id']}/content").content == jsonl(100)
        assert [each["id"] for each in http.get("/batches").json()["data"]] == [batch["id"]]


def test_a_torn_last_line_is_written_again(tmp_path):
    options = {"state": tmp_path, "clock": ManualClock(), "pace": PACE}
    with Service(**options) as service, http_to(service) as http:
        batch = create(http, upload(http, jsonl(100)))
        service.advance(310)
    (output,) = [each for each in (tmp_path / "files").iterdir() if b"batch_req" in each.read_bytes()]
    output.write_bytes(output.read_bytes()[:-20])
    with Service(**options) as service, http_to(service) as http:
        service.advance(86400)
        batch = retrieve(http, batch)
        assert len(results(http, batch["output_file_id"])) == 100
        assert batch["request_counts"]["completed"] == 100


def test_two_services_on_one_folder(tmp_path):
    with Service(state=tmp_path), pytest.raises(StateInUseError), Service(state=tmp_path):
        pass
    with Service(state=tmp_path):
        pass


def test_a_stopped_service_refuses_connections_and_comes_back(tmp_path):
    service = Service(state=tmp_path)
    with service, http_to(service) as http:
        batch = run(http, 2)
        service.stop()
        with pytest.raises(httpx.TransportError):
            http.get("/batches")
        with pytest.raises(RuntimeError, match="not running"):
            service.batches()
        service.start()
        assert retrieve(http, batch) == batch


def test_output_files_expire_when_asked_to():
    with paced() as service, http_to(service) as http:
        policy = {"anchor": "created_at", "seconds": 3600}
        batch = create(http, upload(http, jsonl(2)), output_expires_after=policy)
        service.advance(1000)
        batch = retrieve(http, batch)
        file = http.get(f"/files/{batch['output_file_id']}").json()
        assert file["expires_at"] == file["created_at"] + 3600 == batch["completed_at"] + 3600
        assert (file["purpose"], file["filename"]) == ("batch_output", f"{batch['id']}_output.jsonl")
        service.advance(3600)
        assert http.get(f"/files/{file['id']}/content").status_code == 404


def test_a_deleted_input_does_not_stop_a_batch_that_has_it():
    with paced() as service, http_to(service) as http:
        file = upload(http, jsonl(5))
        batch = create(http, file)
        http.delete(f"/files/{file['id']}")
        service.advance(1000)
        assert retrieve(http, batch)["request_counts"]["completed"] == 5


def test_nothing_is_left_behind(tmp_path):
    with Service(state=tmp_path) as service, http_to(service) as http:
        file = upload(http, jsonl(5))
        batch = until(http, create(http, file))
        http.post("/files", data={"purpose": "nonsense"}, files={"file": b"x" * 1000})
        http.post("/files", content=b"--b", headers={"Content-Type": "multipart/form-data; boundary=b"})
        http.delete(f"/files/{file['id']}")
        http.delete(f"/files/{batch['output_file_id']}")
        service.settle()
        assert list((tmp_path / "files").iterdir()) == []
        assert list((tmp_path / "inputs").iterdir()) == []


def test_what_a_killed_process_left_is_swept_up(tmp_path):
    options = {"state": tmp_path, "clock": ManualClock(), "pace": PACE}
    with Service(**options) as service, http_to(service) as http:
        kept = upload(http, jsonl(5))
        batch = create(http, kept)
        service.advance(300)
        (tmp_path / "files" / "file-half").write_bytes(b"half an upload")
    with Service(**options) as service, http_to(service) as http:
        names = {each.name for each in (tmp_path / "files").iterdir()}
        assert "file-half" not in names
        assert kept["id"] in names
        service.advance(1000)
        assert len(results(http, retrieve(http, batch)["output_file_id"])) == 5


def test_a_service_ends_while_an_answer_blocks():
    begun, hold = threading.Event(), threading.Event()

    def answer(request):
        begun.set()
        hold.wait(20)
        return {}

    with Service(answer) as service, http_to(service) as http:
        create(http, upload(http, jsonl(2)))
        assert begun.wait(20)
    assert not hold.is_set()
    hold.set()


def test_faults_from_the_start():
    fault = Fault("GET /batches", Reject(503))
    with Service(faults=[fault]) as service, http_to(service) as http:
        assert [http.get("/batches").status_code for _ in range(2)] == [503, 200]


def test_large_batches_move_in_portions(tmp_path):
    """A thousand lines and one answer at a time: counts move while it runs, and a cancel stops it."""
    hold = threading.Event()
    started = threading.Semaphore(0)

    def answer(request):
        started.release()
        hold.wait(20)
        return {}

    with Service(answer) as service, http_to(service) as http:
        batch = create(http, upload(http, jsonl(1000)))
        assert started.acquire(timeout=20)
        http.post(f"/batches/{batch['id']}/cancel")
        hold.set()
        batch = until(http, batch)
        assert batch["status"] == "cancelled"
        assert batch["request_counts"]["completed"] < 1000
        assert (
            len(results(http, batch["error_file_id"])) + len(results(http, batch["output_file_id"])) == 1000
        )


def test_metadata_and_unknown_batches():
    with Service() as service, http_to(service) as http:
        file = upload(http, jsonl(1))
        assert create(http, file)["metadata"] is None
        assert create(http, file, metadata={})["metadata"] == {}
        answer = http.get("/batches/batch_none")
        assert answer.status_code == 404
        assert "batch_none" in answer.json()["error"]["message"]
    with Service(limits=Limits(unknown_files="refused")) as service, http_to(service) as http:
        assert http.post("/batches", json=creation({"id": "file-none"})).json()["error"]["code"] is None
