"""Whatever is asked or answered, a line of an output or error file is one line to every reader, and valid JSON."""

import json

import pytest
from support.raw_server import answer as http_answer
from support.service_http import create, http_to, jsonl, line, results, run, until, upload

from overlay.server import Limits, ManualClock, Pace, Service, upstream
from overlay.server.answers.source import outcome, reread

SEPARATORS = "\u2028a\u2029b\u0085c\x1cd\x0be\x0cf\x7fg\U0001f600h\ufeffi"


def content(http, file_id):
    return http.get(f"/files/{file_id}/content").content


def check_lines(written, count):
    """As many lines to a reader that cuts where Unicode does as to one that cuts at line feeds."""
    assert written.count(b"\n") == len(written.decode().splitlines()) == count
    return [json.loads(each) for each in written.splitlines()]


def test_separators_come_out_as_escapes():
    with Service() as service, http_to(service) as http:
        asked = line(f"id{SEPARATORS}", messages=[{"role": "user", "content": SEPARATORS}])
        (answered,) = check_lines(content(http, run(http, [asked])["output_file_id"]), 1)
    assert answered["custom_id"] == f"id{SEPARATORS}"
    assert answered["response"]["body"]["choices"][0]["message"]["content"] == f"echo: {SEPARATORS}"
    assert answered["response"]["body"]["usage"]["total_tokens"] > 0


def test_lines_that_failed_are_one_line_too():
    def fail(request):
        raise ValueError(SEPARATORS)

    with Service(fail) as service, http_to(service) as http:
        batch = run(http, [line(f"id{SEPARATORS}")])
        (failed,) = check_lines(content(http, batch["error_file_id"]), 1)
    assert failed["response"]["body"]["error"]["message"] == f"ValueError: {SEPARATORS}"


def test_lines_that_never_ran_are_one_line_too():
    limits = Limits(windows=["0s"])
    with (
        Service(clock=ManualClock(), pace=Pace(validating=5, in_progress=5), limits=limits) as service,
        http_to(service) as http,
    ):
        batch = create(http, upload(http, jsonl([line(f"id{SEPARATORS}")])), completion_window="0s")
        service.advance(60)
        batch = until(http, batch)
        (never,) = check_lines(content(http, batch["error_file_id"]), 1)
    assert (batch["status"], never["custom_id"], never["response"]) == ("expired", f"id{SEPARATORS}", None)


@pytest.mark.parametrize("half", ["\ud83d", "a\udc00b"])
def test_half_of_a_surrogate_pair_in_an_answer_is_replaced(half):
    def say(request):
        return {"choices": [{half: [half, 1, None]}], "usage": {"prompt_tokens": 3, "completion_tokens": 4}}

    whole = half.replace("\ud83d", "\ufffd").replace("\udc00", "\ufffd")
    with Service(say) as service, http_to(service) as http:
        batch = run(http, [line("a")])
        assert batch["usage"]["total_tokens"] == 7
        (answered,) = check_lines(content(http, batch["output_file_id"]), 1)
    assert answered["response"]["body"]["choices"] == [{whole: [whole, 1, None]}]


def test_half_of_a_surrogate_pair_in_a_request_is_no_json_that_a_batch_takes():
    with Service(limits=Limits(check_uploads=False)) as service, http_to(service) as http:
        bad = jsonl([line("a", messages=[{"role": "user", "content": "\ud83d"}])])
        assert b"\\ud83d" in bad
        batch = until(http, create(http, upload(http, bad)))
    assert (batch["status"], batch["errors"]["data"][0]["code"]) == ("failed", "invalid_json_line")


def test_what_an_upstream_sent_stays_as_it_is(raw_server):
    body = f'{{"said": "{SEPARATORS[:4]}"}}'.encode()
    server = raw_server(lambda _: http_answer(body, content_type="application/json"))
    with Service(upstream(server.base_url)) as service, http_to(service) as http:
        batch = run(http, [line(f"id{SEPARATORS}")])
        written = content(http, batch["output_file_id"])
        (custom_id,) = results(http, batch["output_file_id"])
    assert SEPARATORS[:4].encode() in written
    assert written.count("\u2028".encode()) == 1
    assert custom_id == f"id{SEPARATORS}"


def test_a_line_is_read_again_as_it_was_written():
    custom_id = f"id{SEPARATORS}"
    body = b'{"usage": {"input_tokens": 3, "output_tokens": 4}}'
    written = outcome(custom_id, 200, body, f"req_{SEPARATORS}")
    check_lines(written.line, 1)
    assert reread(written.line) == (custom_id, written)
    assert (written.input_tokens, written.output_tokens) == (3, 4)
