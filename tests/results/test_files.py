"""The files of an ended batch: read as they are, joined with the requests, checked for a cut."""

import json
import random
import tracemalloc

import pytest
from support.answer_lines import answer, chat, failure
from support.request_lines import line

import overlay.results.line_index
from overlay.errors import InvalidInputError, InvalidResponseError, StorageError
from overlay.lines import check_complete
from overlay.results.files import join_results, read_results
from overlay.results.joining import JoinReport


@pytest.fixture
def put(tmp_path):
    """Write a file of lines, or of bytes as they are."""

    def write(name, content):
        path = tmp_path / name
        path.write_bytes(
            content if isinstance(content, bytes) else b"".join(each + b"\n" for each in content)
        )
        return path

    return write


class TestRead:
    def test_lines_come_as_the_files_have_them(self, put):
        output = put("output.jsonl", [answer("b"), b"", answer("a"), b" \r", b"nope"])
        errors = put("error.jsonl", failure("c"))
        results = list(read_results([output, errors]))
        assert [result.raw for result in results] == [answer("b"), answer("a"), b"nope", failure("c")]
        assert [result.ok for result in results] == [True, True, False, False]

    def test_one_path_and_none(self, put):
        assert [result.custom_id for result in read_results(put("o", [answer("a")]))] == ["a"]
        assert [result.custom_id for result in read_results(str(put("o", [answer("a")])))] == ["a"]
        assert list(read_results([])) == []
        assert list(read_results(put("empty", b""))) == []

    def test_only_the_newline_byte_ends_a_line(self, put):
        raw = json.dumps(json.loads(answer("a", chat("x\u2028y\u0085z"))), ensure_ascii=False).encode()
        assert [result.text for result in read_results(put("o", [raw, answer("b")]))] == [
            "x\u2028y\u0085z",
            "hello",
        ]

    def test_a_line_too_long_is_flagged_and_the_rest_is_read(self, put):
        path = put("o", [answer("a"), answer("b", chat("x" * 3_000_000)), answer("c")])
        first, second, third = read_results(path, line_bytes=1_000)
        assert (first.ok, third.ok) == (True, True)
        assert (second.custom_id, second.error.code, len(second.raw)) == ("b", "malformed_line", 1_001)

    def test_a_file_that_is_not_there(self, tmp_path):
        with pytest.raises(StorageError):
            list(read_results(tmp_path / "none"))
        with pytest.raises(StorageError):
            list(read_results(tmp_path))


