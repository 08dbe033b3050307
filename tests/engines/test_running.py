"""Jobs of uploaded shards, driven with an engine of threads, through the embedded service."""

import functools
from collections import Counter

import msgspec
import pyarrow as pa
import pytest
from support.local_engine import CHAT, ROWS, TABLE, LocalEngine, Review, go

from overlay import (
    BatchFailedError,
    Chat,
    Client,
    ConfigurationError,
    InvalidInputError,
    JobLockedError,
    JobMismatchError,
    WorkerError,
)
from overlay.engines.running import run
from overlay.server import Limits, Pace, Reject, Service


def check(table):
    """One row for each key, with the right answer."""
    assert table.column_names == [
        "id",
        "friendly",
        "error_code",
        "error_message",
        "input_tokens",
        "output_tokens",
    ]
    assert table.schema.field("id").type == pa.int32()
    rows = {row["id"]: row for row in table.to_pylist()}
    assert sorted(rows) == list(range(ROWS))
    assert table.num_rows == ROWS
    for number, row in rows.items():
        wanted = (None, "nope") if number % 10 == 9 else (True, None)
        assert (row["friendly"], row["error_code"]) == wanted, number


@pytest.mark.parametrize("twice", [False, True])
def test_each_key_is_answered_once(make, service, asked, twice):
    engine = LocalEngine(TABLE, rows=25, twice=twice)
    check(go(make, engine))
    # What failed in a way that may pass was asked a second time, and nothing else.
    assert Counter(asked.asked.values()) == {1: ROWS - 6, 2: 6}
    with make() as client:
        job = client.jobs.retrieve("reviews")
        assert (job.ended, job.requests, job.ok, job.failed) == (True, ROWS, ROWS - 6, 6)
        assert job.elsewhere


def test_what_has_ended_is_read_and_not_sent_again(make, asked):
    check(go(make, LocalEngine(TABLE, rows=25)))
    before = asked.asked.total()
    engine = LocalEngine(TABLE, rows=25)
    check(go(make, engine))
    assert (engine.uploads, engine.tasks, asked.asked.total()) == (0, [], before)


def test_something_else_under_the_same_id(make):
    go(make, LocalEngine(TABLE, rows=25))
    with pytest.raises(JobMismatchError, match="reviews"):
        go(make, LocalEngine(TABLE, rows=25), Chat("m", "Rude? {text}", answer=Review))


def test_rows_that_cannot_be_asked_about_are_all_named(make, asked):
    table = TABLE.set_column(
        0, "id", pa.array([None if n in {3, 44} else n for n in range(ROWS)], pa.int32())
    )
    with pytest.raises(InvalidInputError) as caught:
        go(make, LocalEngine(table, rows=25))
    assert caught.value.count == 2
    assert [problem.reason for problem in caught.value.problems] == ["the key id is missing"] * 2
    assert not asked.asked


def test_a_worker_without_a_token(make, monkeypatch):
    class Tokenless(LocalEngine):
        def upload(self, plan):
            monkeypatch.delenv("OPENAI_API_KEY")
            return super().upload(plan)

    with pytest.raises(WorkerError, match="OPENAI_API_KEY"):
        go(make, Tokenless(TABLE, rows=25))


def test_a_worker_that_does_not_see_the_place(make, tmp_path):
    class Elsewhere(LocalEngine):
        def upload(self, plan):
            (tmp_path / "home" / "staging" / "reviews" / "marker").write_text("another")
            return super().upload(plan)

    with pytest.raises(WorkerError, match="staging="):
        go(make, Elsewhere(TABLE, rows=25))


def test_a_token_in_the_tasks_is_refused(make):
    with pytest.raises(ConfigurationError, match="in every task"):
        go(functools.partial(make, token="sk-secret"), LocalEngine(TABLE, rows=25))


class Holding:
    """A function that holds what its clients are made of."""

    def __init__(self, base_url, home, token):
        self.options = {"base_url": base_url, "home": home, "token": token}

    def __call__(self):
        return Client(**self.options)


