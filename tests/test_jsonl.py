import pytest

from overlay.errors import InvalidInputError
from overlay.jsonl import Request, check_requests, read_requests, write_requests


def test_what_is_written_is_read_again(tmp_path):
    path = tmp_path / "in.jsonl"
    requests = [
        Request(f"r{n}", {"model": "m", "messages": [{"role": "user", "content": "\u2028 ü"}]})
        for n in range(3)
    ]
    assert write_requests(path, requests) == 3
    assert list(read_requests(path)) == requests
    summary = check_requests(path)
    assert (summary.requests, summary.model, summary.endpoint) == (3, "m", "/v1/chat/completions")


def test_a_duplicate_names_the_first_line(tmp_path):
    with pytest.raises(InvalidInputError, match=r"line 2.*already that of line 1"):
        write_requests(tmp_path / "in.jsonl", [Request("a", {}), Request("a", {})])
    assert not list(tmp_path.iterdir())
