"""What requests will take, and what a job may cost: said before anything is sent."""

import builtins
import json

import pytest
from genai_prices import data_snapshot
from hypothesis import given, strategies as st
from support.job_steps import chat, chats, nothing_is_left

from overlay import ConfigurationError, CostLimitError, InvalidInputError, Limits, Price, Request
from overlay.costs import prices as prices_module
from overlay.costs.estimate import _most
from overlay.costs.prices import PriceList

OPENAI = "https://api.openai.com/v1"
FIVE = Limits(requests=5)


@pytest.fixture(autouse=True)
def _forget_prices():
    for each in (prices_module._library, prices_module._known_price):
        each.cache_clear()
    yield
    for each in (prices_module._library, prices_module._known_price):
        each.cache_clear()


@pytest.fixture
def api(connect, service):
    return connect(service.base_url)


def priced(model="m0", **body):
    return Request("r", {"model": model, "messages": [{"role": "user", "content": "hi"}], **body})


def test_requests_batches_and_tokens_by_model(api, service):
    found = api.jobs.estimate(chats(12, models=2), limits=FIVE)
    assert (found.requests, found.batches) == (12, 4)
    assert [(each.model, each.requests) for each in found.models] == [("m0", 6), ("m1", 6)]
    assert found.input_tokens == sum(each.input_tokens for each in found.models) > 12 * 20
    assert (found.output_tokens, found.cost, found.rounds) == (None, None, None)
    assert found.tokens_counted_by == "bytes"
    assert service.count("POST", "/batches") == service.count("POST", "/files") == 0
    assert nothing_is_left(api)


@pytest.mark.parametrize(
    ("body", "most"),
    [
        ({"max_tokens": 10}, 10),
        ({"max_completion_tokens": 20, "max_tokens": 10}, 20),
        ({"max_output_tokens": 7}, 7),
        ({"max_tokens": 10, "n": 3}, 30),
        ({"max_tokens": None}, None),
        ({"max_tokens": "many"}, None),
        ({"max_tokens": -5}, 0),
        ({}, None),
    ],
)
def test_answers_are_reckoned_at_the_most_that_is_allowed(api, body, most):
    assert api.jobs.estimate([priced(**body)]).output_tokens == most


def test_or_at_what_is_expected(api):
    requests = chats(2)
    assert api.jobs.estimate(requests, expected_output_tokens=50).output_tokens == 100
    assert api.jobs.estimate([priced(max_tokens=10)], expected_output_tokens=50).output_tokens == 10
    with pytest.raises(ConfigurationError, match="expected_output_tokens must be a whole number, not -1"):
        api.jobs.estimate(requests, expected_output_tokens=-1)


def test_embeddings_have_no_output(api):
    request = Request("r", {"model": "e", "input": "some text"}, url="/v1/embeddings")
    found = api.jobs.estimate([request], prices={"e": (1_000_000, 5)})
    assert found.output_tokens == 0
    assert found.cost == found.input_tokens


def test_the_callers_prices_come_first(api):
    requests = [priced("gpt-4o-mini", max_tokens=1000)]
    found = api.jobs.estimate(requests, prices={"gpt-4o-mini": Price(1.0, 2.0)})
    assert found.cost == pytest.approx((found.input_tokens + 2 * 1000) / 1e6)
    assert found.input_cost == pytest.approx(found.input_tokens / 1e6)
    assert found.unknown == ()


def test_rates_of_batches_and_nothing_else():
    known = PriceList(OPENAI)
    assert known.price("gpt-4o-mini") == Price(0.075, 0.3)
    # The list has no batch rate of this one, and would silently give the full price.
    full = data_snapshot.get_snapshot().find_provider_model("text-embedding-3-small", None, "openai", None)
    assert full is not None
    assert known.price("text-embedding-3-small") is None
    assert "no batch rate of text-embedding-3-small is known" in known.why_unknown("text-embedding-3-small")
    assert known.price("no-such-model") is None
    assert known.price(None) is None
    assert PriceList("http://127.0.0.1:8000/v1").price("gpt-4o-mini") is None


