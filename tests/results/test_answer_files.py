"""Whole or cut, late or gone: the result files of an ended batch at a service that says little about them."""

import json
from email.utils import formatdate

import pytest
from support.calling import batch_object, jsonl, request_line
from support.raw_server import answer

from overlay import FileGoneError, IncompleteResultsError
from overlay.lines import is_torn

IDS = [f"r{number}" for number in range(10)]
ENDED = 1_750_000_000


def lines(*ids):
    return [
        {
            "custom_id": each,
            "response": {"status_code": 200, "body": {"choices": [{"message": {"content": "x"}}]}},
        }
        for each in ids
    ]


WHOLE = jsonl(lines(*IDS))
CUT = jsonl(lines(*IDS[:5]))
COUNTED = {"total": 10, "completed": 10, "failed": 0}


@pytest.fixture
def service(raw_server, connect):
    """A client of a service with an ended batch, and what its content is in turn, the last for ever."""

    def begin(*contents, record=None, errors=None, headers=None, **fields):
        left = list(contents)
        named = {"output_file_id": "output", "error_file_id": "errors" if errors is not None else None}
        batch = batch_object(**{"status": "completed", "input_file_id": "input"} | named | fields)

        def script(request):
            if "/batches/" in request.path:
                return answer(batch, **headers or {})
            if request.path.endswith("/input/content"):
                return answer(jsonl([request_line(each) for each in IDS]))
            if not request.path.endswith("/content"):
                return answer({"id": request.path.rpartition("/")[2], "bytes": record or 0})
            if "errors" in request.path:
                return answer(errors, content_length=None)
            content = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(content, int):
                return answer({"error": {"message": "No such File object"}}, content, **headers or {})
            return answer(content, content_length=None)

        server = raw_server(script)
        api = connect(server.base_url)
        api.received = server.received
        return api

    return begin


def fetches(api):
    return sum(request.path.endswith("/output/content") for request in api.received)


def missing(results):
    return [result.custom_id for result in results if result.error and result.error.code == "missing"]


@pytest.mark.parametrize("ordered", [True, False])
def test_a_file_that_was_cut_between_lines_is_fetched_again(service, ordered):
    api = service(CUT, WHOLE, request_counts=COUNTED)
    results = list(api.batches.results("batch_1", ordered=ordered))
    assert [result.custom_id for result in results if result.ok] == IDS
    assert fetches(api) == 2


@pytest.mark.parametrize("ordered", [True, False])
def test_a_file_that_is_always_cut_is_an_error_and_not_an_end(service, ordered):
    api = service(CUT, request_counts=COUNTED)
    with pytest.raises(IncompleteResultsError, match=r"batch_1: 5 of the 10 answers") as caught:
        list(api.batches.results("batch_1", ordered=ordered))
    assert caught.value.batch_id == "batch_1"
    assert fetches(api) <= 4


def test_failures_count_where_there_is_a_file_for_them(service):
    counts = {"total": 10, "completed": 5, "failed": 5}
    failures = [{"custom_id": each, "error": {"code": "c", "message": "m"}} for each in IDS[5:]]
    api = service(CUT, errors=jsonl(failures), request_counts=counts)
    assert [result.ok for result in api.batches.results("batch_1")] == [True] * 5 + [False] * 5
    assert fetches(api) == 1
    api = service(CUT, errors=jsonl(failures[:4]), request_counts=counts)
    with pytest.raises(IncompleteResultsError, match="9 of the 10"):
        list(api.batches.results("batch_1"))


def test_failures_that_were_counted_and_left_out_are_missing(service):
    api = service(CUT, request_counts={"total": 10, "completed": 5, "failed": 5})
    assert missing(api.batches.results("batch_1")) == IDS[5:]
    assert fetches(api) == 3


@pytest.mark.parametrize("status", ["expired", "cancelled"])
def test_what_never_ran_is_not_looked_for(service, status):
    counts = {"total": 10, "completed": 5, "failed": 5}
    api = service(CUT, status=status, request_counts=counts)
    assert missing(api.batches.results("batch_1")) == IDS[5:]
    assert fetches(api) == 1