class TestJoin:
    def test_one_result_for_each_request_in_their_order(self, put):
        requests = put("in.jsonl", [line(name) for name in "abcd"])
        output = put("output.jsonl", [answer("d"), answer("b")])
        errors = put("error.jsonl", failure("a"))
        joined = join_results(requests, [output, errors])
        results = list(joined)
        assert [result.custom_id for result in results] == ["a", "b", "c", "d"]
        assert [result.raw for result in results if result.custom_id != "c"] == [
            failure("a"),
            answer("b"),
            answer("d"),
        ]
        assert results[2].error.code == "missing"
        assert joined.report == JoinReport(ok=2, failed=2, missing=1)
        assert joined.report.total == 4
        assert list(joined.strays()) == []

    def test_the_order_can_be_given_as_ids(self, put):
        joined = join_results(iter(["c", "a", "c"]), [put("o", [answer("a"), answer("c")])])
        assert [result.custom_id for result in joined] == ["c", "a", "c"]
        assert joined.report.ok == 3

    def test_ids_are_equal_however_they_are_written(self, put):
        names = ["ü", 'q"\\', "\u2028", "😀", "", "a b"]
        lines = [answer(name) for name in names]
        raw = [json.dumps(json.loads(each), ensure_ascii=False).encode() for each in lines]
        last = [
            b'{"error":null,"response":' + json.dumps(json.loads(each)["response"]).encode() for each in lines
        ]
        last = [
            each + b',"custom_id":' + json.dumps(name).encode() + b"}"
            for each, name in zip(last, names, strict=True)
        ]
        for answers in (lines, raw, last):
            joined = join_results(put("in", [line(name) for name in names]), [put("o", answers)])
            assert [result.custom_id for result in joined] == names
            assert joined.report == JoinReport(ok=len(names))

    def test_no_files_at_all(self, put):
        joined = join_results(put("in", [line("a")]), [])
        assert [result.error.code for result in joined] == ["missing"]

    def test_an_equal_line_twice_is_counted(self, put):
        again = json.dumps(json.loads(answer("a")) | {"id": "another"}).encode()
        joined = join_results(["a"], [put("o", [answer("a"), answer("a"), b"", again])])
        assert [result.raw for result in joined] == [answer("a")]
        assert joined.report == JoinReport(ok=1, duplicates=2)
        assert list(joined.strays()) == []

    @pytest.mark.parametrize(
        ("lines", "kept"),
        [
            ([answer("a", chat("1")), answer("a", chat("2"))], 0),
            ([failure("a"), answer("a", chat("1")), answer("a", chat("2"))], 1),
            ([answer("a"), failure("a")], 0),
            ([failure("a"), failure("a", code="other")], 0),
            ([answer("a")[:-1], answer("a")], 1),
            ([answer("a"), answer("a")[:-1]], 0),
        ],
    )
    def test_of_different_lines_the_first_success_is_kept(self, put, lines, kept):
        # In one file, and over two.
        for files in ([put("o", lines)], [put("o1", lines[:1]), put("o2", lines[1:])]):
            joined = join_results(["a"], files)
            assert [result.raw for result in joined] == [lines[kept]]
            assert joined.report.conflicts == ["a"]
            others = lines[:kept] + lines[kept + 1 :]
            assert sorted(result.raw for result in joined.strays()) == sorted(others)

    def test_lines_nested_too_deep_to_compare_are_a_conflict(self, put):
        lines = [answer("a", {"x": json.loads("[" * 300 + "]" * 300), "y": y}) for y in (1, 2)]
        joined = join_results(["a"], [put("o", lines)])
        assert [result.raw for result in joined] == lines[:1]
        assert joined.report.conflicts == ["a"]

    def test_unknown_and_malformed_lines_are_told_and_can_be_read(self, put):
        lines = [answer("x"), b"nope", answer("a"), answer(...), b"", answer("b")[:-30]]
        joined = join_results(["a", "b"], [put("o", lines)])
        assert [result.ok for result in joined] == [True, False]
        assert joined.report == JoinReport(ok=1, failed=1, unknown=1, malformed=3)
        assert [result.raw for result in joined.strays()] == [lines[0], lines[1], lines[3]]

    def test_a_line_too_long_is_its_requests_failure(self, put):
        path = put("o", [answer("a", chat("x" * 3_000_000)), answer("b")])
        joined = join_results(["b", "a"], [path], line_bytes=1_000)
        assert [(result.custom_id, result.ok) for result in joined] == [("b", True), ("a", False)]
        assert joined.report == JoinReport(ok=1, failed=1, malformed=1)

    def test_a_name_that_stands_twice_in_a_line_loses_nothing(self, put):
        odd = answer("a").replace(b'"error"', b'"custom_id": "b", "error"')
        joined = join_results(["a", "b"], [put("o", [odd])])
        assert [result.error.code for result in joined] == ["missing", "missing"]
        assert [result.raw for result in joined.strays()] == [odd]

    @pytest.mark.parametrize(
        "hashed", [lambda _: 0, lambda _: -1, len, lambda custom_id: custom_id[-1] << 11]
    )
    def test_hashes_may_collide(self, put, monkeypatch, hashed):
        monkeypatch.setattr(overlay.results.line_index, "_hash", hashed)
        names = [f"r{number}" for number in range(40)]
        shuffled = [answer(name, chat(name)) for name in random.Random(1).sample(names, len(names))]
        shuffled += [failure("r3"), failure("r5")]
        joined = join_results([*names, "other"], [put("o", shuffled)])
        assert [result.text for result in joined] == [*names, None]
        assert joined.report == JoinReport(ok=40, failed=1, missing=1, conflicts=["r3", "r5"])

    def test_many_lines_over_several_files(self, put):
        names = [f"request-{number}" for number in range(5_000)]
        shuffled = random.Random(1).sample(names, len(names))
        files = [
            put(f"o{part}", [answer(name, chat(name)) for name in shuffled[part::3]]) for part in range(3)
        ]
        joined = join_results(put("in", [line(name) for name in names]), files)
        assert [result.text for result in joined] == names
        assert joined.report == JoinReport(ok=5_000)

    def test_requests_without_an_id_are_refused(self, put):
        joined = join_results(put("in", [line("a"), b"nope"]), [])
        assert next(joined).custom_id == "a"
        with pytest.raises(InvalidInputError, match="line 2: no custom_id"):
            next(joined)

    def test_files_that_are_not_there(self, put, tmp_path):
        with pytest.raises(StorageError):
            join_results(["a"], [put("o", [answer("a")]), tmp_path / "none"])
        with pytest.raises(StorageError):
            next(join_results(tmp_path / "none", []))

    def test_closing_lets_go_and_ends_the_iteration(self, put):
        with join_results(["a", "b"], [put("o", [answer("a"), answer("x")])]) as joined:
            assert next(joined).custom_id == "a"
        assert list(joined) == []
        with pytest.raises(StorageError, match="closed"):
            list(joined.strays())

    def test_memory_does_not_grow_with_the_bodies(self, put):
        names = [f"r{number}" for number in range(200)]
        path = put("o", [answer(name, chat("x" * 100_000)) for name in reversed(names)])
        tracemalloc.start()
        try:
            assert sum(len(result.text) for result in join_results(names, [path])) == 20_000_000
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 3_000_000

    def test_memory_for_each_request_is_small(self, put):
        names = [f"a-rather-long-custom-id-{number}" for number in range(20_000)]
        path = put("o", [b'{"custom_id":"%s"}' % name.encode() for name in names])
        tracemalloc.start()
        try:
            with join_results([], [path]):
                held = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        assert held < 300_000 + 60 * len(names)