def test_a_token_that_a_function_holds_is_found_before_anything_is_sent(service, tmp_path):
    engine = LocalEngine(TABLE, rows=25)
    with pytest.raises(ConfigurationError, match="in every task"):
        go(Holding(service.base_url, tmp_path / "home", "sk-held-by-it"), engine)
    assert engine.uploads == 0
    go(Holding(service.base_url, tmp_path / "home", read_token), engine)


def read_token():
    return "sk-held-by-it"


def test_a_second_driver_is_refused(make):
    class Nested(LocalEngine):
        def run(self, plan, tasks):
            with pytest.raises(JobLockedError):
                go(make, LocalEngine(TABLE, rows=25))
            return super().run(plan, tasks)

    check(go(make, Nested(TABLE, rows=25)))


def test_a_driver_that_dies_anywhere_goes_on(make, asked):
    """Before the shards are in the ledger, while tasks run, and after their outcomes are known."""

    class Dies(LocalEngine):
        def __init__(self, *, at):
            super().__init__(TABLE, rows=25)
            self.at = at

        def upload(self, plan):
            for number, line in enumerate(super().upload(plan)):
                if self.at == "upload" and number == 1:
                    raise KeyboardInterrupt
                yield line

        def run(self, plan, tasks):
            done = list(super().run(plan, tasks))
            if self.at == "run":
                raise KeyboardInterrupt
            return done

    for at in ("upload", "run", "run"):
        with pytest.raises(KeyboardInterrupt):
            go(make, Dies(at=at))
    check(go(make, LocalEngine(TABLE, rows=25)))
    assert Counter(asked.asked.values()) == {1: ROWS - 6, 2: 6}


def test_a_file_that_is_gone_is_uploaded_again(make, service):
    class Deletes(LocalEngine):
        def upload(self, plan):
            lines = list(super().upload(plan))
            with make() as client:
                for file in list(client.files.list())[:1]:
                    client.files.delete(file.id)
            return lines

    engine = Deletes(TABLE, rows=25)
    check(go(make, engine))
    assert sum('"kind":"upload"' in task for task in engine.tasks) == 1


