"""What the Batch API asks of an input file: each rule, the words in which a breach is told, and the limits."""

import hashlib
import json
import os
import pickle

import pytest
from support.request_lines import line

from overlay.errors import InvalidInputError, StorageError
from overlay.requests.request import Limits, check_requests, read_requests


@pytest.fixture
def check(tmp_path):
    """Check bytes as a file; gives the summary, or the problems as (line, reason)."""

    def run(content, **options):
        path = tmp_path / "in.jsonl"
        path.write_bytes(content)
        try:
            return check_requests(path, **options)
        except InvalidInputError as error:
            return [(problem.line, problem.reason) for problem in error.problems]

    return run


def only(problems):
    assert len(problems) == 1, problems
    return problems[0]


def test_the_summary(check, tmp_path):
    content = line("a") + b"\r\n" + line("\u2028\u0085ü") + b"\n" + line("c", body={"model": "m"})
    summary = check(content)
    assert summary.path == tmp_path / "in.jsonl"
    assert (summary.requests, summary.bytes) == (3, len(content))
    assert (summary.endpoint, summary.model) == ("/v1/chat/completions", "m")
    assert summary.sha256 == hashlib.sha256(content).hexdigest()
    assert summary.embedding_inputs == 0


def test_separators_of_unicode_are_data(check):
    raw = '{"custom_id":"a\u2028b","method":"POST","url":"/v1/responses","body":{"input":"\u0085\u2029"}}\n'
    assert check(raw.encode()).requests == 1


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"{", "not valid JSON"),
        (b"{}{}", "not valid JSON (Extra data"),
        (line()[:-1], "not valid JSON"),
        (b"[1]", "not a JSON object"),
        (b"null", "not a JSON object"),
        (line(), '"custom_id" "a" is already used by line 1'),
        (line(...), 'no "custom_id"'),
        (line(""), '"custom_id" is empty'),
        (line(7), '"custom_id" is not a string'),
        (line(None), '"custom_id" is not a string'),
        (line("b", method=...), 'no "method"'),
        (line("b", method="GET"), '"method" is "GET"; it must be "POST"'),
        (line("b", url=...), 'no "url"'),
        (line("b", url=None), '"url" is not a string'),
        (line("b", url="/v1/x"), '"url" is "/v1/x", that of line 1 is "/v1/chat/completions"'),
        (line("b", body=...), 'no "body"'),
        (line("b", body="{}"), '"body" is not an object'),
        (line("b", body={"model": "n"}), 'model "n"; line 1 asks for "m", but a batch has only one model'),
        (line("b", body={"model": 4}), '"model" is not a string'),
        (line("b", body={"x": float("nan")}), "not valid JSON (NaN is not a JSON number)"),
        (line("b", body={"x": float("-inf")}), "not valid JSON (-Infinity is not a JSON number)"),
        (line("b", body={"x": "\ud83d"}), "half of a surrogate pair"),
        (line("b").replace(b"hi", b"\xff"), "not UTF-8 (byte "),
        (line("b").replace(b"hi", b"\xed\xa0\x80"), "not UTF-8 (byte "),
        (line("b").replace(b"hi", b"\x01"), "not valid JSON (Invalid control character"),
        (line("b").replace(b'"b"', b'7, "custom_id": "b"'), "a name that appears twice"),
        (b"\xef\xbb\xbf" + line("b"), "not valid JSON"),
        (b"", "a blank line"),
        (b" \t\r", "a blank line"),
        (
            line("b", body={"x": json.loads("[" * 199 + "]" * 199)}),
            "arrays and objects nested more than 200 deep",
        ),
        (
            line("b").replace(b'"hi"', b"[" * 5000 + b"]" * 5000),
            "arrays and objects nested more than 200 deep",
        ),
    ],
)
def test_a_bad_line_is_named_with_its_reason(check, bad, reason):
    number, told = only(check(line("a") + b"\n" + bad + b"\n" + line("z") + b"\n"))
    assert number == 2
    assert told.startswith(reason)


