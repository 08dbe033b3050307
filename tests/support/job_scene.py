"""A job between a client and a service in the process, with one clock for both."""

from contextlib import suppress

from overlay import Limits, WaitTimeoutError
from support.fake_service import FakeService
from support.job_steps import chats
from support.step_clock import StepClock

BASE_URL = "https://api.example/v1"
GRACE = 180.0
"""How long a lost create is searched for by default."""
TWO = Limits(requests=2)


class Scene:
    """`api` is a client of the service `fake`; what happens to its job "j" is in `events`."""

    def __init__(self, connect):
        self.clock = StepClock()
        self.fake = FakeService(self.clock)
        self.connect = connect
        self.api = self.client()
        self.jobs = self.api.jobs
        self.events = []

    def client(self, **options):
        return self.connect(BASE_URL, transport=self.fake.transport, clock=self.clock, **options)

    @property
    def kinds(self):
        """What has happened, in order."""
        return [event.kind for event in self.events]

    def submit(self, requests=2, **options):
        """A job of these requests, or of so many, in batches of two."""
        requests = chats(requests) if isinstance(requests, int) else requests
        return self.jobs.submit(
            requests, **{"id": "j", "limits": TWO, "on_change": self.events.append} | options
        )

    def wait(self, seconds=None):
        """The job, once it has ended; or after so many seconds."""
        with suppress(WaitTimeoutError):
            return self.jobs.wait("j", timeout=seconds, on_change=self.events.append)
        return self.jobs.retrieve("j")

    def finish(self):
        """Let every batch complete until the job has ended."""
        while True:
            for batch in self.fake.live():
                self.fake.complete(batch)
            job = self.wait(600)
            if job.ended:
                return job

    def results(self):
        """The results by custom_id; there is one for each."""
        results = list(self.jobs.results("j"))
        by_id = {result.custom_id: result for result in results}
        assert len(by_id) == len(results)
        return by_id

    def states(self):
        return [shard.state for shard in self.jobs.retrieve("j").shards]
