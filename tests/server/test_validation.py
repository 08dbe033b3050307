"""What the embedded service refuses: at POST /batches at once, and in a file while the batch is `validating`."""

import json

import pytest
from support.service_http import ENDPOINT, create, creation, http_to, jsonl, line, run, until, upload

from overlay.server import Limits, ManualClock, Pace, Service


@pytest.fixture(scope="module")
def service():
    # What is refused when it is uploaded is refused a second time while the batch is validated.
    with Service(limits=Limits(models=("m", "n"), check_uploads=False)) as service:
        yield service


@pytest.fixture(scope="module")
def http(service):
    with http_to(service) as http:
        yield http


def failed(http, content, **fields):
    """(code, line, param) of every error of a batch that must fail."""
    batch = until(http, create(http, upload(http, content), **fields))
    assert batch["status"] == "failed"
    assert batch["failed_at"] >= batch["created_at"]
    assert batch["in_progress_at"] is None
    assert (batch["output_file_id"], batch["error_file_id"]) == (None, None)
    assert batch["errors"]["object"] == "list"
    assert all(each["message"] for each in batch["errors"]["data"])
    return [(each["code"], each["line"], each["param"]) for each in batch["errors"]["data"]]


GOOD = line("good")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([GOOD, line("good")], ("duplicate_custom_id", 2, "custom_id")),
        ([GOOD, line("")], ("invalid_request", 2, "custom_id")),
        ([GOOD, line(7)], ("invalid_request", 2, "custom_id")),
        ([GOOD, line(None)], ("missing_required_parameter", 2, "custom_id")),
        ([GOOD, line("a", url="/v1/embeddings")], ("invalid_url", 2, "url")),
        ([GOOD, line("a", url="/chat/completions")], ("invalid_url", 2, "url")),
        ([GOOD, line("a", url=7)], ("invalid_url", 2, "url")),
        ([GOOD, line("a", url={})], ("invalid_url", 2, "url")),
        ([GOOD, line("a", url=["/v1/chat/completions"])], ("invalid_url", 2, "url")),
        ([GOOD, line("a", url=None)], ("missing_required_parameter", 2, "url")),
        ([GOOD, line("a", method="GET")], ("invalid_request", 2, "method")),
        ([GOOD, line("a", method=None)], ("missing_required_parameter", 2, "method")),
        ([GOOD, {**line("a"), "body": None}], ("missing_required_parameter", 2, "body")),
        ([GOOD, line("a", stream=True)], ("streaming_unsupported", 2, "body.stream")),
        ([GOOD, line("a", messages=None)], ("invalid_request", 2, "body.messages")),
        ([GOOD, {**line("a"), "body": "text"}], ("invalid_request", 2, "body")),
        ([GOOD, line("a", model="n")], ("model_mismatch", 2, "body.model")),
        ([GOOD, line("a", model="z")], ("model_not_found", 2, "body.model")),
        ([GOOD, line("a", model=None)], ("invalid_request", 2, "body.model")),
        ([GOOD, ["a list"]], ("invalid_json_line", 2, None)),
        ([GOOD, None], ("invalid_json_line", 2, None)),
    ],
)
def test_a_bad_line(http, lines, expected):
    assert failed(http, jsonl(lines)) == [expected]


@pytest.mark.parametrize(
    ("content", "number"),
    [
        (b"{\n", 1),
        (jsonl([GOOD]) + b"\n" + jsonl([line("a")]), 2),
        (jsonl([GOOD]) + b"not json", 2),
        (b"\xef\xbb\xbf" + jsonl([GOOD]), 1),
        (jsonl([GOOD]).replace(b"good", b"\xff\xfe"), 1),
        (jsonl([GOOD]).replace(b'"m"', b"NaN"), 1),
        (jsonl([GOOD]).replace(b"\n", b" {}\n"), 1),
        (b"[" * 100_000 + b"\n", 1),
        (jsonl([GOOD]) + b"\x00\n", 2),
    ],
)
def test_a_line_that_is_no_json(http, content, number):
    assert failed(http, content) == [("invalid_json_line", number, None)]


