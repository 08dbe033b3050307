"""What gets lost on the way: copies of requests, answers, late result files, keys that do not come back."""

import shutil
import uuid
from collections import Counter

import pyarrow as pa
import pytest
from support.local_engine import TABLE, LocalEngine, go

from overlay import InvalidInputError, Limits, StorageError, WorkerError
from overlay.server import Reject

FEW = TABLE.slice(0, 4)


class Before(LocalEngine):
    """Something happens before the first tasks are run."""

    def __init__(self, happens):
        super().__init__(FEW, rows=4)
        self._happens = [happens]

    def run(self, plan, tasks):
        while self._happens:
            self._happens.pop()()
        return super().run(plan, tasks)


@pytest.fixture
def kept(tmp_path):
    return tmp_path / "home" / "staging" / "reviews"


def the_input(kept):
    (path,) = (kept / "inputs").iterdir()
    return path


@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_a_lost_copy_of_requests_is_had_from_the_service(make, kept, asked, damage):
    def lose():
        path = the_input(kept)
        path.unlink() if damage == "gone" else path.write_bytes(path.read_bytes()[:-9])

    assert sorted(go(make, Before(lose))["id"].to_pylist()) == [0, 1, 2, 3]
    assert set(asked.asked.values()) == {1}


def lose_everywhere(make, kept):
    the_input(kept).unlink()
    with make() as client:
        for file in client.files.list(purpose="batch"):
            client.files.delete(file.id)


@pytest.mark.parametrize("verb", ["give_up", "cancel"])
def test_requests_that_are_lost_everywhere_can_be_let_go(make, kept, verb):
    with pytest.raises(WorkerError, match=r"can only be given up.*give-up reviews --shard 0"):
        go(make, Before(lambda: lose_everywhere(make, kept)))
    with make() as client:
        getattr(client.jobs, verb)("reviews")
    assert go(make, LocalEngine(FEW, rows=4)).num_rows == 0
    with make() as client:
        job = client.jobs.retrieve("reviews")
        assert (job.ended, job.requests, job.ok) == (True, 4, 0)


def test_result_files_that_are_late_are_waited_for(make, service, asked):
    service.faults.add("GET /v1/files/*/content", Reject(404), times=2)
    assert go(make, LocalEngine(FEW, rows=2)).num_rows == 4
    assert set(asked.asked.values()) == {1}


def test_answers_that_are_gone_are_told_by_the_driver(make, kept):
    go(make, LocalEngine(FEW, rows=2))
    shutil.rmtree(kept / "answers")
    with pytest.raises(StorageError, match="2 of the 2 files of answers are gone"):
        go(make, LocalEngine(FEW, rows=2))


def test_rows_that_the_service_would_refuse_are_named_by_their_keys(make, service):
    table = pa.table({"id": ["a", "b", "b"], "text": ["short", "x" * 5000, "short"]})
    with pytest.raises(InvalidInputError) as caught:
        go(make, LocalEngine(table, rows=3), schema=table.schema, limits=Limits(line_bytes=1000))
    assert caught.value.count == 2
    assert [problem.reason for problem in caught.value.problems] == [
        'row "b": longer than 1,000 bytes',
        'row "b": another row has this key',
    ]
    assert not [each for each in service.requests if each.method == "POST"]


def test_keys_that_do_not_come_back_from_their_texts_are_refused_before_anything_is_paid(make, service):
    keys = pa.array([uuid.UUID(int=n).bytes for n in range(2)], pa.uuid())
    table = pa.table({"id": keys, "text": ["a", "b"]})
    with pytest.raises(WorkerError, match="cast the column to text"):
        go(make, LocalEngine(table, rows=2), schema=table.schema)
    # The dataset says that they are text, and a partition has something else.
    other = pa.table({"id": pa.array([1.5, 2.5], pa.float64()), "text": ["a", "b"]})
    with pytest.raises(WorkerError, match="cast the column to text"):
        go(make, LocalEngine(other, rows=2), schema=TABLE.schema, job="others")
    assert not [each for each in service.requests if each.method == "POST"]


@pytest.mark.parametrize(
    "keys",
    [
        pa.array([0.1, 0.25, float("inf")], pa.float32()),
        pa.array([True, False]),
        pa.array(["a", "b"]).dictionary_encode(),
        pa.array([1, 1_704_164_645_000_000_001], pa.timestamp("ns", "Europe/Berlin")),
    ],
    ids=lambda keys: str(keys.type),
)
def test_keys_of_other_types_come_back(make, asked, keys):
    table = pa.table({"id": keys, "text": [f"text {n}" for n in range(len(keys))]})
    found = go(make, LocalEngine(table, rows=2), schema=table.schema)["id"].combine_chunks()
    assert Counter(asked.asked.values()) == {1: len(keys)}
    assert len(keys) == len(found) == len(found.unique())
    assert pa.compute.is_in(keys.cast(found.type), found).to_pylist() == [True] * len(keys)
