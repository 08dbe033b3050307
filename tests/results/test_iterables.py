"""The results of a batch, whatever became of it: joined in the requests' order, or as the files have them."""

import json

import pytest
from support.calling import batch_object, jsonl, request_line, started, write_lines
from support.raw_server import answer

from overlay import (
    BatchFailedError,
    BatchNotEndedError,
    ConfigurationError,
    FileGoneError,
    InvalidInputError,
    NoResultsError,
    NotFoundError,
    StorageError,
    UnclaimedAnswersError,
)
from overlay.server import Cut, Limits, Pace, Service


def output_line(custom_id, text="an answer", status=200):
    body = {"choices": [{"message": {"content": text}}]} if status == 200 else {"error": {"message": text}}
    response = {"status_code": status, "request_id": f"req_{custom_id}", "body": body}
    return {"id": f"batch_req_{custom_id}", "custom_id": custom_id, "response": response, "error": None}


def shown(results):
    return [
        (result.custom_id, result.error.code or result.status_code if result.error else "ok")
        for result in results
    ]


@pytest.fixture
def ended(raw_server, connect):
    """A client of a service with a batch in given states, one a look, and files of given lines."""

    def begin(*states, **files):
        left = list(states)

        def script(request):
            if "/batches/" in request.path:
                state = left.pop(0) if len(left) > 1 else left[0]
                return answer(batch_object(**{"status": "completed", "input_file_id": "input"} | state))
            content = files.get(request.path.split("/")[3])
            if content is None:
                return answer({"error": {"message": "No such File object", "code": None}}, 404)
            return answer(content if isinstance(content, bytes) else jsonl(content))

        return connect(raw_server(script).base_url)

    return begin


FILES = {
    "input": [request_line(name) for name in "abcde"],
    "output": [output_line("d"), output_line("x"), output_line("b", "first"), output_line("d")],
    "errors": [output_line("a", "Rate limit", 429), {"custom_id": "c", "error": {"code": "batch_expired"}}],
}
NAMED = {"output_file_id": "output", "error_file_id": "errors"}
IN_ORDER = [("a", 429), ("b", "ok"), ("c", "batch_expired"), ("d", "ok"), ("e", "missing")]


def test_results_come_in_the_order_of_the_requests(ended, tmp_path):
    api = ended(NAMED, **FILES)
    with api.batches.results("batch_1") as results:
        assert shown(results) == IN_ORDER
        assert results.batch.output_file_id == "output"
        report = results.report
    assert (report.total, report.ok, report.failed, report.missing) == (5, 2, 3, 1)
    assert (report.unknown, report.duplicates, report.malformed) == (1, 1, 0)
    path = write_lines(tmp_path / "mine.jsonl", [request_line(name) for name in "edb"])
    assert shown(api.batches.results("batch_1", requests=path)) == [
        ("e", "missing"),
        ("d", "ok"),
        ("b", "ok"),
    ]
    assert shown(api.batches.results("batch_1", requests=str(path)))[0] == ("e", "missing")


def test_results_out_of_order_come_as_the_files_have_them(ended):
    results = ended(NAMED, **FILES).batches.results("batch_1", ordered=False)
    assert shown(results) == [*((name, "ok") for name in "dxbd"), ("a", 429), ("c", "batch_expired")]
    assert results.report is None


def test_nothing_is_fetched_before_it_is_asked_for(api, service):
    api.batches.results("batch_1")
    assert service.requests == []


def test_many_results(api, tmp_path):
    path = write_lines(tmp_path / "in.jsonl", 700)
    batch = api.batches.wait(started(api, path).id)
    expected = [f"r{number}" for number in range(700)]
    results = api.batches.results(batch.id)
    assert [result.custom_id for result in results] == expected
    assert [result.custom_id for result in results] == expected, "a second loop fetches them again"
    assert sorted(result.custom_id for result in api.batches.results(batch.id, ordered=False)) == sorted(
        expected
    )


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_a_cut_result_file_is_mended(api, service, tmp_path, ordered, framing):
    batch = api.batches.wait(started(api, write_lines(tmp_path / "in.jsonl", 50)).id)
    service.faults.add("GET /files/*/content", Cut(after=5000, framing=framing), times=2)
    results = list(api.batches.results(batch.id, ordered=ordered))
    assert {result.custom_id for result in results} == {f"r{number}" for number in range(50)}
    assert len(results) == 50