def test_an_empty_file(http):
    assert failed(http, b"") == [("empty_file", None, None)]


def test_lines_are_split_on_line_feeds_alone(http):
    content = jsonl([line("a\u2028b", note="x\u0085y")])
    content = json.dumps(json.loads(content), ensure_ascii=False).encode() + b"\r\n"
    batch = until(http, create(http, upload(http, content)))
    assert (batch["status"], batch["request_counts"]["total"]) == ("completed", 1)


def test_a_last_line_without_a_line_feed(http):
    batch = until(http, create(http, upload(http, jsonl(3)[:-1])))
    assert batch["request_counts"] == {"total": 3, "completed": 3, "failed": 0}


def test_every_problem_is_reported_in_one_pass(http):
    lines = [
        line("a"),
        line("a"),
        line("b", url="/v1/x"),
        line("c", method="PUT", model="z", stream=True),
        {},
    ]
    assert failed(http, jsonl(lines)) == [
        ("duplicate_custom_id", 2, "custom_id"),
        ("invalid_url", 3, "url"),
        ("invalid_request", 4, "method"),
        ("model_not_found", 4, "body.model"),
        ("streaming_unsupported", 4, "body.stream"),
        *[("missing_required_parameter", 5, name) for name in ("custom_id", "method", "url", "body")],
    ]


@pytest.mark.parametrize("stream", [False, None, 0])
def test_a_line_may_say_that_it_wants_no_stream(http, stream):
    assert run(http, [line("a", stream=stream)])["status"] == "completed"


def test_only_a_chat_needs_messages(http):
    url = "/v1/responses"
    lines = [{"custom_id": "a", "method": "POST", "url": url, "body": {"model": "m", "input": "hi"}}]
    assert until(http, create(http, upload(http, jsonl(lines)), endpoint=url))["status"] == "completed"


def test_at_most_a_hundred_problems(http):
    assert len(failed(http, b"x\n" * 500)) == 100


def test_limits_of_size():
    limits = Limits(max_requests=5, max_input_bytes=1000, max_embedding_inputs=3)
    with Service(limits=limits) as service, http_to(service) as http:
        assert run(http, 5)["status"] == "completed"
        assert failed(http, jsonl(6)) == [("too_many_tasks", None, None)]
        assert failed(http, jsonl([line("a", text="x" * 1000)])) == [("invalid_request", None, None)]
        url = "/v1/embeddings"
        lines = [
            {"custom_id": c, "method": "POST", "url": url, "body": {"model": "m", "input": ["a", "b"]}}
            for c in "ab"
        ]
        assert failed(http, jsonl(lines), endpoint=url) == [("invalid_request", 2, "body.input")]
        lines[1]["body"]["input"] = [1, 2, 3, 4, 5]
        assert until(http, create(http, upload(http, jsonl(lines)), endpoint=url))["status"] == "completed"


