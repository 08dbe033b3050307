"""Caps on what is waiting at once, as a plain HTTP client meets them: later, or with an HTTP status."""

import threading

import pytest
from support.service_http import create, creation, http_to, jsonl, line, retrieve, upload

from overlay.server import Limits, ManualClock, Pace, Service

REFUSING = [400, 429]
TWENTY = len(jsonl(20)) // 4
"""About so many tokens are enqueued by a batch of twenty requests."""


def capped(pace=None, **limits):
    return Service(clock=ManualClock(), pace=pace or Pace(in_progress=100), limits=Limits(**limits))


def reasons(batch):
    return batch["errors"] and [(each["code"], each["message"]) for each in batch["errors"]["data"]]


def test_too_many_live_batches_fail_later():
    with capped(live_batches=2) as service, http_to(service) as http:
        file = upload(http, jsonl(1))
        batches = [create(http, file) for _ in range(4)]
        assert {each["status"] for each in batches} == {"validating"}
        service.settle()
        seen = [retrieve(http, each) for each in batches]
        assert [each["status"] for each in seen] == ["in_progress", "in_progress", "failed", "failed"]
        ((code, message),) = reasons(seen[2])
        assert code == "too_many_batches"
        assert message.startswith("Too many batches: 2 are in progress and at most 2 may be.")
        service.advance(200)
        after = create(http, file)
        service.settle()
        assert retrieve(http, after)["status"] == "in_progress"


def test_the_first_of_those_that_are_validated_together_go_on():
    pace = Pace(validating=10, in_progress=100)
    with capped(pace, live_batches=1) as service, http_to(service) as http:
        file = upload(http, jsonl(1))
        batches = []
        for _ in range(3):
            batches.append(create(http, file))
            service.advance(2)
        service.advance(20)
        statuses = [retrieve(http, each)["status"] for each in batches]
        assert statuses == ["in_progress", "failed", "failed"]


def test_a_batch_that_fails_by_itself_says_so_and_not_that_there_are_too_many():
    with capped(live_batches=1) as service, http_to(service) as http:
        create(http, upload(http, jsonl(1)))
        bad = create(http, upload(http, jsonl([line("a"), line("a")])))
        service.settle()
        codes = [code for code, _ in reasons(retrieve(http, bad))]
        assert codes
        assert "too_many_batches" not in codes


def test_the_sentence_about_tokens_is_the_one_that_clients_look_for():
    with capped(enqueued_tokens=1_234) as service, http_to(service) as http:
        batch = create(http, upload(http, jsonl(1000)))
        service.settle()
        batch = retrieve(http, batch)
        assert batch["status"] == "failed"
        ((code, message),) = reasons(batch)
        assert code == "token_limit_exceeded"
        assert message.startswith("Enqueued token limit reached for m in organization org-")
        assert message.endswith(
            "Limit: 1,234 enqueued tokens."
            " Please try again once some in_progress batches have been completed."
        )


@pytest.mark.parametrize("status", REFUSING)
def test_too_many_live_batches_are_refused_at_once(status):
    with capped(live_batches=2, caps_refuse=status) as service, http_to(service) as http:
        file = upload(http, jsonl(1))
        for _ in range(2):
            create(http, file)
        answer = http.post("/batches", json=creation(file))
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, "too_many_batches")
        assert len(service.batches()) == 2
        service.advance(200)
        create(http, file)


@pytest.mark.parametrize("status", REFUSING)
def test_too_many_tokens_are_refused_at_once(status):
    with capped(enqueued_tokens=TWENTY * 3 // 2, caps_refuse=status) as service, http_to(service) as http:
        first = create(http, upload(http, jsonl(20)))
        answer = http.post("/batches", json=creation(upload(http, jsonl(20))))
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, "token_limit_exceeded")
        assert "Enqueued token limit reached for m" in answer.json()["error"]["message"]
        # Another model has a cap of its own.
        create(http, upload(http, jsonl([line(f"r{n}", model="n") for n in range(20)])))
        service.settle()
        assert {each["status"] for each in service.batches()} == {"in_progress"}
        answer = http.post("/batches", json=creation(upload(http, jsonl(20))))
        assert answer.status_code == status
        http.post(f"/batches/{first['id']}/cancel")
        service.settle()
        create(http, upload(http, jsonl(20)))


