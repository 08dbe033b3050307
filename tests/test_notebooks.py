"""What people see of objects: one line at a prompt, a table in a notebook; and where it stands for its id."""

import pytest
from support.job_steps import chats

from overlay import Client, ConfigurationError, NotFoundError
from overlay.server import Service

NAMED = "<b>reviews</b>.jsonl"


@pytest.fixture(scope="module")
def service():
    with Service() as service:
        yield service


@pytest.fixture
def client(service, tmp_path):
    with Client(base_url=service.base_url, token="k", home=tmp_path) as client:
        yield client


@pytest.fixture
def job(client):
    client.jobs.submit(chats(4), id="j")
    return client.jobs.wait("j", poll=0.05)


def test_objects_are_short_at_a_prompt(client, job):
    (batch, *_) = client.batches.list(limit=1)
    (file, *_) = client.files.list(limit=1)
    assert repr(batch).startswith(
        f"Batch(id='{batch.id}', status='completed', endpoint='/v1/chat/completions'"
    )
    assert repr(job).startswith("Job(id='j', state='ended', requests=4, answered=4, failed=0, models='m0'")
    for each in (batch, file, job):
        assert "None" not in repr(each)
        assert len(repr(each)) < 500
    assert "pages()" in repr(client.batches.list())


def test_objects_are_tables_in_a_notebook(client, job):
    (batch, *_) = client.batches.list(limit=1)
    result = next(iter(client.jobs.results(job)))
    listed = client.batches.list(limit=1)._repr_html_()
    for each, shown in [(batch, batch.id), (job, "shard 1"), (result, result.custom_id)]:
        assert shown in each._repr_html_()
    assert batch.id in listed
    assert client.jobs.list()._repr_html_().count("<tr>") == 2
    assert isinstance(client.jobs.list(), list)


def test_what_a_service_sends_is_no_html(client, tmp_path):
    path = tmp_path / "r.jsonl"
    path.write_bytes(b"".join(request.to_line() for request in chats(1)))
    file = client.files.upload(path, filename=NAMED)
    for shown in (file._repr_html_(), client.files.list(limit=5)._repr_html_()):
        assert "&lt;b&gt;reviews" in shown
        assert NAMED not in shown


def test_an_object_stands_for_its_id(client, job):
    assert client.jobs.retrieve(job).id == "j"
    assert client.jobs.failures(job) == []
    assert [result.ok for result in client.jobs.results(job)] == [True] * 4
    (batch, *_) = client.batches.list(limit=1)
    assert client.batches.retrieve(batch).id == batch.id
    assert len(list(client.batches.results(batch))) == 4
    (file, *_) = client.files.list(limit=1)
    assert client.files.retrieve(file_id=file).id == file.id
    with pytest.raises(ConfigurationError, match="not a batch id"):
        client.batches.retrieve(7)


def test_arguments_of_other_clients_are_named_as_they_are_here(service):
    with pytest.raises(
        TypeError, match=r"^Client\(\) has no argument 'api_key'; the argument is called token$"
    ):
        Client(api_key="k")
    with pytest.raises(TypeError, match=r"'colour'$"):
        Client(colour="red")


def test_an_address_without_its_version_is_asked_about(service, tmp_path):
    bare = service.base_url.removesuffix("/v1")
    assert bare != service.base_url
    with Client(base_url=bare, token="k", home=tmp_path) as client:
        with pytest.raises(NotFoundError, match=r"does the base URL, \S+, lack /v1\?"):
            list(client.batches.list())
        with pytest.raises(NotFoundError) as caught:
            client.batches.retrieve("batch_1")
    assert "lack /v1" not in str(caught.value)