def test_enqueued_tokens_are_capped_for_each_model():
    size = len(jsonl(20)) // 4
    limits = Limits(enqueued_tokens=size * 3 // 2)
    with (
        Service(clock=ManualClock(), pace=Pace(in_progress=100), limits=limits) as service,
        http_to(service) as http,
    ):
        first = create(http, upload(http, jsonl(20)))
        service.settle()
        assert failed(http, jsonl(20)) == [("token_limit_exceeded", None, None)]
        other = create(http, upload(http, jsonl([line(f"r{n}", model="n") for n in range(20)])))
        service.advance(200)
        assert [until(http, each)["status"] for each in (first, other)] == ["completed", "completed"]
        assert create(http, upload(http, jsonl(20)))["status"] == "validating"
        service.advance(200)
        assert service.batches()[0]["status"] == "completed"


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"input_file_id": None}, "input_file_id", "missing_required_parameter"),
        ({"input_file_id": 5}, "input_file_id", "invalid_type"),
        ({"endpoint": None}, "endpoint", "missing_required_parameter"),
        ({"endpoint": "/v1/nothing"}, "endpoint", "invalid_value"),
        ({"completion_window": None}, "completion_window", "missing_required_parameter"),
        ({"completion_window": "48h"}, "completion_window", "invalid_value"),
        ({"metadata": []}, "metadata", "invalid_type"),
        ({"metadata": {"k": 1}}, "metadata.k", "invalid_type"),
        ({"metadata": {str(n): "v" for n in range(17)}}, "metadata", "object_above_max_properties"),
        ({"metadata": {"k" * 65: "v"}}, "metadata", "string_above_max_length"),
        ({"metadata": {"k": "v" * 513}}, "metadata", "string_above_max_length"),
        ({"output_expires_after": 5}, "output_expires_after", "invalid_type"),
        (
            {"output_expires_after": {"anchor": "now", "seconds": 3600}},
            "output_expires_after.anchor",
            "invalid_value",
        ),
        (
            {"output_expires_after": {"anchor": "created_at", "seconds": 3599}},
            "output_expires_after.seconds",
            "invalid_value",
        ),
        (
            {"output_expires_after": {"anchor": "created_at", "seconds": 2_592_001}},
            "output_expires_after.seconds",
            "invalid_value",
        ),
        (
            {"output_expires_after": {"anchor": "created_at", "seconds": True}},
            "output_expires_after.seconds",
            "invalid_value",
        ),
        ({"output_expires_after": {"anchor": "created_at"}}, "output_expires_after.seconds", "invalid_value"),
        ({"surprise": 1}, "surprise", "unknown_parameter"),
    ],
)
def test_a_bad_creation(http, fields, param, code):
    file = upload(http, jsonl(1))
    answer = http.post("/batches", json=creation(file, **fields))
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", param, code)


def test_a_creation_at_every_limit(http):
    file = upload(http, jsonl(1))
    metadata = {f"{n:064}": "v" * 512 for n in range(16)}
    policy = {"anchor": "created_at", "seconds": 2_592_000}
    assert create(http, file, metadata=metadata, output_expires_after=policy)["metadata"] == metadata


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"5", b"null", b"\xff", b"[" * 100_000, b'{"a": NaN}'])
def test_a_creation_that_is_no_object(http, body):
    answer = http.post("/batches", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_a_creation_of_a_megabyte_is_refused(http):
    assert http.post("/batches", content=b" " * 2_000_000).status_code == 413


def test_the_input_must_be_a_file_for_batches(http):
    other = upload(http, jsonl(1), purpose="user_data")
    answer = http.post("/batches", json=creation(other))
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "input_file_id")


def test_windows_are_settable():
    with Service(limits=Limits(windows=("7d", "90s"))) as service, http_to(service) as http:
        file = upload(http, jsonl(1))
        for window, seconds in (("7d", 604_800), ("90s", 90)):
            batch = create(http, file, completion_window=window)
            assert batch["expires_at"] - batch["created_at"] == seconds
        assert http.post("/batches", json=creation(file)).status_code == 400


@pytest.mark.parametrize("window", ["", "24", "h", "-1h", "1.5h", "1w", "9" * 400 + "h"])
def test_a_window_must_be_a_time(window):
    with pytest.raises(ValueError, match="completion window"):
        Limits(windows=(window,))


@pytest.mark.parametrize(
    ("text", "pace"),
    [
        ("2", Pace(validating=2, in_progress=2, finalizing=2, cancelling=2)),
        ("validating=1, per_line=0.5", Pace(validating=1, per_line=0.5)),
        ("", Pace()),
    ],
)
def test_a_pace_as_text(text, pace):
    assert Pace.parse(text) == pace


@pytest.mark.parametrize("text", ["fast", "validating", "validating=x", "validating=-1", "nan", "sleeping=1"])
def test_a_bad_pace(text):
    with pytest.raises(ValueError, match=r"."):
        Pace.parse(text)


def test_other_endpoints_may_leave_the_model_out(http):
    url = "/v1/moderations"
    lines = [{"custom_id": "a", "method": "POST", "url": url, "body": {"input": "hi"}}]
    assert until(http, create(http, upload(http, jsonl(lines)), endpoint=url))["status"] == "completed"
    lines = [{**line("a"), "body": {"messages": []}}]
    assert failed(http, jsonl(lines), endpoint=ENDPOINT) == [("invalid_request", 1, "body.model")]
