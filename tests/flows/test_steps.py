"""Flows by hand, without a server or time passing; and the two drivers, which must do the same."""

import random
import threading
from datetime import timedelta
from types import SimpleNamespace

import anyio
import pytest
from support.calling import TOKEN, FakeClock, batch_object

from overlay import (
    APIConnectionError,
    APITimeoutError,
    BadRequestError,
    InternalServerError,
    InvalidResponseError,
    NotFoundError,
    RateLimitError,
    StorageError,
    UnknownOutcomeError,
    WaitTimeoutError,
)
from overlay.flows.drivers import Awaiting, Blocking
from overlay.flows.steps import Call, Pull, Sleep, Together, Work, call, deadline
from overlay.generated import models
from overlay.generated.api.batch import cancel_batch, create_batch, list_batches, retrieve_batch
from overlay.operations import batches, waiting
from overlay.services import service_named
from overlay.wire import retry
from overlay.wire.auth import Tokens
from overlay.wire.clock import seconds
from overlay.wire.connection import Settings


@pytest.fixture
def settings():
    return Settings(
        base_url="http://127.0.0.1:9/v1",
        service=service_named("openai"),
        tokens=Tokens(TOKEN),
        headers={},
        timeout=60.0,
        max_retries=5,
        clock=FakeClock(),
    )


def status_error(error_type, status_code, **details):
    return error_type("no", status_code=status_code, **details)


def a_batch(**fields):
    return models.Batch.from_dict(batch_object(**fields))


def returned(flow, value):
    """What the flow returns when its last step gives this value."""
    with pytest.raises(StopIteration) as stop:
        flow.send(value)
    return stop.value.value


def slept(flow, settings, step):
    """Pass a Sleep of the flow, and give the step after it."""
    assert isinstance(step, Sleep)
    settings.clock.sleep(step.seconds)
    return next(flow)


def test_a_flow_is_tested_by_hand(settings):
    flow = batches.retrieve(settings, "batch_1")
    assert next(flow) == Call(retrieve_batch, {"batch_id": "batch_1"}, "read")
    pause = flow.throw(APIConnectionError("the connection broke"))
    assert 0 <= pause.seconds <= 0.5
    assert slept(flow, settings, pause) == Call(retrieve_batch, {"batch_id": "batch_1"}, "read")
    assert returned(flow, a_batch()).status == "in_progress"


def test_a_wait_by_hand(settings):
    flow = waiting.wait(settings, "batch_1", timeout=timedelta(seconds=5))
    next(flow)
    pause = flow.send(a_batch())
    pause = flow.send(pause.function())
    assert 4 <= pause.seconds <= 5
    settings.clock.move(5)
    assert next(flow).endpoint is retrieve_batch
    with pytest.raises(WaitTimeoutError):
        flow.send(a_batch())


def test_a_create_by_hand(settings):
    flow = batches.create(settings, input_file_id="file-1", endpoint="/v1/responses", grace=7)
    step = next(flow)
    assert (step.endpoint, step.profile) == (create_batch, "create")
    step = flow.throw(status_error(InternalServerError, 502))
    nothing = SimpleNamespace(entries=[], has_more=False, last_id=None, next_cursor=None, bare=False)
    for pause in (5.0, 2.0):
        assert step.endpoint.__name__ == list_batches.__name__
        step = flow.send(nothing)
        assert step == Sleep(pause)
        step = slept(flow, settings, step)
    assert step.endpoint.__name__ == list_batches.__name__
    with pytest.raises(UnknownOutcomeError):
        flow.send(nothing)


def test_tries_are_limited_in_number(settings):
    flow = call(settings, retrieve_batch, policy=retry.Policy(tries=3, within=120), batch_id="b")
    step = next(flow)
    for _ in range(2):
        step = slept(flow, settings, flow.throw(APIConnectionError("no")))
    assert isinstance(step, Call)
    with pytest.raises(APIConnectionError, match="no"):
        flow.throw(APIConnectionError("no"))


def test_tries_are_limited_in_time(settings):
    flow = call(settings, retrieve_batch, policy=retry.Policy(tries=100, within=10), batch_id="b")
    next(flow)
    slept(flow, settings, flow.throw(APIConnectionError("no")))
    settings.clock.move(11)
    with pytest.raises(APIConnectionError):
        flow.throw(APIConnectionError("no"))


def test_no_try_begins_after_a_deadline(settings):
    flow = call(settings, retrieve_batch, until=deadline(settings, 3.0), batch_id="b")
    next(flow)
    with pytest.raises(RateLimitError):
        flow.throw(status_error(RateLimitError, 429, retry_after=4.0))


