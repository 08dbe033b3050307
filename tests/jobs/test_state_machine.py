"""Service, ledger and clock in any order of events: each request gets its one verdict, no shard two batches.

Two home folders have a job of the same name and of the same requests there, and a colleague uses their files.

OVERLAY_MACHINE_EXAMPLES says how many histories are tried; a few dozen unless it is set.
"""

import os
import tempfile
from contextlib import ExitStack, suppress
from functools import partial
from io import BufferedIOBase, RawIOBase
from pathlib import Path

from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.fake_service import FakeService
from support.job_scene import BASE_URL, TWO
from support.job_steps import chat, chats, custom_ids
from support.step_clock import StepClock

from overlay import (
    BadRequestError,
    BatchFailedError,
    Client,
    ConfigurationError,
    InvalidResponseError,
    JobNotEndedError,
    JobNotFoundError,
    NotFoundError,
    RateLimitError,
    UnknownOutcomeError,
    WaitTimeoutError,
)
from overlay.flows.drivers import Blocking, _outcome_of, _values
from overlay.jobs.home import home_id
from overlay.jobs.ledger import Ledger

_MEMORY = Path("/dev/shm")  # commits take no time there
_GRACE = 180.0
REQUESTS = [*chats(4), chat("r4", "ask 0", model="m0")]
"""The last asks what the first does: where that is told apart, it is sent once."""
ROOM_FOR_ONE = 1 + max(len(request.to_line()) // 4 + 1 for request in REQUESTS)
"""Tokens of a model that an account may hold at a time."""


STUCK = (NotFoundError, BadRequestError, BatchFailedError)
"""What a job says of a shard that is stuck: a file or batch that is gone, or one that was refused."""


class CrashError(BaseException):
    """The process dies."""


class Process(Blocking):
    """Takes its steps one after the other, and dies before or after one of them."""

    def __init__(self, settings, *, dies_at=None, done=False):
        super().__init__(settings)
        self._left = float("inf") if dies_at is None else dies_at
        self._done = done

    def _perform(self, step):
        self._left -= 1
        if self._left < 0 and not (self._done and self._left == -1):
            raise CrashError
        value = None
        try:
            value = super()._perform(step)
        finally:
            if self._left < 0:
                if isinstance(value, BufferedIOBase | RawIOBase):
                    value.close()  # as the system does for the dead
                raise CrashError
        return value

    def _together(self, step):
        outcomes = {number: _outcome_of(partial(self.run, flow)) for number, flow in enumerate(step.flows)}
        return _values(outcomes)


NOT_NOW = (JobNotFoundError, JobNotEndedError, ConfigurationError, *STUCK, RateLimitError)

seconds = st.sampled_from([0.0, 1.0, 20.0, 60.0])
which = st.integers(0, 5)
dying = st.tuples(st.integers(0, 60), st.booleans())


class JobMachine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.stack = ExitStack()
        memory = _MEMORY if _MEMORY.is_dir() else None
        self.home = self.stack.enter_context(tempfile.TemporaryDirectory(dir=memory))
        self.clock = StepClock()
        self.fake = FakeService(self.clock)
        self.settings = self.settings_for("home")
        self.cancelled = False
        self.theirs = []
        self.gone = set()

    def settings_for(self, home):
        home = Path(self.home, home)
        client = Client(token="t", base_url=BASE_URL, transport=self.fake.transport, home=home)
        self.stack.enter_context(client)
        self.verbs = type(client.jobs)
        settings = client._driver.settings
        settings.clock = self.clock
        return settings

    def jobs(self, dies=None, settings=None):
        """What a new process has to work with."""
        dies_at, done = dies or (None, False)
        process = Process(settings or self.settings, dies_at=dies_at, done=done)
        self.stack.callback(process.connections.close)
        return self.verbs(process)

    def submit(self, jobs):
        options = {"max_attempts": 3, "delete_files": self.tidy, "dedupe": self.dedupe}
        return jobs.submit(REQUESTS, id="j", limits=TWO, grace=_GRACE, **options)

    # What the caller does.

    @initialize(tidy=st.booleans(), dedupe=st.booleans(), failing_after=st.sampled_from([None, 0.0, 30.0]))
    def begin(self, tidy, dedupe, failing_after):
        self.tidy, self.dedupe = tidy, dedupe
        self.fake.failing_after = failing_after

    @rule(dies=dying)
    def submit_and_die(self, dies):
        with suppress(CrashError, RateLimitError, *STUCK):
            self.submit(self.jobs(dies))

    @rule(dies=dying, timeout=st.sampled_from([1.0, 100.0, 1000.0]))
    def wait_and_die(self, dies, timeout):
        with suppress(CrashError, WaitTimeoutError, JobNotFoundError, UnknownOutcomeError, *STUCK):
            self.jobs(dies).wait("j", timeout=timeout)

    @rule(timeout=st.sampled_from([1.0, 100.0, 1000.0]))
    def submit_and_wait(self, timeout):
        with suppress(WaitTimeoutError, RateLimitError, UnknownOutcomeError, *STUCK):
            self.submit(self.jobs())
            self.jobs().wait("j", timeout=timeout)

    @precondition(lambda self: not self.cancelled and len(self.fake.batches) > 2)
    @rule(dies=dying)
    def cancel(self, dies):
        with suppress(CrashError, JobNotFoundError):
            self.cancelled = True
            self.jobs(dies).cancel("j")

    @rule(shard=st.sampled_from([None, 1, 2, 3]))
    def give_up(self, shard):
        with suppress(*NOT_NOW):
            self.jobs().give_up("j", shard=shard)

    @precondition(lambda self: not self.cancelled)
    @rule(shard=st.sampled_from([None, 1, 2, 3]))
    def send_again(self, shard):
        with suppress(*NOT_NOW):
            self.jobs().retrieve("j")
            for unit in self.units():
                if unit.state in {"creating", "fencing"} and unit.file_id not in self.gone:
                    return  # a create may be on its way: to pay again now is to pay twice
                for batch in self.fake.batches.values():
                    if unit.trouble and unit.file_id == batch.body["input_file_id"]:
                        batch.injected = True  # it was decided to pay for its requests twice
            self.jobs().send_again("j", shard=shard)

    # What others do, in the same project.

    @rule(dies=dying)
    def another_home_runs_a_job_of_that_name(self, dies):
        with suppress(CrashError, RateLimitError, UnknownOutcomeError, *STUCK):
            self.submit(self.jobs(dies, self.settings_for("other")))

    @rule(delete=st.booleans())
    def another_home_cleans_up_and_recovers(self, delete):
        with suppress(InvalidResponseError):
            jobs = self.jobs(settings=self.settings_for("other"))
            jobs.clean(delete=delete)
            jobs.recover()

    @rule(which=which, metadata=st.sampled_from([None, {"sample": "1"}]))
    def a_colleague_uses_a_file_of_ours(self, which, metadata):
        for batch in self.some_live(which):
            if self.fake.files[batch.body["input_file_id"]].deleted_at is None:
                self.theirs.append(self.fake.somebody_creates(batch.body["input_file_id"], metadata))

    @rule(dies=dying)
    def clean_up(self, dies):
        with suppress(CrashError, InvalidResponseError):
            self.jobs(dies).clean(delete=True)

    # What the service does.

    @rule(which=which)
    def a_batch_is_forgotten(self, which):
        for batch in self.some_live(which):
            # It has never run: what it would cost, nobody can know.
            batch.forgotten, batch.status = True, "cancelled"

    @precondition(lambda self: self.fake.files)
    @rule(which=which)
    def a_file_is_gone(self, which):
        files = list(self.fake.files.values())
        file = files[which % len(files)]
        if file.deleted_at is None:
            file.deleted_at = self.clock.time()
            self.gone.add(file.id)

    @rule()
    def the_next_batch_is_refused(self):
        for batch in self.some_live(0):
            if not batch.answered:
                self.fake.fail(batch, "model_not_found")

    @rule(
        oldest_first=st.booleans(),
        odd=st.sampled_from([[], [7], [{"id": "batch_odd", "errors": "text"}]]),
        stale=seconds,
        fails_without_file=st.booleans(),
    )
    def the_list_and_the_fence_are(self, oldest_first, odd, stale, fails_without_file):
        self.fake.oldest_first, self.fake.odd = oldest_first, odd
        self.fake.list_goes_stale(stale)
        self.fake.fails_without_file = fails_without_file

    @rule(fates=st.lists(st.sampled_from([None, ("lost",), ("accepted", 500), ("refused",)]), max_size=3))
    def creates_go_wrong(self, fates):
        self.fake.creates.extend(fates)

    @rule(late=st.floats(0.5, 100.0))
    def a_create_comes_late(self, late):
        self.fake.creates.append(("late", late))

    @rule(lag=seconds, linger=seconds)
    def lists_lag_and_files_linger(self, lag, linger):
        self.fake.lag, self.fake.linger = lag, linger

    @rule(
        which=st.integers(0, 5),
        statuses=st.lists(st.sampled_from([200, 200, 400, 429, 500]), min_size=5, max_size=5),
    )
    def a_batch_completes(self, which, statuses):
        for batch in self.some_live(which):
            verdicts = dict(zip(custom_ids(REQUESTS), statuses, strict=True))
            self.fake.complete(batch, verdicts.__getitem__)

    @rule(
        which=st.integers(0, 5),
        answered=st.integers(0, 2),
        told=st.booleans(),
        by=st.sampled_from(["expired", "cancelled"]),
    )
    def a_batch_ends_early(self, which, answered, told, by):
        for batch in self.some_live(which):
            self.fake.expire(batch, answered, status=by, told=told)

    @rule(which=which)
    def there_were_too_many_tokens(self, which):
        for batch in self.some_live(which):
            if not batch.answered:
                self.fake.fail(batch)

    @rule(tokens=st.sampled_from([None, ROOM_FOR_ONE, 2 * ROOM_FOR_ONE]), stated=st.booleans())
    def the_account_holds(self, tokens, stated):
        """A shard of two requests is split where there is room for one, and the limit may be raised again."""
        self.fake.enqueued_tokens, self.fake.states_limit = tokens, stated

    @rule(which=which)
    def a_duplicate_appears(self, which):
        for batch in self.some_live(which):
            if not batch.injected:
                self.fake.inject_duplicate(batch)

    @rule(down=st.booleans())
    def the_service_is_there_or_not(self, down):
        self.fake.down = down
        if down:
            with suppress(Exception):
                self.jobs().wait("j", timeout=30)
            self.fake.down = False

    @rule(passed=st.sampled_from([1.0, 60.0, 200.0, 4000.0]))
    def time_passes(self, passed):
        self.clock.move(passed)

    def some_live(self, which):
        live = [batch for batch in self.fake.live() if batch not in self.theirs]
        return live[which % len(live) :][:1] if live else []

    # What is always so.

    @invariant()
    def no_shard_has_two_batches(self):
        assert not self.fake.several_live

    @invariant()
    def the_ledger_can_be_read(self):
        with suppress(JobNotFoundError):
            job = self.jobs().retrieve("j")
            assert 0 <= job.progress <= 1
            assert job.ok + job.failed <= job.requests == len(REQUESTS)

    def teardown(self):
        with self.stack:
            if hasattr(self, "tidy"):
                self.come_to_the_end()

    def come_to_the_end(self):
        """The weather clears, and the job ends."""
        fake = self.fake
        fake.creates.clear()
        fake.lag = fake.linger = 0.0
        fake.odd = []
        fake.list_goes_stale(0)
        assert all(batch.status != "cancelled" for batch in self.theirs)
        for batch in [*fake.live()]:
            if batch in self.theirs or batch.unit[0] != home_id(self.settings):
                fake.complete(batch)
        with suppress(*STUCK):
            self.submit(self.jobs())
        for _ in range(40):
            for batch in fake.live():
                fake.complete(batch)
            try:
                self.jobs().wait("j", timeout=1000)
                break
            except WaitTimeoutError:
                pass
            except STUCK as error:
                told = str(error)
                with suppress(*NOT_NOW):  # it may have been found meanwhile
                    self.jobs().give_up("j")
                assert "give-up j --shard" in told or "ended as failed" in told
        job = self.jobs().retrieve("j")
        assert job.ended, (job.state, job.last_error, job.shards)
        results = list(self.jobs().results("j"))
        assert custom_ids(results) == custom_ids(REQUESTS)
        assert job.ok == sum(result.ok for result in results)
        assert job.failed == sum(not result.ok for result in results)
        assert job.missing == sum(
            result.error is not None and result.error.code == "missing" for result in results
        )
        answered, deleted = self.with_repeats(self.answered()), self.with_repeats(self.deleted())
        good = {result.custom_id for result in results if result.ok}
        # What was paid for is there, unless the service has deleted the answers.
        assert answered - deleted <= good <= answered
        assert self.cancelled or not job.missing or self.gave_up()
        assert not fake.live()
        assert not list(Path(self.home, "home", "spool").iterdir())
        self.no_shard_has_two_batches()

    def with_repeats(self, names):
        """And the last one, if it gets the answer of the first."""
        return names | {"r4"} if self.dedupe and "r0" in names else names

    def answered(self):
        """The requests that one of the job's own batches has answered."""
        return {
            line["custom_id"]
            for unit in self.units()
            for line in (fake_lines(self.fake, unit.batch_id) if unit.batch_id else ())
        }

    def deleted(self):
        """The requests whose answers were in a file that is gone."""
        return {
            line["custom_id"]
            for batch in self.fake.batches.values()
            if batch.output in self.gone
            for line in batch.lines
        }

    def units(self):
        ledger = Ledger(Path(self.home, "home", "jobs", "j", "ledger.db"))
        try:
            return ledger.units()
        finally:
            ledger.close()

    def gave_up(self):
        return any(unit.generation == 2 for unit in self.units())


def fake_lines(fake, batch_id):
    """The lines of a batch that were answered well."""
    batch = fake.batches[batch_id]
    return [line for line in batch.lines if line["custom_id"] in batch.good]


JobMachine.TestCase.settings = settings(
    max_examples=int(os.environ.get("OVERLAY_MACHINE_EXAMPLES", "30")),
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestJobs = JobMachine.TestCase