def test_shards_that_are_too_large_for_the_account_are_split(tmp_path, asked, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-worker")
    with Service(asked, limits=Limits(enqueued_tokens=900)) as narrow:
        engine = LocalEngine(TABLE, rows=30)
        check(go(functools.partial(Client, base_url=narrow.base_url, home=tmp_path), engine))
    assert any('"kind":"split"' in task for task in engine.tasks)
    assert Counter(asked.asked.values()) == {1: ROWS - 6, 2: 6}


def test_a_cancelled_job_gives_each_row_a_result(make, tmp_path, monkeypatch):
    with Service(pace=Pace(in_progress=60)) as slow:
        slow_make = functools.partial(Client, base_url=slow.base_url, home=tmp_path / "other")
        with pytest.raises(TimeoutError):
            go(slow_make, LocalEngine(TABLE, rows=25), timeout=0.3)
        with slow_make() as client:
            client.jobs.cancel("reviews")
        table = go(slow_make, LocalEngine(TABLE, rows=25))
        assert sorted(table["id"].to_pylist()) == list(range(ROWS))
        assert set(table["error_code"].to_pylist()) <= {"batch_cancelled", "missing"}


def test_the_verbs_that_need_requests_here_say_so(make):
    go(make, LocalEngine(TABLE, rows=25))
    with make() as client:
        for call in (client.jobs.wait, client.jobs.retry, client.jobs.failures):
            with pytest.raises(ConfigurationError, match="uploaded shards"):
                call("reviews")
        with pytest.raises(ConfigurationError, match="uploaded shards"):
            list(client.jobs.results("reviews"))


def test_files_that_no_batch_names_are_known_to_clean(make):
    go(make, LocalEngine(TABLE, rows=25, twice=True), delete_files=False)
    with make() as client:
        left = client.jobs.clean(delete=True)
        assert len(left) >= 3
        assert client.jobs.clean() == []


@pytest.mark.parametrize("engine", ["ray", "dask", "spark"])
def test_an_engine_that_is_not_installed_is_named_with_its_command(engine):
    module = __import__(f"overlay.engines.{engine}", fromlist=["map"])
    with pytest.raises(ConfigurationError, match=rf"pip install 'openai-batch-overlay\[{engine}\]'"):
        module.map(None, CHAT, key="id", id="reviews")


def test_answers_that_are_gone_can_be_given_up(make, service):
    """Their shard is stuck, and says how; given up, its rows say that they were."""

    service.faults.add("GET /v1/files/*/content", Reject(410), times=None)
    with pytest.raises(WorkerError, match="give-up reviews --shard 0"):
        go(make, LocalEngine(TABLE, rows=60))
    service.faults.clear()
    with make() as client:
        (shard,) = client.jobs.retrieve("reviews").stuck
        assert "FileGoneError" in shard.problem
    service.faults.add("GET /v1/files/*/content", Reject(410), times=None)
    with pytest.raises(WorkerError):
        go(make, LocalEngine(TABLE, rows=60))
    with make() as client:
        client.jobs.give_up("reviews")
    table = go(make, LocalEngine(TABLE, rows=60))
    assert table["error_code"].to_pylist() == ["given_up"] * ROWS
    assert sorted(table["id"].to_pylist()) == list(range(ROWS))


def test_a_job_that_the_service_refuses_as_a_whole_is_tried_again_when_it_is_run_again(
    tmp_path, asked, monkeypatch
):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-worker")
    limits = Limits(models={"other"})
    with Service(asked, limits=limits, state=tmp_path / "service") as strict:
        make = functools.partial(Client, base_url=strict.base_url, home=tmp_path / "home")
        for _ in range(2):
            with pytest.raises(BatchFailedError, match="send-again reviews"):
                go(make, LocalEngine(TABLE, rows=25))
        port = int(strict.base_url.rpartition(":")[2].removesuffix("/v1"))
    assert not asked.asked
    with Service(asked, port=port, state=tmp_path / "service"):
        check(go(make, LocalEngine(TABLE, rows=25)))


def test_a_table_without_rows(make):
    with pytest.raises(ConfigurationError, match="no requests"):
        go(make, LocalEngine(TABLE.slice(0, 0), rows=25))
    check(go(make, LocalEngine(TABLE, rows=25)))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"key": "no"}, "no column 'no'"),
        ({"template": Chat("m", "{other}")}, "other"),
        ({"schema": TABLE.schema.append(pa.field("friendly", pa.string()))}, "prefix="),
        ({"schema": pa.schema([("id", pa.list_(pa.int8())), ("text", pa.string())])}, "cannot be the key"),
        ({"job": "a/b"}, "job id"),
        ({"staging": "nowhere://x"}, "nowhere"),
        ({"client": "sk-secret"}, "function that makes a Client"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_sent(make, service, options, words):
    template = options.pop("template", CHAT)
    given = {"client": make} | options
    with pytest.raises(ConfigurationError, match=words):
        run(
            LocalEngine(TABLE, rows=25),
            given.pop("schema", TABLE.schema),
            template,
            key=given.pop("key", "id"),
            id=given.pop("job", "reviews"),
            options=given,
        )
    assert service.requests == []


def test_a_misspelt_option(make):
    with pytest.raises(TypeError, match="max_batch"):
        go(make, LocalEngine(TABLE, rows=25), max_batch=3)


def test_a_type_that_would_arrive_without_its_fields(make):
    class Local(msgspec.Struct):
        friendly: bool

    with pytest.raises(ConfigurationError, match="make it a dataclass"):
        go(make, LocalEngine(TABLE, rows=25), Chat("m", "{text}", answer=Local))