def test_nesting_up_to_the_limit_and_brackets_in_strings_are_fine(check):
    deep = {"model": "m", "x": json.loads("[" * 198 + "]" * 198), "y": "[" * 1000}
    assert check(line(body=deep)).requests == 1


def test_several_problems_of_one_line(check):
    problems = check(line(..., method="GET", body=[]))
    assert [reason for _, reason in problems] == [
        'no "custom_id"',
        '"body" is not an object',
        '"method" is "GET"; it must be "POST"',
    ]


def test_the_first_hundred_are_kept_and_all_are_counted(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"nope\n" * 250)
    with pytest.raises(InvalidInputError, match=r"\(and 249 more\)") as caught:
        check_requests(path)
    assert len(caught.value.problems) == 100
    assert caught.value.count == 250
    assert pickle.loads(pickle.dumps(caught.value)).problems == caught.value.problems


def test_a_byte_order_mark(check):
    assert "byte order mark (BOM)" in only(check(b"\xef\xbb\xbf" + line()))[1]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-16-le"])
def test_utf_16(check, encoding):
    bom = b"\xfe\xff" if encoding.endswith("be") else b"\xff\xfe" if encoding.endswith("le") else b""
    content = bom + (line("a") + b"\n" + line("b") + b"\n").decode().encode(encoding)
    assert only(check(content))[0] == 1
    assert "UTF-16" in only(check(content))[1]


def test_utf_16_without_a_mark(check):
    assert all("UTF-16" in reason for _, reason in check(line().decode().encode("utf-16-le")))


def test_an_endpoint_can_be_given(check):
    assert check(line(), endpoint="/v1/chat/completions").requests == 1
    assert only(check(line(), endpoint="/v1/responses")) == (
        1,
        '"url" is "/v1/chat/completions", the batch\'s endpoint is "/v1/responses"',
    )


def test_an_empty_file(check):
    assert only(check(b"")) == (None, "the file is empty")


def test_too_many_lines_and_bytes(check):
    content = b"\n".join(line(f"r{n}") for n in range(4))
    assert check(content, limits=Limits(requests=2)) == [(3, "more than 2 requests")]
    number, reason = only(check(content, limits=Limits(bytes=100)))
    assert number is None
    assert "at most 100" in reason
    assert check(content, limits=Limits(requests=4, bytes=len(content))).requests == 4
    assert check(content, limits=Limits(requests=None, bytes=None)).requests == 4


def test_the_limits_are_the_services():
    assert (Limits().requests, Limits().bytes, Limits().embedding_inputs) == (50_000, 200_000_000, 50_000)


def test_a_line_too_long_is_told_and_the_next_ones_are_still_read(check):
    content = line("a") + b"\n" + b"x" * 5_000_000 + b"\nnope\n" + line("b")
    first, second = check(content, limits=Limits(line_bytes=1_000))
    assert first == (2, "longer than 1,000 bytes")
    assert second[0] == 3


def test_a_line_as_long_as_allowed(check):
    content = line("a") + b"\n"
    assert check(content, limits=Limits(line_bytes=len(content))).requests == 1


@pytest.mark.parametrize(
    ("given", "count"),
    [("text", 1), (["a", "b", "c"], 3), ([1, 2, 3], 1), ([[1, 2], [3]], 2), ([], 1), (None, 1)],
)
def test_embedding_inputs_are_counted(check, given, count):
    request = line(url="/v1/embeddings", body={"model": "e", "input": given})
    assert check(request).embedding_inputs == count
    assert check(request, limits=Limits(embedding_inputs=count)).requests == 1


def test_too_many_embedding_inputs(check):
    lines = [line(name, url="/v1/embeddings", body={"model": "m", "input": ["x"] * 3}) for name in "abcd"]
    problems = check(b"\n".join(lines), limits=Limits(embedding_inputs=7))
    assert problems == [(3, "more than 7 texts to embed, counted up to this line")]


@pytest.mark.parametrize("name", ["none.jsonl", ".", "with\0nul", "pipe", "loop"])
def test_what_is_no_file_is_a_storage_error(tmp_path, name):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for use in (check_requests, lambda path: next(read_requests(path))):
        with pytest.raises(StorageError):
            use(tmp_path / name)