def test_a_second_try_may_find_the_work_done(settings):
    def begun():
        flow = call(settings, cancel_batch, settled=NotFoundError, batch_id="b")
        next(flow)
        return flow

    with pytest.raises(NotFoundError):
        begun().throw(status_error(NotFoundError, 404))
    flow = begun()
    slept(flow, settings, flow.throw(APIConnectionError("no")))
    with pytest.raises(StopIteration) as stop:
        flow.throw(status_error(NotFoundError, 404))
    assert stop.value.value is None


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (APIConnectionError("no"), True),
        (APITimeoutError("no"), True),
        (InvalidResponseError("no"), True),
        (status_error(InternalServerError, 500), True),
        (status_error(InternalServerError, 501, should_retry=False), False),
        (status_error(BadRequestError, 400), False),
        (status_error(BadRequestError, 400, should_retry=True), True),
        (status_error(RateLimitError, 429), True),
        (status_error(RateLimitError, 429, code="insufficient_quota"), False),
        (status_error(retry.APIStatusError, 408), True),
        (status_error(retry.APIStatusError, 409), True),
        (status_error(retry.APIStatusError, 425), True),
        (UnknownOutcomeError("no", input_file_id="f"), False),
    ],
    ids=repr,
)
def test_what_may_pass(error, transient):
    assert retry.is_transient(error) is transient
    assert (retry.delay(error, 0) is not None) is transient


def test_delays_are_drawn_from_the_whole_of_a_growing_interval():
    most = [retry.jitter(attempt, lambda low, high: high) for attempt in (0, 1, 2, 3, 4, 5, 6, 10_000)]
    assert most == [0.5, 1, 2, 4, 8, 16, 20, 20]
    assert retry.jitter(3, lambda low, high: low) == 0
    drawn = {retry.delay(APIConnectionError("no"), 5, random.Random(n).uniform) for n in range(20)}
    assert len(drawn) == 20
    asked = status_error(RateLimitError, 429, retry_after=900.0)
    assert retry.delay(asked, 0, lambda low, high: low) == 900
    assert retry.delay(status_error(RateLimitError, 429, retry_after=900.1), 0) is None


def test_times_are_timedeltas_or_seconds(settings):
    assert seconds(timedelta(hours=1)) == seconds(3600) == 3600.0
    assert deadline(settings, None).left == float("inf")
    limit = deadline(settings, timedelta(seconds=9))
    settings.clock.move(2)
    assert limit.left == 7
    assert limit.later(5).left == 12
    assert deadline(settings, None).later(5).left == float("inf")


@pytest.fixture
def run(kind, settings):
    """Runs a flow with the driver of each kind in turn."""
    if kind == "blocking":
        return Blocking(settings).run
    return lambda flow: anyio.run(Awaiting(settings).run, flow, backend=kind)


def stepping(*steps):
    values = []
    for step in steps:
        values += [(yield step)]
    return values


def test_drivers_perform_steps(run, settings):
    steps = (Sleep(3.0), Work(lambda: 7), Pull(iter("abc"), 2))
    assert run(stepping(*steps)) == [None, 7, ["a", "b"]]
    assert settings.clock.slept == [3.0]


def test_drivers_throw_what_a_step_raises_into_the_flow(run, tmp_path):
    def flow():
        try:
            yield Work((tmp_path / "missing").read_bytes)
        except StorageError as error:
            return error
        return None

    error = run(flow())
    assert error.path == tmp_path / "missing"
    assert error.__cause__ is error.__context__ is None


def test_drivers_leave_other_errors_alone_and_close_the_flow(run):
    closed = []

    def flow():
        try:
            yield Work(lambda: 1 / 0)
        finally:
            closed.append(True)

    with pytest.raises(ZeroDivisionError):
        run(flow())
    assert closed == [True]


def test_work_is_done_off_the_event_loop(kind, run):
    threads = run(stepping(Work(threading.get_ident)))
    assert (threads == [threading.get_ident()]) is (kind == "blocking")


def test_flows_side_by_side(run):
    under_way, most, guard = 0, 0, threading.Lock()

    def enter():
        nonlocal under_way, most
        with guard:
            under_way += 1
            most = max(most, under_way)

    def leave():
        nonlocal under_way
        with guard:
            under_way -= 1

    def flow(number):
        yield Work(enter)
        yield Work(leave)
        if number in {3, 5}:
            raise BadRequestError(f"number {number}", status_code=400)
        return number

    assert run(stepping(Together([flow(number) for number in range(3)], 2))) == [[0, 1, 2]]
    assert most <= 2
    with pytest.raises(BadRequestError, match="number 3"):
        run(stepping(Together([flow(number) for number in range(8)], 4)))
    assert most <= 4
    assert under_way == 0
    assert run(stepping(Together([], 4))) == [[]]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_cancelled_flow_is_closed(settings, backend):
    closed = []

    def flow():
        try:
            yield Pull(Forever(), 1)
        finally:
            closed.append(True)

    class Forever:
        def __aiter__(self):
            return self

        async def __anext__(self):
            await anyio.sleep_forever()

    async def main():
        with anyio.move_on_after(0.01) as scope:
            await Awaiting(settings).run(flow())
        assert scope.cancelled_caught

    anyio.run(main, backend=backend)
    assert closed == [True]
