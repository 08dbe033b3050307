"""The tree of errors: drawn as it is, pickled as it was."""

import copy
import inspect
import pickle
import re
from pathlib import Path

import pytest

import overlay
from overlay import (
    APIStatusError,
    InvalidInputError,
    OverlayError,
    Problem,
    RateLimitError,
    StorageError,
    errors,
)

TYPES = [
    each
    for each in vars(errors).values()
    if inspect.isclass(each) and issubclass(each, OverlayError) and each is not OverlayError
]
DETAILS = {
    "batch_id": "batch_1",
    "code": "c",
    "cost": 1.5,
    "custom_id": "r1",
    "input_file_id": "file-1",
    "job_id": "job",
    "max_cost": 1.0,
    "path": Path("in.jsonl"),
    "pid": 7,
    "since": "2026-11-01T00:00:00Z",
    "status": "in_progress",
    "status_code": 418,
}


def example(error_type):
    """An error of a type, with everything that it must be given."""
    if error_type is InvalidInputError:
        return InvalidInputError("in.jsonl", [Problem(7, "not JSON"), Problem(None, "too long")], count=9)
    parameters = inspect.signature(error_type.__init__).parameters.values()
    needed = [
        each.name for each in parameters if each.kind is each.KEYWORD_ONLY and each.default is each.empty
    ]
    return error_type("it went wrong", **{name: DETAILS[name] for name in needed})


@pytest.mark.parametrize("error_type", TYPES)
def test_every_error_survives_pickling_and_copying(error_type):
    error = example(error_type)
    error.request_id = "req_1"
    error.add_note("seen on a Tuesday")
    pickled = [pickle.loads(pickle.dumps(error, protocol)) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
    for again in (*pickled, copy.copy(error), copy.deepcopy(error)):
        assert type(again) is error_type
        assert str(again) == str(error) == error.message
        assert again.args == error.args
        assert vars(again) == vars(error)
        assert again.request_id == "req_1"
        with pytest.raises(error_type):
            raise again


def test_the_tree_is_as_it_is_drawn():
    drawn, ancestors = {}, []
    for line in errors.__doc__.splitlines():
        found = re.fullmatch(r"    ([│├└─ ]*)(\w+Error)(?: \((\w+)\))?(?: {2,}(.+))?", line)
        if found is None:
            continue
        depth = len(found[1]) // 4
        del ancestors[depth:]
        drawn[found[2]] = {*ancestors[-1:], *([found[3]] if found[3] else [])}
        ancestors.append(found[2])
        assert found[4] or found[2] == "OverlayError", f"what does {found[2]} mean?"
    there = {each.__name__: {base.__name__ for base in each.__bases__} for each in (OverlayError, *TYPES)}
    assert drawn == there | {"OverlayError": set()}


@pytest.mark.parametrize("error_type", TYPES)
def test_every_error_is_public_and_described(error_type):
    assert getattr(overlay, error_type.__name__) is error_type
    assert error_type.__name__ in overlay.__all__
    assert error_type.__doc__


def test_the_request_id_is_in_the_message():
    error = RateLimitError("slow down", status_code=429, request_id="req_1")
    assert str(error) == "slow down (request req_1)"
    assert repr(error) == "RateLimitError('slow down (request req_1)')"
    assert str(APIStatusError("no", status_code=418)) == "no"
    assert overlay.APIConnectionError("gone").request_id is None


def test_problems_are_told_by_their_first():
    error = InvalidInputError("in.jsonl", [Problem(7, "not JSON"), Problem(9, "no custom_id")], count=1200)
    assert str(error) == "in.jsonl, line 7: not JSON (and 1,199 more)"
    assert (error.path, error.line, error.reason, error.count) == (Path("in.jsonl"), 7, "not JSON", 1200)
    assert [str(problem) for problem in error.problems] == ["line 7: not JSON", "line 9: no custom_id"]
    assert str(InvalidInputError(None, [Problem(None, "none")])) == "requests: none"


def test_errors_that_others_catch():
    assert issubclass(errors.ConfigurationError, ValueError)
    assert issubclass(errors.InvalidInputError, ValueError)
    assert issubclass(errors.WaitTimeoutError, TimeoutError)
    assert issubclass(errors.StorageError, OSError)
    with pytest.raises(OSError, match="full") as caught:
        raise StorageError("the disk is full", path="out")
    assert caught.value.path == Path("out")
