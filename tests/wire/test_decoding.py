"""JSON answers: what msgspec refuses and Python's own decoder reads is read all the same."""

import json

import pytest

from overlay.wire.decoding import JSONResponse


@pytest.mark.parametrize(
    "text",
    [
        '{"id": "batch_1", "n": [1, 2.5, -3e10, true, null], "deep": {"a": {}}}',
        '{"big": 123456789012345678901234567890, "small": 1e-400}',
        '{"pair": "\\ud83d\\ude00", "line": "\\u2028\u2028"}',
        '{"huge": 1e999, "same": 1, "same": 2}',
        '{"bad": Infinity}',
    ],
)
def test_it_reads_what_python_reads(text):
    assert JSONResponse(200, content=text.encode()).json() == json.loads(text)


def test_it_reads_nan():
    assert str(JSONResponse(200, content=b'{"n": NaN}').json()) == "{'n': nan}"


@pytest.mark.parametrize("content", [b"", b"<html>", b'{"cut": ', b'{"\xff": 1}'])
def test_what_is_no_json_is_an_error(content):
    with pytest.raises(ValueError, match=r".+"):
        JSONResponse(200, content=content).json()
