"""A day and more of work in seconds: over real sockets, with a clock on which nobody waits."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from support.calling import FakeClock, advancing
from support.job_scene import TWO
from support.job_steps import chats, custom_ids

from overlay import Token
from overlay.server import Accept, Cut, Pace, Reject, Reset, Service

HOUR = 3600.0
TOKEN_LIFE = timedelta(minutes=10)
RATE = 0.05


class Vault:
    """Gives tokens that live for ten minutes; the service asks it whether one still does."""

    def __init__(self, clock):
        self.clock = clock
        self.given = 0
        self.refused = 0

    def provider(self):
        self.given += 1
        expires = datetime.fromtimestamp(self.clock.time(), UTC) + TOKEN_LIFE
        return Token(f"{self.given}-{expires.timestamp()}", expires)

    def accepts(self, token):
        good = float(token.partition("-")[2]) > self.clock.time()
        self.refused += not good
        return good


class Outage:
    """The service cannot be reached from one hour to another."""

    def __init__(self, service, clock, begins, ends):
        self.service, self.clock = service, clock
        self.begins, self.ends = clock.monotonic() + begins, clock.monotonic() + ends
        self.fault, self.met = None, 0

    def __call__(self, _):
        now = self.clock.monotonic()
        if self.fault is None and self.begins <= now < self.ends:
            self.fault = self.service.faults.add("* /**", Reset(), times=None)
        elif self.fault is not None and now >= self.ends:
            self.met = self.fault.hits
            self.service.faults.remove(self.fault)
            self.fault, self.begins = None, float("inf")


def answers():
    """What the model answers: one request in twenty is too much for it at first."""
    asked = Counter()

    def answer(line):
        number = asked[line["custom_id"]]
        asked[line["custom_id"]] += 1
        if not number and int(line["custom_id"][1:]) % 20 == 0:
            return 429, {"error": {"message": "busy", "code": "rate_limit_exceeded"}}
        return {"choices": [{"message": {"content": line["custom_id"]}}], "usage": {"prompt_tokens": 3}}

    return answer


@pytest.mark.parametrize("kind", ["blocking"])
def test_a_job_of_26_hours_comes_to_its_end(connect, kind):
    clock = FakeClock()
    vault = Vault(clock)
    pace = Pace(validating=300, in_progress=6.4 * HOUR, finalizing=300)
    with Service(answers(), pace=pace, tokens=vault.accepts) as service:
        clock.passed.append(advancing(service))
        outage = Outage(service, clock, 10 * HOUR, 12 * HOUR)
        clock.passed.append(outage)
        for match, effect in (
            ("* /**", Reject(503)),
            ("* /**", Reset()),
            ("POST /batches", Accept(then=Reject(502))),
            ("POST /batches", Accept(then=Reset())),
            ("GET /files/*/content", Cut(after=100)),
        ):
            service.faults.add(match, effect, times=None, rate=RATE)
        api = connect(service.base_url, clock=clock, token=vault.provider)
        api.settings.tokens._now = clock.time
        began, events = clock.monotonic(), []
        requests = chats(24)
        # Three batches at a time, four times over.
        tokens = max(len(request.to_line()) // 4 + 1 for request in requests) * 2 * 3
        results = list(
            api.jobs.run(
                requests, id="j", limits=TWO, max_enqueued_tokens=tokens, poll=60, on_change=events.append
            )
        )
        hours = (clock.monotonic() - began) / HOUR
        paid = Counter(tuple(batch["metadata"].values()) for batch in service.batches())
    assert custom_ids(results) == custom_ids(requests)
    assert all(result.ok for result in results)
    assert 26 <= hours < 40
    assert max(paid.values()) == 1
    assert len(paid) == 12 + 2
    assert outage.met > 10
    assert vault.given > 100
    assert "outage" in [event.kind for event in events]
