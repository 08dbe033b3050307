"""Requests of generated code as services want them, and their answers in the API's own words."""

import attrs
import pytest

from overlay import ConfigurationError
from overlay.services import ServiceProfile, service_named
from overlay.services.routes import answered, sent_to

MISTRAL, VOYAGE = service_named("mistral"), service_named("voyage")
SLASHES = ServiceProfile(name="slashes", slash_in_ids=True)


def sent(profile, method, path, query=None, json=None):
    made = sent_to(profile, method, path, query or {}, json)
    return made and (made.method, made.path)


@pytest.mark.parametrize(
    ("profile", "asked", "wanted"),
    [
        (MISTRAL, ("get", "/batches/b"), ("GET", "/batch/jobs/b")),
        (MISTRAL, ("post", "/batches/b/cancel"), ("POST", "/batch/jobs/b/cancel")),
        (MISTRAL, ("get", "/files/f/content"), ("GET", "/files/f/content")),
        (MISTRAL, ("get", "/models"), None),
        (MISTRAL, ("patch", "/batches"), None),
        (service_named("production-stack"), ("post", "/batches/b/cancel"), ("DELETE", "/batches/b")),
        (MISTRAL, ("get", "/batches/a%2Fb%20c"), ("GET", "/batch/jobs/a%2Fb%20c")),
        (SLASHES, ("get", "/batches/batches%2Fb%3F"), ("GET", "/batches/batches/b%3F")),
        (SLASHES, ("get", "/files/files%2Ff/content"), ("GET", "/files/files/f/content")),
        (SLASHES, ("get", "/batches/%252E%252E"), ("GET", "/batches/%252E%252E")),
    ],
)
def test_where(profile, asked, wanted):
    assert sent(profile, *asked) == wanted


def job_of(**fields):
    body = {"input_file_id": "f", "endpoint": "/v1/e", "completion_window": "24h"} | fields
    return sent_to(MISTRAL, "post", "/batches", {}, body).json


@pytest.mark.parametrize(("window", "hours"), [("24h", 24), ("7d", 168), ("1h", 1)])
def test_a_window_is_hours_at_mistral(window, hours):
    assert job_of(completion_window=window, model="m", metadata={"a": "b"}) == {
        "input_files": ["f"],
        "endpoint": "/v1/e",
        "timeout_hours": hours,
        "model": "m",
        "metadata": {"a": "b"},
    }


@pytest.mark.parametrize("window", ["", "24", "1w", "immediate", "٢h", "24h\n", "99999h"])
def test_what_is_no_number_of_hours_is_said(window):
    with pytest.raises(ConfigurationError, match="hours or days"):
        job_of(completion_window=window)


def test_pages_have_numbers_at_mistral():
    first = sent_to(MISTRAL, "get", "/batches", {"limit": 2}, None)
    assert first.query == {"page": 0, "page_size": 2}
    answer = answered(MISTRAL, first, {"data": [{"id": "a"}, {"id": "b"}], "total": 3})
    assert (answer["has_more"], answer["next_cursor"]) == (True, "page-1")
    second = sent_to(MISTRAL, "get", "/batches", {"limit": 2, "after": answer["next_cursor"]}, None)
    assert second.query == {"page": 1, "page_size": 2}
    assert answered(MISTRAL, second, {"data": [{"id": "c"}], "total": 3})["has_more"] is False
    full = answered(MISTRAL, second, {"data": [{"id": "c"}, {"id": "d"}]})
    assert full["has_more"] is True  # nobody says how many there are
    with pytest.raises(ConfigurationError, match="page numbers"):
        sent_to(MISTRAL, "get", "/batches", {"after": "batch_1"}, None)


@pytest.mark.parametrize("odd", [None, [], "busy", 1, {"data": None}, {"data": [None, 1]}, {"detail": "no"}])
@pytest.mark.parametrize("path", ["/batches", "/batches/b", "/files", "/files/f"])
def test_whatever_mistral_answers_is_passed_on(odd, path):
    answered(MISTRAL, sent_to(MISTRAL, "get", path, {}, None), odd)


def test_a_job_is_a_batch():
    asked = sent_to(MISTRAL, "get", "/batches/b", {}, None)
    job = {"id": "b", "input_files": ["f"], "output_file": "o", "error_file": None, "timeout_hours": 48}
    batch = answered(MISTRAL, asked, job)
    assert batch["input_file_id"] == "f"
    assert (batch["output_file_id"], batch["error_file_id"]) == ("o", None)
    assert batch["completion_window"] == "48h"
    several = answered(MISTRAL, asked, {"id": "b", "input_files": ["f", "g"]})
    assert "input_file_id" not in several


def test_a_model_is_a_parameter_at_voyage():
    body = {"input_file_id": "f", "model": "v", "request_params": {"input_type": "document"}}
    made = sent_to(VOYAGE, "post", "/batches", {}, body).json
    assert made == {"input_file_id": "f", "request_params": {"model": "v", "input_type": "document"}}
    assert sent_to(VOYAGE, "post", "/batches", {}, {"input_file_id": "f"}).json == {"input_file_id": "f"}
    assert body["model"] == "v"  # what was given is as it was


def test_a_word_may_mean_something_else_at_one_service():
    odd = ServiceProfile(name="odd", statuses={"parked": "in_progress"})
    asked = sent_to(odd, "get", "/batches", {}, None)
    listed = answered(odd, asked, {"data": [{"id": "b", "status": "PARKED"}, {"id": "c", "status": None}, 7]})
    assert [each["status"] for each in listed["data"][:2]] == ["in_progress", None]
    one = answered(odd, sent_to(odd, "get", "/batches/b", {}, None), {"status": "completed"})
    assert one == {"status": "completed"}
    file = answered(odd, sent_to(odd, "get", "/files/f", {}, None), {"status": "parked"})
    assert file == {"status": "parked"}


def test_only_services_with_ways_of_their_own_are_translated():
    assert not service_named("openai").translates
    assert not service_named("together").translates
    assert attrs.evolve(service_named("openai"), slash_in_ids=True).translates