class TestComplete:
    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"\n\n",
            answer(),
            answer() + b"\n",
            answer() + b"\r\n\n \n",
            b"nope\n" + answer(),
            answer("a", chat("x" * 5_000_000)),
            answer("a", chat("x" * 3_000_000)) + b"\n" + answer("b") + b"\n" * 2_000_000,
        ],
    )
    def test_whole_files_pass(self, put, content):
        check_complete(put("o", content))

    @pytest.mark.parametrize(
        "content",
        [
            answer()[:-1],
            answer("a") + b"\n" + answer("b")[:7],
            answer("a", chat("x" * 5_000_000))[:-9] + b"\n",
            b"<html>",
            b"[]",
        ],
    )
    def test_a_cut_last_line_is_told(self, put, content):
        with pytest.raises(InvalidResponseError, match=r"out\.jsonl: the last line is incomplete"):
            check_complete(put("out.jsonl", content))

    def test_every_cut_of_a_file_is_seen_but_those_between_lines(self, put):
        content = answer("a") + b"\n" + answer("b") + b"\n"
        whole = {0, len(answer("a")), len(answer("a")) + 1, len(content) - 1, len(content)}
        for length in range(len(content) + 1):
            path = put("o", content[:length])
            if length in whole:
                check_complete(path)
            else:
                with pytest.raises(InvalidResponseError):
                    check_complete(path)

    def test_a_file_that_is_not_there(self, tmp_path):
        with pytest.raises(StorageError):
            check_complete(tmp_path / "none")
