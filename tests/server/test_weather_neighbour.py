"""Somebody else with the same key, as a plain HTTP client sees them."""

import httpx
import pytest
from support.service_http import create, creation, http_to, jsonl, pages, results, retrieve, upload

from overlay.server import Limits, ManualClock, Pace, Reject, Service


@pytest.fixture
def service():
    with Service(clock=ManualClock(), pace=Pace(in_progress=100)) as service:
        yield service


@pytest.fixture
def http(service):
    with http_to(service) as http:
        yield http


def listed(http, path):
    return [each["id"] for page in pages(http, path) for each in page["data"]]


def test_batches_of_somebody_else_stand_among_ours(service, http):
    ours = create(http, upload(http, jsonl(2)))
    theirs = service.neighbour_creates(requests=3, filename="x.jsonl", metadata={"who": "they"})
    later = create(http, upload(http, jsonl(2)))
    assert listed(http, "/batches") == [later["id"], theirs["id"], ours["id"]]
    assert retrieve(http, theirs)["metadata"] == {"who": "they"}
    file = http.get(f"/files/{theirs['input_file_id']}").json()
    assert (file["filename"], file["purpose"]) == ("x.jsonl", "batch")
    assert file["id"] in listed(http, "/files")
    service.advance(200)
    theirs = retrieve(http, theirs)
    assert theirs["status"] == "completed"
    assert results(http, theirs["output_file_id"]).keys() == {"theirs-0", "theirs-1", "theirs-2"}


def test_a_file_of_somebody_else_without_a_batch(service, http):
    theirs = service.neighbour_uploads(filename="requests.jsonl")
    assert listed(http, "/files") == [theirs["id"]]
    assert listed(http, "/batches") == []
    assert http.get(f"/files/{theirs['id']}").json() == theirs
    assert len(http.get(f"/files/{theirs['id']}/content").content) == theirs["bytes"]


@pytest.mark.parametrize("ended", [False, True])
def test_a_batch_that_looks_like_ours(service, http, ended):
    file = upload(http, jsonl(4), filename="ours.jsonl")
    ours = create(http, file, metadata={"overlay_job": "j"})
    if ended:
        service.advance(200)
    twin = service.neighbour_creates(like=ours["id"])
    assert twin["id"] != ours["id"]
    same = ("endpoint", "completion_window", "metadata", "object")
    assert {name: twin[name] for name in same} == {name: ours[name] for name in same}
    copy = http.get(f"/files/{twin['input_file_id']}").json()
    assert copy["id"] != file["id"]
    assert {name: copy[name] for name in ("filename", "bytes", "purpose", "status")} == {
        name: file[name] for name in ("filename", "bytes", "purpose", "status")
    }
    assert http.get(f"/files/{copy['id']}/content").content == jsonl(4)
    orphan = service.neighbour_uploads(like=ours["id"])
    assert (orphan["filename"], orphan["bytes"]) == (file["filename"], file["bytes"])
    service.advance(200)
    for batch in (ours, twin):
        found = results(http, retrieve(http, batch)["output_file_id"])
        assert found.keys() == {"r0", "r1", "r2", "r3"}


def test_what_is_gone_can_not_be_looked_like(service, http):
    file = upload(http, jsonl(4))
    ours = create(http, file)
    http.delete(f"/files/{file['id']}")
    with pytest.raises(ValueError, match="gone"):
        service.neighbour_creates(like=ours["id"])
    with pytest.raises(ValueError, match="batch_none"):
        service.neighbour_uploads(like="batch_none")


def test_the_neighbour_is_no_client(service, http):
    """What a test counts is what its own client has done, and what it lets fail is that, too."""
    service.faults.add("*", Reject(500), times=None)
    service.neighbour_creates()
    service.neighbour_uploads()
    assert service.requests == []
    assert [each.hits for each in service.faults.all()] == [0]


def test_the_neighbour_takes_from_what_may_be_waiting():
    limits = Limits(live_batches=2, caps_refuse=429)
    with Service(clock=ManualClock(), pace=Pace(in_progress=100), limits=limits) as service:
        for _ in range(3):
            service.neighbour_creates()
        with http_to(service) as http:
            file = upload(http, jsonl(1))
            assert http.post("/batches", json=creation(file)).status_code == 429
            service.advance(200)
            create(http, file)


def test_the_neighbour_over_http(service, http):
    ours = create(http, upload(http, jsonl(2), filename="ours.jsonl"), metadata={"k": "v"})
    control = service.base_url.removesuffix("/v1") + "/_control/neighbour"
    headers = {"Authorization": "Bearer any"}
    twin = httpx.post(f"{control}/batches", json={"like": ours["id"]}, headers=headers).json()
    assert twin["metadata"] == {"k": "v"}
    file = httpx.post(f"{control}/files", json={"requests": 3, "filename": "t.jsonl"}, headers=headers).json()
    assert (file["filename"], file["object"]) == ("t.jsonl", "file")
    assert listed(http, "/batches") == [twin["id"], ours["id"]]
    assert httpx.post(f"{control}/batches", json={"like": "batch_none"}, headers=headers).status_code == 404
    assert httpx.post(f"{control}/batches", json={"typo": 1}, headers=headers).status_code == 400
    assert httpx.post(f"{control}/batches", json={}).status_code == 401