def test_without_the_library_it_is_said_what_to_install(monkeypatch):
    found = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name == "genai_prices":
            raise ImportError(name)
        return found(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    known = PriceList(OPENAI)
    assert known.price("gpt-4o-mini") is None
    assert "pip install 'openai-batch-overlay[prices]'" in known.why_unknown("gpt-4o-mini")


@pytest.mark.parametrize("price", [(1,), (1, 2, 3), "1,2", (-1, 2), (1, "2"), None, Price(1, -2), (True, 1)])
def test_a_price_that_is_none(api, price):
    with pytest.raises(ConfigurationError, match="the price of m0 must be what a million"):
        api.jobs.estimate(chats(1), prices={"m0": price})


def test_rounds_at_the_limit_of_the_account(api):
    found = api.jobs.estimate(chats(100), max_enqueued_tokens=500)
    assert found.rounds == -(-found.input_tokens // 500)
    assert found.hours == found.rounds * 24


def test_a_bad_request_is_found(api):
    with pytest.raises(InvalidInputError):
        api.jobs.estimate([chat("a"), chat("a")])


# A limit on what a job may cost.

CHEAP = {"m0": (1.0, 1.0)}


def nothing_was_sent(api, service):
    return service.count("POST", "/files") == service.count("POST", "/batches") == 0 and nothing_is_left(api)


def test_a_job_that_may_cost_more_is_not_sent(api, service):
    requests = [chat(f"r{number}", model="m0") for number in range(10)]
    with pytest.raises(
        CostLimitError, match=r"nothing was sent: 10 requests may cost .*, more than 0\.0001"
    ) as told:
        api.jobs.submit(requests, max_cost=0.0001, prices=CHEAP, expected_output_tokens=1000)
    assert told.value.cost > told.value.max_cost == 0.0001
    assert nothing_was_sent(api, service)


def test_one_within_the_limit_is_sent_and_goes_on_whatever_the_limit_is(api, service):
    requests = [chat(f"r{number}", model="m0") for number in range(10)]
    job = api.jobs.submit(requests, max_cost=1, prices=CHEAP, expected_output_tokens=10)
    assert api.jobs.submit(requests, max_cost=0, prices=CHEAP).id == job.id
    job = api.jobs.wait(job.id)
    receipt = job.receipt({"m0": (1_000_000, 0)})
    assert receipt.cost == receipt.input_tokens == job.input_tokens > 0
    assert [(each.model, each.requests) for each in receipt.models] == [("m0", 10)]
    assert job.receipt().cost is None


def test_where_nobody_can_tell_nothing_is_sent(api, service):
    with pytest.raises(CostLimitError, match="no batch rate of m0 is known"):
        api.jobs.submit(chats(2), max_cost=10)
    with pytest.raises(CostLimitError, match="2 requests to m0 do not limit their answers") as told:
        api.jobs.submit(chats(2), max_cost=10, prices=CHEAP)
    assert told.value.cost is None
    assert nothing_was_sent(api, service)


@pytest.mark.parametrize("limit", [-1, "10", True, float("nan")])
def test_a_limit_that_is_none(api, service, limit):
    with pytest.raises(ConfigurationError, match="max_cost must be an amount"):
        api.jobs.submit(chats(1), max_cost=limit)
    assert nothing_was_sent(api, service)


def test_prices_without_a_limit(api):
    with pytest.raises(ConfigurationError, match="max_cost"):
        api.jobs.submit(chats(1), prices=CHEAP)


@given(
    st.dictionaries(
        st.sampled_from(["max_tokens", "max_completion_tokens", "n"]), st.integers() | st.floats()
    )
)
def test_any_body_has_an_estimate(body):
    found = _most(json.dumps({"body": body}).encode())
    assert found is None or found >= 0
