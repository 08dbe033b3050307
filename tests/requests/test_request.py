"""The lines that go in: written, read and checked by the same rules."""

import errno
import json
import os
import pickle
import subprocess
import sys
import tracemalloc

import pytest
from support.request_lines import BODY, line

from overlay.errors import InvalidInputError, StorageError
from overlay.requests.request import Limits, Request, check_requests, read_requests, write_requests


def names(folder):
    return [path.name for path in folder.iterdir()]


class TestWrite:
    def test_what_is_written_is_read_again(self, tmp_path):
        path = tmp_path / "in.jsonl"
        texts = ["plain", "ü 😀 \u0085 \u2028 \u2029 \x0b", "", '\\ " \n \r \t \0']
        requests = [Request(f"r{n}", BODY | {"input": text}) for n, text in enumerate(texts)]
        assert write_requests(path, iter(requests)) == len(texts)
        assert list(read_requests(path)) == requests
        # A reader that splits as str.splitlines does sees the same lines.
        assert len(path.read_text().splitlines()) == len(texts)

    def test_a_line_is_the_documented_object(self):
        assert json.loads(Request("a", BODY, url="/v1/responses").to_line()) == {
            "custom_id": "a",
            "method": "POST",
            "url": "/v1/responses",
            "body": BODY,
        }

    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            ({"temperature": float("nan")}, "Out of range float"),
            ({"temperature": float("inf")}, "Out of range float"),
            ({"input": {1, 2}}, "not JSON serializable"),
            ({"input": "\ud800"}, "surrogates not allowed"),
            (["not", "a", "mapping"], "cannot be written"),
        ],
    )
    def test_what_is_no_json_is_refused(self, tmp_path, body, reason):
        with pytest.raises(InvalidInputError, match=reason) as caught:
            write_requests(tmp_path / "in.jsonl", [Request("a", BODY), Request("b", body)])
        assert caught.value.line == 2
        assert "'b'" in caught.value.reason
        assert names(tmp_path) == []

    def test_all_problems_are_told_and_the_older_file_stays(self, tmp_path):
        path = tmp_path / "in.jsonl"
        write_requests(path, [Request("old", BODY)])
        bad = [Request("a", BODY), Request("a", BODY), Request("", BODY), Request("b", BODY | {"model": "n"})]
        with pytest.raises(InvalidInputError) as caught:
            write_requests(path, bad)
        assert [problem.line for problem in caught.value.problems] == [2, 3, 4]
        assert [request.custom_id for request in read_requests(path)] == ["old"]
        assert names(tmp_path) == ["in.jsonl"]

    def test_nothing_to_write_is_refused(self, tmp_path):
        with pytest.raises(InvalidInputError, match="empty"):
            write_requests(tmp_path / "in.jsonl", [])
        assert names(tmp_path) == []

    def test_an_exception_of_the_caller_leaves_nothing_behind(self, tmp_path):
        def requests():
            yield Request("a", BODY)
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            write_requests(tmp_path / "in.jsonl", requests())
        assert names(tmp_path) == []

    def test_a_disk_that_takes_no_more_is_a_storage_error(self, tmp_path):
        path = tmp_path / "in.jsonl"
        path.write_bytes(line("old"))
        # A limit on the size of files refuses in the middle of writing, as a full disk does.
        code = f"""
import resource
from overlay.errors import StorageError
from overlay.requests.request import Request, write_requests
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
try:
    write_requests({str(path)!r}, (Request(f"r{{n}}", {BODY}) for n in range(30_000)))
except StorageError as error:
    print(error)
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout == f"{path}: {os.strerror(errno.EFBIG)}\n"
        assert path.read_bytes() == line("old")
        assert names(tmp_path) == ["in.jsonl"]

    def test_a_folder_that_is_not_there_is_a_storage_error(self, tmp_path):
        with pytest.raises(StorageError, match="No such file"):
            write_requests(tmp_path / "none" / "in.jsonl", [Request("a", BODY)])

    def test_a_name_as_long_as_names_may_be(self, tmp_path):
        path = tmp_path / ("n" * 255)
        assert write_requests(path, [Request("a", BODY)]) == 1

    def test_a_request_pickles(self):
        request = Request("a", BODY)
        assert pickle.loads(pickle.dumps(request)) == request


class TestRead:
    def test_the_first_bad_line_ends_it(self, tmp_path):
        path = tmp_path / "in.jsonl"
        path.write_bytes(line("a") + b"\nnope\n" + line("a"))
        requests = read_requests(path)
        assert next(requests) == Request("a", BODY)
        with pytest.raises(InvalidInputError, match=r"in\.jsonl, line 2: not valid JSON"):
            next(requests)

    def test_a_number_that_python_cannot_hold(self, tmp_path):
        path = tmp_path / "in.jsonl"
        path.write_bytes(line().replace(b'"hi"', b"1e999"))
        with pytest.raises(InvalidInputError, match="line 1: Number out of range"):
            list(read_requests(path))

    def test_limits_hold_here_too(self, tmp_path):
        path = tmp_path / "in.jsonl"
        path.write_bytes(line("a") + b"\n" + line("b"))
        assert len(list(read_requests(path))) == 2
        with pytest.raises(InvalidInputError, match="more than 1 requests"):
            list(read_requests(path, limits=Limits(requests=1)))


def test_memory_does_not_grow_with_the_bodies(tmp_path):
    path = tmp_path / "in.jsonl"
    with path.open("wb") as file:
        for number in range(100):
            file.write(line(f"r{number}", body={"model": "m", "input": "x" * 200_000}) + b"\n")
    tracemalloc.start()
    try:
        assert check_requests(path).requests == 100
        assert sum(1 for _ in read_requests(path)) == 100
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4_000_000


@pytest.mark.parametrize("module", ["overlay.requests.request", "overlay.results.files"])
def test_importing_is_cheap(module):
    code = f"import sys, {module}; print({{'pydantic', 'sqlite3', 'orjson'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
