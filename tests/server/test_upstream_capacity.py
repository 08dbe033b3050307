"""`--at-once auto`: how many requests at once a server does well with."""

import pytest
from support.model_server import ModelServer, Reply, answer
from support.service_http import http_to, run

from overlay.server import Service, upstream
from overlay.server.upstreams.capacity import Capacity


class Simulation:
    """A server that works on `slots` requests at once, each for a second; more of them queue."""

    def __init__(self, slots, most=None):
        self.capacity = Capacity("auto")
        self.slots, self.most = slots, most
        self.now = 0.0
        self.limits = []

    def run(self, answers):
        while answers > 0:
            limit = self.capacity.limit
            latency = max(1.0, limit / self.slots)
            for _ in range(limit):
                self.now += latency / limit
                if self.most is not None and limit > self.most:
                    self.capacity.pushed_back(self.now)
                else:
                    self.capacity.answered(self.now, latency, limit)
            answers -= limit
            self.limits.append(limit)
        return self.limits


@pytest.mark.parametrize("slots", [1, 4, 30, 200])
def test_it_climbs_until_more_at_once_only_makes_each_slower(slots):
    limits = Simulation(slots).run(20_000)
    settled = limits[len(limits) // 2 :]
    assert slots / 2 <= sum(settled) / len(settled) <= 2.5 * slots + 6


def test_it_is_quick():
    """To 256 in some thousand answers, not one by one."""
    limits = Simulation(10**6).run(2_000)
    assert max(limits) >= 256


@pytest.mark.parametrize("most", [1, 10, 100])
def test_it_goes_down_when_the_server_says_too_many(most):
    limits = Simulation(10**6, most=most).run(20_000)
    settled = limits[len(limits) // 2 :]
    assert most / 2 <= sum(settled) / len(settled) <= most + 4
    assert min(settled) >= 1


def test_a_server_that_grows_gets_more():
    simulation = Simulation(8)
    before = simulation.run(5_000)[-1]
    simulation.slots = 100
    assert simulation.run(50_000)[-1] > 2 * before


def test_what_is_not_used_teaches_nothing():
    capacity = Capacity("auto")
    for number in range(1000):
        capacity.answered(number, 1.0, 1)
    assert capacity.limit == 4


def test_a_number_stays():
    capacity = Capacity(7)
    for number in range(100):
        capacity.answered(number, 1.0, 7)
        capacity.pushed_back(number)
    assert (capacity.limit, capacity.auto) == (7, False)


def test_against_a_server_with_a_limit():
    def respond(path, body, times):
        return 429 if model.now > 12 else Reply(body=answer(body).body, after=0.01)

    with ModelServer() as model:
        model.respond = respond
        source = upstream(model.url, api_key="k", at_once="auto", hurry=0.01)
        with Service(source) as service, http_to(service) as http:
            assert run(http, 400)["request_counts"]["completed"] == 400
            assert 3 <= source.health()[0].at_once <= 16
        assert 8 <= model.most <= 24
