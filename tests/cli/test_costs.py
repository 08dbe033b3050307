"""`overlay estimate`, `--max-cost`, and the receipt at the end."""

import json

import pytest
from support.command_line import CANARY, CommandLine

from overlay import Request, write_requests
from overlay.server import Service

PRICE = ("--price", "m=1000,2000")


@pytest.fixture
def service():
    with Service(tokens=CANARY) as service:
        yield service


@pytest.fixture
def overlay(tmp_path, service):
    messages = [{"role": "user", "content": "hi"}]
    requests = (Request(f"r{n}", {"model": "m", "messages": messages, "max_tokens": 5}) for n in range(8))
    write_requests(tmp_path / "r.jsonl", requests)
    return CommandLine(tmp_path, service.base_url)


def test_what_a_file_would_take(overlay, service):
    done = overlay("estimate", "r.jsonl")
    assert done.returncode == 0
    assert "8 requests" in done.stdout
    assert "at most 40 out" in done.stdout
    assert "no batch rate of m is known" in done.stderr
    priced = overlay("estimate", "r.jsonl", *PRICE, "--max-enqueued-tokens", "100", "--json")
    found = json.loads(priced.stdout)
    assert found["cost"] == pytest.approx((found["input_tokens"] * 1000 + 40 * 2000) / 1e6)
    assert found["rounds"] == -(-found["input_tokens"] // 100)
    assert service.count("POST", "/files") == 0


def test_nothing_is_sent_beyond_the_limit(overlay, service):
    done = overlay("run", "r.jsonl", "-o", "out.jsonl", "--max-cost", "0.01", *PRICE)
    assert done.returncode == 2
    assert "nothing was sent: 8 requests may cost" in done.stderr
    assert service.count("POST", "/files") == service.count("POST", "/batches") == 0
    within = overlay("run", "r.jsonl", "-o", "out.jsonl", "--max-cost", "10", *PRICE, "--poll", "0.1")
    assert within.returncode == 0
    assert "at batch rates" in within.stderr


@pytest.mark.parametrize("price", ["m", "m=1", "m=1,2,3", "=1,2", "m=a,b"])
def test_a_price_that_is_none(overlay, price):
    done = overlay("estimate", "r.jsonl", "--price", price)
    assert done.returncode == 2
    assert "is not MODEL=INPUT,OUTPUT" in done.stderr