def test_a_result_file_that_is_gone_is_said_to_be(ended):
    with pytest.raises(FileGoneError, match="No such File"):
        list(ended(NAMED, input=FILES["input"]).batches.results("batch_1", ordered=False))


def test_all_failed(connect, requests_file):
    with Service(answer=lambda line: (400, {"error": {"code": "bad", "message": "No."}})) as service:
        api = connect(service.base_url)
        batch = api.batches.wait(started(api, requests_file).id)
        assert batch.output_file_id is None
        assert shown(api.batches.results(batch.id)) == [("r0", "bad"), ("r1", "bad"), ("r2", "bad")]


@pytest.mark.parametrize("error_file_id", ["", None])
@pytest.mark.parametrize("counts", [None, {"total": 5, "completed": 3, "failed": 0}])
def test_no_error_file(ended, error_file_id, counts):
    state = {"output_file_id": "output", "error_file_id": error_file_id, "request_counts": counts}
    api = ended(state, **FILES)
    assert shown(api.batches.results("batch_1"))[1] == ("b", "ok")
    assert api.clock.slept == []


def test_an_empty_error_file(ended):
    api = ended(NAMED, **FILES | {"errors": b""})
    assert shown(api.batches.results("batch_1", ordered=False)) == [(name, "ok") for name in "dxbd"]


def test_files_that_are_named_a_moment_later_are_waited_for(ended):
    api = ended({}, {}, {"output_file_id": ""}, NAMED, **FILES)
    assert shown(api.batches.results("batch_1")) == IN_ORDER
    assert sum(api.clock.slept) == 3


def test_a_file_that_the_counts_promise_is_waited_for(ended):
    counts = {"total": 5, "completed": 3, "failed": 1}
    late = {"error_file_id": "errors", "request_counts": counts}
    api = ended(late, late | NAMED, **FILES)
    assert shown(api.batches.results("batch_1")) == IN_ORDER
    api = ended(late, **FILES)
    assert shown(api.batches.results("batch_1"))[:2] == [("a", 429), ("b", "missing")]
    assert 10 <= sum(api.clock.slept) < 12


def test_completed_without_any_file_is_an_error(ended):
    api = ended({}, **FILES)
    with pytest.raises(NoResultsError, match="names no result file") as caught:
        list(api.batches.results("batch_1"))
    assert caught.value.batch_id == "batch_1"
    assert 10 <= sum(api.clock.slept) < 12


def test_without_an_input_file_there_is_no_order(ended):
    api = ended(NAMED | {"input_file_id": None}, **FILES)
    with pytest.raises(NoResultsError, match="ordered=False"):
        list(api.batches.results("batch_1"))


def test_an_input_file_that_is_gone(ended, tmp_path):
    files = {name: lines for name, lines in FILES.items() if name != "input"}
    api = ended(NAMED, **files)
    with pytest.raises(FileGoneError, match="ordered=False") as caught:
        list(api.batches.results("batch_1"))
    assert caught.value.status_code == 404
    assert len(list(api.batches.results("batch_1", ordered=False))) == 6
    path = write_lines(tmp_path / "mine.jsonl", FILES["input"])
    assert shown(api.batches.results("batch_1", requests=path)) == IN_ORDER


def test_result_files_that_are_gone(ended):
    with pytest.raises(FileGoneError, match="No such File"):
        list(ended(NAMED, input=FILES["input"]).batches.results("batch_1"))


