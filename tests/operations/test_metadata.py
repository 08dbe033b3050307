"""What a create carries in its metadata, and how its batch is found where the service keeps none."""

import json
from contextlib import suppress
from functools import partial

import pytest
from support.calling import create, once, somebody_creates

from overlay import ConfigurationError, UnknownOutcomeError
from overlay.server import Accept, Pace, Reset, Service

CREATE = "POST /batches"


@pytest.fixture
def service():
    # Batches take their time, so that those that nobody wants can still be cancelled.
    with Service(pace=Pace(in_progress=3600)) as service:
        yield service


def silent_about_metadata(service, connect, requests_file, clock):
    """A client of a service that keeps no metadata, and a file there."""

    def forgetful(app):
        return partial(_without_metadata, app)

    service._make = partial(service._make, wrap=forgetful)
    service.stop()
    service.start()
    api = connect(service.base_url, clock=clock)
    return api, api.files.upload(requests_file).id


async def _without_metadata(app, scope, receive, send):
    async def receive_without():
        message = await receive()
        body = message.get("body", b"")
        if body.startswith(b'{"input_file_id"') or b'"metadata"' in body[:2000]:
            message = message | {"body": _stripped(body)}
        return message

    await app(scope, receive_without, send)


def _stripped(body):
    with suppress(ValueError):
        decoded = json.loads(body)
        decoded.pop("metadata", None)
        # As long as it was: the length has been announced.
        return json.dumps(decoded).encode().ljust(len(body))
    return body


def test_where_no_metadata_is_kept_the_only_batch_of_the_file_is_adopted(
    service, connect, requests_file, clock
):
    api, file_id = silent_about_metadata(service, connect, requests_file, clock)
    sample = create(api, file_id, metadata={"run": "7"})
    assert sample.metadata is None
    service.faults.add(CREATE, Accept(Reset()))
    adopted = create(api, file_id, metadata={"run": "7"})
    assert {sample.id, adopted.id} == {each["id"] for each in service.batches()}
    assert service.count("POST", "/batches") == 2


def test_where_nobody_knows_whether_metadata_is_kept_the_outcome_is_unknown(
    service, connect, requests_file, clock
):
    api, file_id = silent_about_metadata(service, connect, requests_file, clock)
    service.faults.add(CREATE, Accept(Reset()))
    with pytest.raises(UnknownOutcomeError, match="may be it"):
        create(api, file_id)
    (batch,) = service.batches()
    assert batch["status"] == "in_progress"


def test_where_no_metadata_is_kept_one_of_several_is_not_guessed(service, connect, requests_file, clock):
    api, file_id = silent_about_metadata(service, connect, requests_file, clock)
    create(api, file_id)
    service.faults.add(CREATE, Accept(Reset()))
    service.faults.add("GET /batches", Reset())
    clock.passed.append(once(lambda: somebody_creates(service, file_id)))
    with pytest.raises(UnknownOutcomeError, match="may be it"):
        create(api, file_id)
    service.settle()
    assert [each["status"] for each in service.batches()] == ["in_progress"] * 3


def test_fifteen_pairs_of_metadata_are_the_callers(api, service, file_id):
    pairs = {f"key{number}": "x" * 512 for number in range(15)}
    batch = create(api, file_id, metadata=pairs)
    assert pairs.items() < batch.metadata.items()
    with pytest.raises(ConfigurationError, match=r"16 pairs; 15 are allowed \(the API takes 16, and 1"):
        create(api, file_id, metadata=pairs | {"one": "more"})
    with pytest.raises(ConfigurationError, match="overlay is reserved"):
        create(api, file_id, metadata={"overlay": "mine"})
    # A copy of another batch's metadata is no copy of its mark.
    again = create(api, file_id, metadata=batch.metadata)
    assert again.metadata["overlay"] != batch.metadata["overlay"]
