"""What is as the API documents it is not made readable, which would change nothing in it."""

import copy

import pytest
from hypothesis import given, strategies as st
from support.calling import batch_object

from overlay.wire import reading
from overlay.wire.documented import is_documented

SECONDS = 1_750_000_000
FILE = {
    "id": "file-1",
    "object": "file",
    "bytes": 7,
    "created_at": SECONDS,
    "expires_at": None,
    "filename": "in.jsonl",
    "purpose": "batch",
    "status": "processed",
}


def test_a_batch_and_a_file_are():
    assert is_documented(batch_object(created_at=SECONDS, metadata={"a": "b"}))
    assert is_documented(batch_object(request_counts={"total": 2, "completed": 1, "failed": 1}))
    assert is_documented(FILE)


@pytest.mark.parametrize(
    "change",
    [
        {"created_at": str(SECONDS)},
        {"created_at": SECONDS * 1000},
        {"created_at": 0},
        {"completed_at": "2026-01-01T00:00:00Z"},
        {"errors": {"data": [{"code": "x"}]}},
        {"error": "so it says"},
        {"request_counts": {"total": "2", "completed": 1, "failed": 1}},
        {"request_counts": {"succeeded_requests": 1, "total_requests": 1}},
        {"metadata": [1]},
        {"usage": "many"},
        {"id": 7},
        {"input_file_id": 7},
        {"started_at": "1750000000"},
    ],
)
def test_whatever_has_to_be_read_is_not(change):
    assert not is_documented(batch_object() | change)


MOMENTS = st.none() | st.integers() | st.floats() | st.text(max_size=12)
FIELDS = st.fixed_dictionaries(
    {"id": st.text(max_size=5) | st.integers()},
    optional={
        "created_at": MOMENTS,
        "completed_at": MOMENTS,
        "finalizing_at": MOMENTS,
        "errors": st.none() | st.just({"data": [{"message": "m"}]}),
        "request_counts": st.none()
        | st.fixed_dictionaries(
            {"total": st.integers() | st.none()},
            optional={"completed": st.integers(), "failed": st.floats(), "x": st.none()},
        ),
        "metadata": st.none()
        | st.dictionaries(st.text(max_size=2), st.integers(), max_size=1)
        | st.integers(),
        "usage": st.none() | st.just({}) | st.just([]),
        "output_file_id": st.none() | st.text(max_size=3) | st.integers(),
        "batch_id": st.none() | st.text(max_size=3),
    },
)


@given(FIELDS)
def test_making_it_readable_would_change_nothing(fields):
    if is_documented(fields):
        before = copy.deepcopy(fields)
        reading._tidy(fields)
        assert fields == before