def test_a_whole_file_that_ends_within_a_line_has_one_malformed_line(ended):
    cut = jsonl(FILES["output"])[:-20]
    results = list(ended(NAMED, **FILES | {"output": cut}).batches.results("batch_1"))
    assert shown(results) == [*IN_ORDER[:3], ("d", "ok"), ("e", "missing")]


def test_a_last_line_without_its_end_is_whole(ended):
    files = FILES | {"output": jsonl(FILES["output"])[:-1]}
    assert shown(ended(NAMED, **files).batches.results("batch_1")) == IN_ORDER


@pytest.mark.parametrize("status", ["in_progress", "finalizing", "cancelling", "scheduling", None])
def test_a_batch_that_runs_has_no_results_yet(ended, status):
    api = ended(NAMED | {"status": status}, **FILES)
    with pytest.raises(BatchNotEndedError, match="wait for it to end") as caught:
        list(api.batches.results("batch_1"))
    assert (caught.value.batch_id, caught.value.status) == ("batch_1", status)


def test_an_unknown_batch(api):
    with pytest.raises(NotFoundError):
        list(api.batches.results("batch_unknown"))


def test_a_failed_batch_names_the_line_of_the_users_own_file(api, tmp_path):
    lines = [request_line("a"), request_line("b") | {"url": "/v1/embeddings"}, request_line("a")]
    path = write_lines(tmp_path / "mine.jsonl", lines)
    batch = api.batches.wait(started(api, path).id)
    assert batch.status == "failed"
    with pytest.raises(
        BatchFailedError, match=r"mine\.jsonl: line 2: .*\(\w+\); line 3: .*duplicate"
    ) as caught:
        list(api.batches.results(batch.id, requests=path))
    assert caught.value.batch_id == batch.id
    assert [problem.line for problem in caught.value.problems] == [2, 3]
    with pytest.raises(BatchFailedError, match=f"input file {batch.input_file_id}: line 2"):
        list(api.batches.results(batch.id, ordered=False))


@pytest.mark.parametrize("errors", [None, {"data": None}, {"data": []}, {"data": [{}], "object": None}])
def test_a_failed_batch_that_says_little(ended, errors):
    with pytest.raises(BatchFailedError, match=r"no reason|no message"):
        list(ended({"status": "FAILED", "errors": errors}).batches.results("batch_1"))


def test_many_reasons_are_cut_short_in_the_message(ended):
    entries = [{"code": "invalid_json_line", "message": "Not JSON.", "line": n} for n in range(1, 101)]
    api = ended({"status": "failed", "errors": {"object": "list", "data": entries}})
    with pytest.raises(BatchFailedError, match=r"line 3: .* \(and 97 more\)$") as caught:
        list(api.batches.results("batch_1"))
    assert len(caught.value.problems) == 100


@pytest.mark.parametrize("ending", ["cancelled", "expired"])
def test_what_was_done_before_the_end_is_kept(connect, tmp_path, ending):
    limits = Limits(windows=["24h", "1h"])
    with Service(pace=Pace(per_line=600), limits=limits) as service:
        api = connect(service.base_url)
        file = api.files.upload(write_lines(tmp_path / "in.jsonl", 10))
        batch = api.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="1h"
        )
        service.advance(3000)
        if ending == "cancelled":
            api.batches.cancel(batch.id)
        service.advance(3000)
        assert api.batches.retrieve(batch.id).status == ending
        results = list(api.batches.results(batch.id))
        assert [result.custom_id for result in results] == [f"r{number}" for number in range(10)]
        done = [result for result in results if result.ok]
        assert 4 <= len(done) <= 6
        assert {result.error.code for result in results if not result.ok} == {f"batch_{ending}"}
        assert all(result.status_code is None for result in results if not result.ok)