@pytest.mark.parametrize("counts", [None, {}, {"total": None, "completed": None, "failed": None}])
def test_where_nothing_is_counted_the_last_line_tells(service, counts):
    api = service(WHOLE[:-20], WHOLE, request_counts=counts)
    assert missing(api.batches.results("batch_1")) == []
    with pytest.raises(IncompleteResultsError, match="last line is incomplete"):
        list(service(WHOLE[:-20], request_counts=counts).batches.results("batch_1"))


@pytest.mark.parametrize(
    "counts",
    [
        {"total": 10, "completed": 10**30, "failed": 0},
        {"total": -1, "completed": 5, "failed": True},
        {"total": "10", "completed": "5", "failed": []},
    ],
)
def test_counts_that_cannot_be_are_no_reason_to_wait(service, counts):
    assert missing(service(WHOLE, request_counts=counts).batches.results("batch_1")) == []


def test_a_last_line_that_stays_torn_is_one_malformed_line_where_the_counts_are_met(service):
    api = service(WHOLE[:-20], request_counts=COUNTED)
    *results, last = api.batches.results("batch_1")
    assert all(result.ok for result in results)
    assert last.error.code == "malformed_line"
    assert fetches(api) == 3
    ended = WHOLE[:-20] + b"\n"
    api = service(ended, request_counts=COUNTED)
    assert sum(not result.ok for result in api.batches.results("batch_1")) == 1
    assert fetches(api) == 1


def test_a_length_in_the_record_decides(service):
    api = service(CUT, record=len(CUT), request_counts=COUNTED)
    assert missing(api.batches.results("batch_1")) == IDS[5:]
    assert fetches(api) == 1


@pytest.mark.parametrize("ordered", [True, False])
def test_a_file_that_is_not_there_yet_is_waited_for(service, ordered):
    api = service(404, 404, 404, WHOLE, request_counts=COUNTED)
    assert missing(api.batches.results("batch_1", ordered=ordered)) == []
    assert 0 < sum(api.clock.slept) < 60


@pytest.mark.parametrize(
    ("age", "waited"), [(0, (590, 602)), (500, (90, 102)), (599, (0, 2)), (3600, (0, 0)), (-50, (590, 602))]
)
def test_it_is_waited_for_by_the_clock_of_the_service(service, age, waited):
    headers = {"date": formatdate(ENDED + age, usegmt=True)}
    api = service(404, headers=headers, completed_at=ENDED)
    with pytest.raises(FileGoneError):
        list(api.batches.results("batch_1"))
    assert waited[0] <= sum(api.clock.slept) <= waited[1]


@pytest.mark.parametrize("date", ["", "never", "Fri, 31 Dec 99999 23:59:59 GMT"])
def test_without_a_clock_of_the_service_it_counts_as_ended_just_now(service, date):
    api = service(404, headers={"date": date}, completed_at=1)
    with pytest.raises(FileGoneError):
        list(api.batches.results("batch_1"))
    assert 590 <= sum(api.clock.slept) <= 602


def test_what_is_said_to_be_gone_is_not_waited_for(service):
    api = service(410)
    with pytest.raises(FileGoneError):
        list(api.batches.results("batch_1"))
    assert api.clock.slept == []


@pytest.mark.parametrize(
    ("content", "torn"),
    [
        (b"", False),
        (b"\n", False),
        (json.dumps({"a": 1}).encode(), False),
        (b'{"a": 1}\n', False),
        (b'{"a": 1}\n{"a"', True),
        (b'{"a": 1}\n{"a"\n', False),
        (b"nope", True),
    ],
)
def test_a_torn_file_ends_within_a_line(tmp_path, content, torn):
    (tmp_path / "f").write_bytes(content)
    assert is_torn(tmp_path / "f") is torn
