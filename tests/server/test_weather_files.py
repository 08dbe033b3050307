"""Files with weather, as a plain HTTP client sees them: pending, partial, under other ids, cut at a line."""

import json

import httpx
import pytest
from support.service_http import create, creation, http_to, jsonl, line, results, retrieve, run, upload

from overlay.server import (
    ByteOrderMark,
    Cut,
    Drip,
    Gzip,
    ManualClock,
    OtherIds,
    Overwrite,
    Pace,
    Pending,
    Reject,
    Service,
    Traits,
)

PARTIAL = Traits(partial_results=True)


@pytest.fixture
def service():
    with Service(clock=ManualClock()) as service:
        yield service


@pytest.fixture
def http(service):
    with http_to(service) as http:
        yield http


@pytest.fixture
def batch(http):
    """One of five requests, completed."""
    return run(http, 5)


def content(http, file_id):
    answer = http.get(f"/files/{file_id}/content")
    assert answer.status_code == 200
    assert int(answer.headers.get("content-length", len(answer.content))) == len(answer.content)
    return answer.content


def custom_ids(content):
    return [json.loads(each).get("custom_id", "absent") for each in content.splitlines()]


# Pending


def test_a_file_is_pending_for_a_while(service, http):
    service.faults.add("POST /files", Pending(30))
    file, ready = upload(http, jsonl(1)), upload(http, jsonl(1))
    assert (file["status"], ready["status"]) == ("pending", "processed")

    def seen():
        listed = http.get("/files").json()["data"]
        return http.get(f"/files/{file['id']}").json()["status"], [each["status"] for each in listed]

    assert seen() == ("pending", ["processed", "pending"])
    service.advance(29)
    assert seen() == ("pending", ["processed", "pending"])
    service.advance(2)
    assert seen() == ("processed", ["processed", "processed"])


def test_no_batch_of_a_pending_file(service, http):
    service.faults.add("POST /files", Pending(30), times=None)
    file = upload(http, jsonl(1))
    answer = http.post("/batches", json=creation(file))
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "input_file_id")
    assert "pending" in answer.json()["error"]["message"]
    assert service.batches() == []
    service.advance(31)
    create(http, file)


def test_a_batch_of_a_pending_file_by_option(service, http):
    service.faults.add("POST /files", Pending(30, refused=False), times=None)
    file = upload(http, jsonl(1))
    assert file["status"] == "pending"
    batch = create(http, file)
    service.settle()
    assert retrieve(http, batch)["status"] == "completed"


def test_a_pending_file_can_be_read_and_deleted(service, http):
    service.faults.add("POST /files", Pending(30), times=None)
    file = upload(http, jsonl(1))
    assert content(http, file["id"]) == jsonl(1)
    assert http.delete(f"/files/{file['id']}").json()["deleted"]
    assert http.get(f"/files/{file['id']}").status_code == 404


# Partial results


def test_results_are_there_while_the_batch_runs():
    def answer(request):
        if request["custom_id"] in {"r3", "r7"}:
            return 400, {"error": {"message": "no"}}
        return {}

    pace = Pace(in_progress=100, finalizing=10)
    with (
        Service(answer, clock=ManualClock(), pace=pace, traits=PARTIAL) as service,
        http_to(service) as http,
    ):
        batch = create(http, upload(http, jsonl(10)))
        service.advance(5)
        batch = retrieve(http, batch)
        assert (batch["status"], batch["output_file_id"], batch["error_file_id"]) == (
            "in_progress",
            None,
            None,
        )
        seen, before = [], {}
        for _ in range(10):
            service.advance(10)
            batch = retrieve(http, batch)
            found = {**results(http, batch["output_file_id"]), **results(http, batch["error_file_id"])}
            counts = batch["request_counts"]
            assert len(found) == counts["completed"] + counts["failed"]
            assert found.items() >= before.items()
            if output := batch["output_file_id"]:
                file = http.get(f"/files/{output}").json()
                assert file["bytes"] == len(content(http, output))
                assert (file["purpose"], file["filename"]) == ("batch_output", f"{batch['id']}_output.jsonl")
            seen.append((batch["status"], len(found)))
            before = found
        assert seen == [("in_progress", done) for done in range(1, 10)] + [("finalizing", 10)]
        running = batch
        service.advance(10)
        batch = retrieve(http, batch)
        assert batch["status"] == "completed"
        assert {name: batch[name] for name in ("output_file_id", "error_file_id")} == {
            name: running[name] for name in ("output_file_id", "error_file_id")
        }
        assert {**results(http, batch["output_file_id"]), **results(http, batch["error_file_id"])} == before
        assert len(http.get("/files").json()["data"]) == 3


