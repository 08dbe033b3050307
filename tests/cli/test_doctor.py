"""`overlay doctor`, as a process: what is in place, and what a service does otherwise than its profile says."""

import json
import os
import re

import pytest
from support.command_line import CANARY, CommandLine

from overlay.server import Pace, Reject, Service
from overlay.services import service_named

WITH_WAYS_OF_THEIR_OWN = ("openai", "azure", "together", "mistral", "voyage", "production-stack", "litellm")


def findings(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


def of(done, subject):
    return {each["state"]: each["words"] for each in findings(done) if each["subject"] == subject}


@pytest.fixture
def overlay(tmp_path):
    return CommandLine(tmp_path, token=None)


def doctor(overlay, service, *words, name="openai", **env):
    env = {service_named(name).key_variable: CANARY} | env
    return overlay("doctor", "--json", "--service", name, "--base-url", service.base_url, *words, **env)


def test_all_is_well(overlay):
    with Service(tokens={CANARY}) as service:
        done = doctor(overlay, service)
        assert done.returncode == 0
        assert {each["state"] for each in findings(done)} == {"ok", "note"}
        assert "OPENAI_API_KEY" in of(done, "key")["ok"]
        assert service.count("POST", "/batches") == 0
        shown = overlay("doctor", "--base-url", service.base_url, OPENAI_API_KEY=CANARY)
        assert "it agrees with the service's" in shown.stdout


def test_a_key_that_is_refused(overlay):
    with Service(tokens={"another-key"}) as service:
        done = doctor(overlay, service)
    assert done.returncode == 3
    assert "refuses the one from OPENAI_API_KEY" in of(done, "key")["wrong"]


def test_nobody_is_there(overlay):
    done = overlay("doctor", "--json", "--base-url", "http://127.0.0.1:9/v1", OPENAI_API_KEY=CANARY)
    assert done.returncode == 3
    assert "cannot connect" in of(done, "address")["wrong"]
    assert of(done, "home")["ok"]


def test_a_base_url_that_ends_otherwise(overlay):
    with Service() as service:
        wrong = service.base_url.removesuffix("/v1") + "/v2"
        done = overlay("doctor", "--json", "--base-url", wrong, OPENAI_API_KEY=CANARY)
    assert "does the base URL end as the service documents it" in of(done, "address")["wrong"]


def test_a_clock_that_is_off(overlay):
    with Service() as service:
        service.advance(3600)
        assert re.search(r"3,(599|600) s behind", of(doctor(overlay, service), "clock")["note"])


def test_a_home_that_cannot_be_used(overlay, tmp_path):
    (tmp_path / "home").write_text("a file")
    with Service() as service:
        done = doctor(overlay, service)
    assert done.returncode == 3
    assert str(tmp_path / "home") in of(done, "home")["wrong"]


def test_live_costs_money_and_says_so(overlay):
    with Service() as service:
        assert "--live needs --model NAME" in doctor(overlay, service, "--live").stderr
        dear = doctor(overlay, service, "--live", "--model", "m", "--max-cost", "0.001")
        assert dear.returncode == 2
        assert "cost at most $0.042, whatever the model" in dear.stderr
        assert service.count("POST", "/batches") == 0


@pytest.mark.parametrize(
    "name", ["openai", "azure", "together", "mistral", "voyage", "production-stack", "litellm"]
)
def test_live_finds_nothing_where_the_service_is_as_its_profile_says(overlay, name):
    with Service(dialect=name, tokens={CANARY}) as service:
        done = doctor(overlay, service, "--live", "--model", "gpt-4o-mini", name=name)
        assert done.returncode == 0, done.stdout + done.stderr
    assert of(done, "results") == {"ok": "3 of 3 requests were answered"}
    if name in {"openai", "together", "azure"}:
        assert "differs" not in of(done, "list of batches")


def test_live_shows_what_differs(overlay):
    with Service(dialect="together") as service:
        done = doctor(overlay, service, "--live", "--model", "m", name="openai")
        assert done.returncode == 3  # uploads are sent on to a storage
        assert "redirects" in of(done, "live")["wrong"]
    with Service(dialect="novita") as service:
        done = doctor(overlay, service, "--live", "--model", "m", name="novita")
    assert "COMPLETED" in of(done, "statuses")["note"]


def test_live_is_left_out_where_something_is_wrong(overlay):
    with Service(tokens={"another"}) as service:
        done = doctor(overlay, service, "--live", "--model", "m")
        assert "left out" in done.stderr
        assert service.count("POST", "/files") == 0


def test_a_batch_that_does_not_end_in_time_is_cancelled(overlay):
    with Service(pace=Pace(in_progress=3600)) as service:
        done = doctor(overlay, service, "--live", "--model", "m", "--timeout", "1s")
        assert done.returncode == 0
        assert "still in_progress" in of(done, "live")["note"]
        assert service.batches()[0]["status"] in {"cancelling", "cancelled"}


def test_a_service_that_fails_half_way_is_reported(overlay):
    with Service() as service:
        service.faults.add("POST /batches", Reject(403, "No batches for you."))
        done = doctor(overlay, service, "--live", "--model", "m")
    assert done.returncode == 3
    assert "No batches for you." in of(done, "live")["wrong"]
    assert of(done, "file")["note"]


def test_through_a_proxy_of_the_environment(overlay):
    # Nothing listens there, so that it shows that it is asked.
    done = overlay(
        "doctor",
        "--json",
        "--base-url",
        "https://batches.example/v1",
        OPENAI_API_KEY=CANARY,
        HTTPS_PROXY="http://127.0.0.1:9",
        PATH=os.environ["PATH"],
    )
    assert "cannot connect" in of(done, "address")["wrong"]
