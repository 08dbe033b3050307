"""What results fetch is removed, however their reading ends, and at once."""

import gc
import tempfile

import anyio
import pytest
from support.calling import TOKEN, started, write_lines

from overlay import AsyncClient, Client, FileGoneError, Result, StorageError
from overlay.server import Delay, Reject, Service

LINES = 600


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Lists what stands where temporary folders are made."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    yield lambda: list(place.iterdir())
    # What is left open is reported where it is collected, and reports are errors.
    gc.collect()


@pytest.fixture(scope="module")
def shared():
    with Service() as service:
        yield service


@pytest.fixture(scope="module")
def batch_id(shared, tmp_path_factory):
    path = write_lines(tmp_path_factory.mktemp("input") / "in.jsonl", LINES)
    with Client(base_url=shared.base_url, token=TOKEN) as client:
        return client.batches.wait(started(client, path).id, poll=0.01).id


@pytest.fixture(params=[True, False], ids=["ordered", "unordered"])
def results(request, connect, shared, batch_id, folders):
    """Begins to read: what `client.batches.results` gives."""
    api = connect(shared.base_url)
    yield lambda: api.batches.results(batch_id, ordered=request.param)
    shared.faults.clear()


def test_at_the_end(results, folders):
    seen = [len(folders()) for _ in results()]
    assert len(seen) == LINES
    assert set(seen) == {1}
    assert folders() == []


@pytest.mark.parametrize("at", [0, 10, 300])
def test_when_the_loop_is_left(results, folders, at):
    for number, _ in enumerate(results()):
        if number == at:
            assert len(folders()) == 1
            break
    assert folders() == []


def test_when_the_loop_fails(results, folders):
    def loop():
        for _ in results():
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        loop()
    gc.collect()  # the error's traceback held the loop
    assert folders() == []


def test_when_the_block_is_left(results, folders):
    with results() as opened:
        assert len(folders()) == 1
        assert len(list(opened)) == LINES
        assert len(folders()) == 1
    assert folders() == []
    with results() as opened:
        for _ in opened:
            break
        assert len(folders()) == 1
    assert folders() == []


def test_when_closed(results, folders):
    opened = results()
    iterator = iter(opened)
    next(iterator)
    assert len(folders()) == 1
    opened.close()
    assert folders() == []
    opened.close()
    iterator.close()
    assert len(list(opened)) == LINES, "what was closed is fetched again when asked for"
    assert folders() == []


def test_when_dropped(results, folders):
    iterator = iter(results())
    next(iterator)
    del iterator
    gc.collect()
    assert folders() == []


def test_when_a_file_is_gone_half_way(results, folders, shared):
    shared.faults.add("GET /files/*/content", Reject(404), times=None)
    opened = results()
    with pytest.raises(FileGoneError):
        list(opened)
    assert folders() == []
    with pytest.raises(FileGoneError), opened:
        pass
    assert folders() == []


def test_when_the_disk_fails_half_way(connect, shared, batch_id, folders, monkeypatch):
    def read_results(paths):
        yield Result(b"{}")
        raise StorageError("no longer readable")

    monkeypatch.setattr("overlay.results.fetching.read_results", read_results)
    results = connect(shared.base_url).batches.results(batch_id, ordered=False)
    with pytest.raises(StorageError):
        list(results)
    assert folders() == []


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_when_cancelled(backend, shared, batch_id, folders):
    shared.faults.add("GET /files/*/content", Delay(before=60), skip=1)

    async def main():
        async with AsyncClient(base_url=shared.base_url, token=TOKEN) as client:
            with anyio.move_on_after(0.3) as scope:
                async for _ in client.batches.results(batch_id):
                    pass
            assert scope.cancelled_caught
            assert folders() == []

    anyio.run(main, backend=backend)
    shared.faults.clear()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_when_an_awaited_loop_is_left(backend, shared, batch_id, folders):
    async def main():
        async with AsyncClient(base_url=shared.base_url, token=TOKEN) as client:
            async for _ in client.batches.results(batch_id):
                break
            assert folders() == []
            async with client.batches.results(batch_id) as results:
                async for _ in results:
                    assert len(folders()) == 1
                    break
            assert folders() == []

    anyio.run(main, backend=backend)