def test_without_the_option_there_are_none():
    with Service(clock=ManualClock(), pace=Pace(in_progress=100)) as service, http_to(service) as http:
        batch = create(http, upload(http, jsonl(10)))
        service.advance(50)
        batch = retrieve(http, batch)
        assert (batch["request_counts"]["completed"], batch["output_file_id"]) == (5, None)


@pytest.mark.parametrize("ending", ["cancelled", "expired", "completed"])
def test_partial_results_become_the_results(tmp_path, ending):
    clock = ManualClock()
    options = {"clock": clock, "pace": Pace(in_progress=86400 * (2 if ending == "expired" else 0.5))}
    with Service(**options, traits=PARTIAL, state=tmp_path) as service, http_to(service) as http:
        policy = {"anchor": "created_at", "seconds": 3600}
        batch = create(http, upload(http, jsonl(8)), output_expires_after=policy)
        service.advance(86400 / 4)
        partial = retrieve(http, batch)["output_file_id"]
        done = results(http, partial)
        assert len(done) == (1 if ending == "expired" else 4)
        file = http.get(f"/files/{partial}").json()
        assert file["expires_at"] is None
    # A service that is started again goes on with the same files.
    with Service(**options, traits=PARTIAL, state=tmp_path) as service, http_to(service) as http:
        assert results(http, partial) == done
        if ending == "cancelled":
            http.post(f"/batches/{batch['id']}/cancel")
        while (batch := retrieve(http, batch))["status"] != ending:
            service.advance(600)
        assert batch["output_file_id"] == partial
        good, bad = results(http, partial), results(http, batch["error_file_id"])
        assert good.items() >= done.items()
        assert len(good) + len(bad) == 8
        assert http.get(f"/files/{partial}").json()["created_at"] == file["created_at"]
        service.advance(3600)
        assert http.get(f"/files/{partial}").status_code == 404


def test_partial_results_that_somebody_deletes():
    pace = Pace(in_progress=100)
    with Service(clock=ManualClock(), pace=pace, traits=PARTIAL) as service, http_to(service) as http:
        batch = create(http, upload(http, jsonl(10)))
        service.advance(50)
        partial = retrieve(http, batch)["output_file_id"]
        assert http.delete(f"/files/{partial}").status_code == 200
        service.advance(100)
        assert retrieve(http, batch)["status"] == "completed"
        assert http.get(f"/files/{partial}").status_code == 404
        assert http.get(f"/files/{partial}/content").status_code == 404


def test_a_batch_that_breaks_keeps_the_answers_that_there_are(monkeypatch, caplog):
    async def broken(live):
        raise RuntimeError

    pace = Pace(in_progress=100, finalizing=10)
    with Service(clock=ManualClock(), pace=pace, traits=PARTIAL) as service, http_to(service) as http:
        batch = create(http, upload(http, jsonl(10)))
        service.advance(50)
        partial = retrieve(http, batch)["output_file_id"]
        assert partial is not None
        lifecycle = service._running.app.engine._lifecycle
        monkeypatch.setitem(lifecycle._steps, "finalizing", broken)
        service.advance(100)
        batch = retrieve(http, batch)
        assert batch["status"] == "failed"
        answers = http.get(f"/files/{batch['output_file_id']}/content").text.splitlines()
        assert 0 < len(answers) <= 10
    assert "cannot go on" in caplog.text


# Lines


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ("null", [None] * 5),
        ("number", [1, 2, 3, 4, 5]),
        ("absent", ["absent"] * 5),
    ],
)
def test_lines_under_other_ids(service, http, batch, to, expected):
    true = content(http, batch["output_file_id"])
    service.faults.add("GET /files/*/content", OtherIds(to))
    shown = content(http, batch["output_file_id"])
    assert custom_ids(shown) == expected
    for before, after in zip(
        map(json.loads, true.splitlines()), map(json.loads, shown.splitlines()), strict=True
    ):
        assert after == {name: after[name] if name == "custom_id" else before[name] for name in after}
        assert before.keys() - after.keys() == ({"custom_id"} if to == "absent" else set())
    assert content(http, batch["output_file_id"]) == true


