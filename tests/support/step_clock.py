"""A clock for clients, and services in the process, that the test alone moves."""


class StepClock:
    """Time that passes when somebody sleeps, and when it is moved."""

    def __init__(self):
        self.slept = []
        self._now = 1_750_000_000.0

    def monotonic(self):
        return self._now

    def time(self):
        return self._now

    def move(self, seconds):
        self._now += seconds

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.move(seconds)

    async def asleep(self, seconds):
        self.sleep(seconds)