def test_lines_that_cannot_be_read_end_no_loop(ended):
    lines = [b"not json", json.dumps(output_line("b")).encode(), b'{"custom_id": "a", "response"']
    files = FILES | {"output": b"\n".join([*lines, json.dumps(output_line("d")).encode()]) + b"\n"}
    results = list(ended(NAMED, **files).batches.results("batch_1", ordered=False))
    assert [result.raw for result in results[:3]] == lines
    assert [result.ok for result in results[:4]] == [False, True, False, True]
    assert len(list(ended(NAMED, **files).batches.results("batch_1"))) == 5


def lost(*names, custom_id=None):
    """Answers to these requests, in this order, without their ids."""
    return [output_line(name, text=name) | {"custom_id": custom_id} for name in names]


def test_answers_without_ids_are_not_taken_for_missing(ended):
    api = ended(NAMED, **FILES | {"output": lost(*"abcd"), "errors": lost("e")})
    with pytest.raises(UnclaimedAnswersError, match=r"5 answers name no request.*match=\"order\"") as caught:
        list(api.batches.results("batch_1"))
    assert (caught.value.missing, caught.value.unclaimed, caught.value.path) == (5, 5, None)
    results = list(api.batches.results("batch_1", match="order"))
    assert [(result.custom_id, result.text) for result in results] == [(name, name) for name in "abcde"]
    assert len(list(api.batches.results("batch_1", ordered=False))) == 5


def test_some_without_ids_are_counted_and_matched_by_order_on_request(ended):
    files = FILES | {"output": [*lost("b"), output_line("d"), output_line("a")]}
    api = ended(NAMED, **files | {"errors": lost("c", "e", custom_id="c")[1:]})
    with api.batches.results("batch_1") as results:
        assert shown(results) == [("a", "ok"), ("b", "missing"), ("c", "ok"), ("d", "ok"), ("e", "missing")]
        assert (results.report.missing, results.report.malformed) == (2, 1)
    with pytest.raises(UnclaimedAnswersError, match=r"1 answers name no request.*not as many") as caught:
        list(api.batches.results("batch_1", match="order"))
    assert (caught.value.missing, caught.value.unclaimed) == (2, 1)
    api = ended(NAMED, **files | {"errors": [output_line("c"), *lost("e", custom_id="odd")]})
    with api.batches.results("batch_1", match="order") as results:
        assert shown(results) == [(name, "ok") for name in "abcde"]
        report = results.report
    assert (report.ok, report.missing, report.malformed, report.unknown) == (5, 0, 0, 0)


def test_nothing_is_matched_by_order_where_nothing_is_unclaimed(ended):
    files = FILES | {"output": [output_line(name) for name in "bd"]}
    assert shown(ended(NAMED, **files).batches.results("batch_1", match="order")) == IN_ORDER


def test_other_ways_to_match_are_refused(ended):
    api = ended(NAMED, **FILES)
    with pytest.raises(ConfigurationError, match='"custom_id" or "order"'):
        list(api.batches.results("batch_1", match="luck"))
    with pytest.raises(ConfigurationError, match="ordered=False"):
        list(api.batches.results("batch_1", match="order", ordered=False))


def test_byte_order_marks_are_skipped(ended, tmp_path):
    files = {name: b"\xef\xbb\xbf" + jsonl(lines) for name, lines in FILES.items()}
    api = ended(NAMED, **files)
    assert shown(api.batches.results("batch_1")) == IN_ORDER
    assert shown(api.batches.results("batch_1", ordered=False))[0] == ("d", "ok")


def test_requests_that_cannot_be_read(ended, tmp_path):
    api = ended(NAMED, **FILES)
    with pytest.raises(StorageError, match=r"missing\.jsonl"):
        list(api.batches.results("batch_1", requests=tmp_path / "missing.jsonl"))
    path = tmp_path / "mine.jsonl"
    path.write_bytes(b'{"custom_id": "a"}\nnot json\n')
    with pytest.raises(InvalidInputError, match=r"mine\.jsonl, line 2") as caught:
        list(api.batches.results("batch_1", requests=path))
    assert caught.value.line == 2