def test_some_lines_under_changed_ids(service, http, batch):
    true = content(http, batch["output_file_id"])
    service.faults.add("GET /files/*/content", OtherIds("text", every=2))
    shown = content(http, batch["output_file_id"])
    ids = custom_ids(true)
    assert custom_ids(shown) == [
        f"other-{each}" if place % 2 == 0 else each for place, each in enumerate(ids)
    ]
    assert [each in true for each in shown.splitlines(keepends=True)] == [False, True, False, True, False]
    assert shown.endswith(b"\n")


def test_error_files_have_other_ids_too():
    with Service(lambda request: (400, {"error": {}})) as service, http_to(service) as http:
        batch = run(http, 3)
        service.faults.add("GET /files/*/content", OtherIds(), times=None)
        assert custom_ids(content(http, batch["error_file_id"])) == [None] * 3


def test_a_byte_order_mark(service, http, batch):
    true = content(http, batch["output_file_id"])
    service.faults.add("GET /files/*/content", ByteOrderMark())
    assert content(http, batch["output_file_id"]) == b"\xef\xbb\xbf" + true


@pytest.mark.parametrize("effect", [OtherIds(), ByteOrderMark(), Overwrite({"custom_id": 5})])
@pytest.mark.parametrize("given", [jsonl(1), jsonl(2), b"", b"\n", b"text", b"null\n", b"\xff\xfe{}"])
def test_files_that_are_no_results_stay_as_they_are(service, http, effect, given):
    file = upload(http, given, purpose="fine-tune")
    service.faults.add("GET /files/*/content", effect)
    assert content(http, file["id"]) == given


@pytest.mark.parametrize("effect", [OtherIds(), ByteOrderMark()])
def test_a_part_of_a_spoiled_file_is_not_to_be_had(service, http, batch, effect):
    path = f"/files/{batch['output_file_id']}/content"
    assert http.get(path, headers={"Range": "bytes=10-"}).status_code == 206
    service.faults.add("GET /files/*/content", effect, times=2)
    answer = http.get(path, headers={"Range": "bytes=10-"})
    assert answer.status_code == 200
    assert answer.content == content(http, batch["output_file_id"])


def test_spoiled_lines_in_other_trouble(service, http, batch):
    true = content(http, batch["output_file_id"])
    for effect in (Gzip(), Drip(0.0, size=500), ByteOrderMark(), OtherIds("number")):
        service.faults.add("GET /files/*/content", effect)
    answer = http.get(f"/files/{batch['output_file_id']}/content")
    assert answer.content.startswith(b"\xef\xbb\xbf{")
    assert custom_ids(answer.content[3:]) == [1, 2, 3, 4, 5]
    service.faults.add("GET /files/*/content", OtherIds())
    service.faults.add("GET /files/*/content", Reject(410, "gone"))
    answer = http.get(f"/files/{batch['output_file_id']}/content")
    assert (answer.status_code, answer.json()["error"]["message"]) == (410, "gone")
    assert content(http, batch["output_file_id"]) == true


# Cut


def test_a_file_cut_at_a_line_end_without_a_length_looks_whole(service, http, batch):
    true = content(http, batch["output_file_id"])
    service.faults.add("GET /files/*/content", Cut(lines=2, framing="close"), times=None)
    answer = http.get(f"/files/{batch['output_file_id']}/content")
    assert answer.content == b"".join(true.splitlines(keepends=True)[:2])
    assert "content-length" not in answer.headers
    assert answer.headers.get("transfer-encoding") is None
    # The one thing that tells.
    assert http.get(f"/files/{batch['output_file_id']}").json()["bytes"] == len(true)


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_cut_at_a_line_end_is_told_by_other_framings(service, http, batch, framing):
    service.faults.add("GET /files/*/content", Cut(lines=2, framing=framing))
    with pytest.raises(httpx.RemoteProtocolError):
        http.get(f"/files/{batch['output_file_id']}/content")


@pytest.mark.parametrize(("lines", "kept"), [(0, 0), (1, 1), (4, 4), (5, 5), (9, 5)])
def test_lines_are_counted_over_all_pieces_of_a_body(service, http, lines, kept):
    given = jsonl([line(f"r{number}", padding="x" * 700_000) for number in range(5)])
    file = upload(http, given)
    for effect in (Cut(lines=lines, framing="close"), Drip(0.0, size=300_000)):
        service.faults.add("GET /files/*/content", effect)
    answer = http.get(f"/files/{file['id']}/content")
    assert answer.content == b"".join(given.splitlines(keepends=True)[:kept])


def test_a_cut_is_of_bytes_or_of_lines():
    for arguments in ({}, {"after": 1, "lines": 1}):
        with pytest.raises(ValueError, match="one of the two"):
            Cut(**arguments)