@pytest.mark.parametrize("status", REFUSING)
def test_what_was_let_in_is_not_failed_for_it_later(status):
    pace = Pace(validating=50, in_progress=100)
    limits = {"enqueued_tokens": TWENTY * 5 // 4, "live_batches": 1, "caps_refuse": status}
    with capped(pace, **limits) as service, http_to(service) as http:
        batch = create(http, upload(http, jsonl(20)))
        service.advance(60)
        assert retrieve(http, batch)["status"] == "in_progress"


@pytest.mark.parametrize("refuse", ["later", *REFUSING])
def test_the_code_of_the_refusal_is_an_option(refuse):
    options = {"live_batches": 1, "caps_refuse": refuse, "caps_code": "rate_limit_exceeded"}
    with capped(**options) as service, http_to(service) as http:
        file = upload(http, jsonl(1))
        create(http, file)
        answer = http.post("/batches", json=creation(file)).json()
        service.settle()
        code = reasons(retrieve(http, answer))[0][0] if refuse == "later" else answer["error"]["code"]
        assert code == "rate_limit_exceeded"


def test_creates_at_the_same_time_do_not_slip_under_a_cap():
    statuses = []
    with capped(live_batches=3, caps_refuse=429) as service, http_to(service) as http:
        file = upload(http, jsonl(200))

        def work():
            statuses.append(http.post("/batches", json=creation(file)).status_code)

        threads = [threading.Thread(target=work) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(statuses) == [200] * 3 + [429] * 9
        assert len(service.batches()) == 3


def test_a_cap_counts_what_a_restart_found(tmp_path):
    limits = Limits(enqueued_tokens=TWENTY * 3 // 2, caps_refuse=400)
    options = {"clock": ManualClock(), "pace": Pace(in_progress=100), "limits": limits, "state": tmp_path}
    with Service(**options) as service, http_to(service) as http:
        create(http, upload(http, jsonl(20)))
        service.settle()
    with Service(**options) as service, http_to(service) as http:
        file = upload(http, jsonl(20))
        assert http.post("/batches", json=creation(file)).status_code == 400
        service.advance(200)
        create(http, file)


@pytest.mark.parametrize("refuse", ["later", *REFUSING])
def test_an_unknown_file_is_no_matter_of_caps(refuse):
    """With and without caps, the answer is the same."""
    asked = creation({"id": "file-none"})
    with capped(live_batches=1, caps_refuse=refuse) as service, http_to(service) as http:
        answer = http.post("/batches", json=asked)
    with capped() as service, http_to(service) as http:
        plain = http.post("/batches", json=asked)
    assert (answer.status_code, answer.json().keys()) == (plain.status_code, plain.json().keys())


def test_caps_refuse_in_three_ways():
    with pytest.raises(ValueError, match=r"later.*400 or 429"):
        Limits(caps_refuse=500)


def embeddings(count, texts):
    """So many lines, each with so many texts to embed."""
    lines = ({"model": "m", "input": ["a"] * texts} for _ in range(count))
    url = "/v1/embeddings"
    return jsonl(
        {"custom_id": f"r{number}", "method": "POST", "url": url, "body": body}
        for number, body in enumerate(lines)
    )


@pytest.mark.parametrize("refuse", ["later", 429])
def test_texts_to_embed_are_capped_over_all_batches(refuse):
    with capped(enqueued_inputs=50, caps_refuse=refuse) as service, http_to(service) as http:
        fields = {"endpoint": "/v1/embeddings"}
        create(http, upload(http, embeddings(4, 10)), **fields)
        service.settle()
        over = upload(http, embeddings(2, 10))
        answer = http.post("/batches", json=creation(over, **fields))
        if refuse == "later":
            service.settle()
            ((code, message),) = reasons(retrieve(http, answer.json()))
        else:
            assert answer.status_code == refuse
            code, message = (answer.json()["error"][name] for name in ("code", "message"))
        assert (code, "Limit: 50 enqueued inputs." in message) == ("token_limit_exceeded", True)
        fits = create(http, upload(http, embeddings(1, 10)), **fields)
        service.settle()
        assert retrieve(http, fits)["status"] == "in_progress"
