"""Requests of any kind become a job, or nothing at all."""

import os
import threading
import time
import tracemalloc
from contextlib import suppress
from functools import partial
from itertools import chain

import pytest
from support.calling import write_lines
from support.job_steps import asynchronously, chat, chats, custom_ids, nothing_is_left, written

from overlay import (
    ConfigurationError,
    InvalidInputError,
    JobMismatchError,
    Limits,
    StorageError,
)
from overlay.jobs.lock import JobLock
from overlay.jobs.spool import Spool

IDS = [f"r{number}" for number in range(25)]


class TroubleError(Exception):
    pass


def as_list(requests, _):
    return requests


def as_generator(requests, _):
    return (request for request in requests)


def as_path(requests, folder):
    return written(folder / "requests.jsonl", requests)


def as_text_of_a_path(requests, folder):
    return str(as_path(requests, folder))


@pytest.mark.parametrize("form", [as_list, as_generator, as_path, as_text_of_a_path])
def test_requests_come_in_many_forms(api, tmp_path, form):
    results = api.jobs.run(form(chats(25), tmp_path), limits=Limits(requests=10))
    assert custom_ids(results) == IDS
    assert [shard.requests for shard in api.jobs.list()[0].shards] == [10, 10, 5]


def test_a_byte_order_mark_of_a_file_is_no_part_of_its_requests(api, service, tmp_path):
    path = as_path(chats(3), tmp_path)
    plain = api.jobs.identify(path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert api.jobs.identify(path) == plain
    assert custom_ids(api.jobs.run(path)) == IDS[:3]
    path.write_bytes(path.read_bytes().replace(b"\n", b"\n\xef\xbb\xbf", 1))
    with pytest.raises(InvalidInputError, match="line 2"):
        api.jobs.identify(path)


def test_an_asynchronous_iterable_is_for_the_asynchronous_client(api, kind):
    if kind == "blocking":
        with pytest.raises(ConfigurationError, match="AsyncClient"):
            api.jobs.submit(asynchronously(chats(25)))
        assert nothing_is_left(api)
    else:
        assert custom_ids(api.jobs.run(asynchronously(chats(25)), limits=Limits(requests=10))) == IDS


@pytest.mark.parametrize("requests", [None, 7, object()])
def test_what_is_no_iterable_is_refused(api, service, requests):
    with pytest.raises(ConfigurationError, match=type(requests).__name__):
        api.jobs.submit(requests)
    assert nothing_is_left(api)
    assert not service.requests


def test_every_bad_line_of_a_file_is_reported_and_nothing_is_sent(api, service, tmp_path):
    path = write_lines(tmp_path / "requests.jsonl", 2500)
    lines = path.read_bytes().splitlines()
    lines[3], lines[1700], lines[2400] = b"{]", b"", lines[5]
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(InvalidInputError) as caught:
        api.jobs.submit(path)
    assert caught.value.path == path
    assert [problem.line for problem in caught.value.problems] == [4, 1701, 2401]
    assert "request 6" in caught.value.problems[2].reason
    assert nothing_is_left(api)
    assert not service.requests


@pytest.mark.parametrize("requests", [[], iter(())])
def test_no_requests_are_no_job(api, service, requests):
    with pytest.raises(InvalidInputError, match="no requests"):
        api.jobs.submit(requests)
    assert nothing_is_left(api)
    assert not service.requests


def test_a_file_that_is_not_there_is_said(api, tmp_path):
    with pytest.raises(StorageError, match=r"gone\.jsonl"):
        api.jobs.submit(tmp_path / "gone.jsonl")
    assert nothing_is_left(api)


@pytest.mark.parametrize("after", [0, 17, 3000])
@pytest.mark.parametrize("is_async", [False, True])
def test_what_a_generator_raises_reaches_the_caller_and_nothing_is_sent(api, service, kind, after, is_async):
    def breaking():
        yield from chats(after)
        raise TroubleError("half way")

    async def breaking_later():
        for request in breaking():
            yield request

    if is_async and kind == "blocking":
        return
    with pytest.raises(TroubleError, match="half way"):
        api.jobs.submit(breaking_later() if is_async else breaking(), id="j", limits=Limits(requests=50))
    assert nothing_is_left(api)
    assert not service.requests
    # The name is free.
    assert api.jobs.submit(chats(3), id="j").requests == 3


@pytest.mark.parametrize("kind", ["blocking"])
def test_ctrl_c_while_requests_come_in_leaves_nothing(api, service):
    def interrupted():
        yield from chats(100)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        api.jobs.submit(interrupted())
    assert nothing_is_left(api)
    assert not service.requests


def test_the_same_id_with_other_requests_is_refused(api, service):
    api.jobs.submit(chats(10), id="j")
    sent = len(service.requests)
    for other in (chats(9), chats(11), chats(10, models=2), list(reversed(chats(10)))):
        with pytest.raises(JobMismatchError, match=r"job j .*different requests \(10 there") as caught:
            api.jobs.submit(other, id="j")
        assert caught.value.job_id == "j"
        assert "\n" not in str(caught.value)
    assert len(service.requests) == sent
    assert api.jobs.retrieve("j").requests == 10


def test_the_same_id_at_another_service_is_refused(api, service, connect):
    api.jobs.submit(chats(10), id="j")
    sent = len(service.requests)
    elsewhere = connect(service.base_url.replace("127.0.0.1", "localhost"))
    for refused in (
        lambda: elsewhere.jobs.submit(chats(10), id="j"),
        lambda: elsewhere.jobs.resume("j"),
        lambda: elsewhere.jobs.wait("j"),
        lambda: elsewhere.jobs.cancel("j"),
        lambda: elsewhere.jobs.delete("j"),
    ):
        with pytest.raises(JobMismatchError, match="localhost"):
            refused()
    assert len(service.requests) == sent


def test_the_same_requests_are_the_same_job_however_split_and_written(api, service, tmp_path):
    job = api.jobs.submit(chats(10, models=2), limits=Limits(requests=2))
    made = service.count("POST", "/batches")
    path = written(tmp_path / "requests.jsonl", chats(10, models=2))
    for same in (chats(10, models=2), iter(chats(10, models=2)), path):
        assert api.jobs.submit(same, limits=Limits(requests=5)).id == job.id
        assert api.jobs.submit(same if same is path else chats(10, models=2), id=job.id).id == job.id
    assert service.count("POST", "/batches") == made
    assert [each.id for each in api.jobs.list()] == [job.id]


def test_a_name_that_derives_from_the_requests_tells_requests_and_services_apart(api, service, connect):
    elsewhere = connect(service.base_url.replace("127.0.0.1", "localhost"))
    ids = [
        api.jobs.submit(chats(3)).id,
        api.jobs.submit(chats(4)).id,
        api.jobs.submit([chat("r0", "other"), *chats(3)[1:]]).id,
        elsewhere.jobs.submit(chats(3)).id,
    ]
    assert len(set(ids)) == 4


BAD_IDS = ["", ".", "..", "../x", "a/b", "a\\b", "-x", ".x", "x" * 65, "é", "a b", "a\n", "a\0", 7, b"a"]


def test_an_id_that_is_no_name_of_a_folder_is_refused(api, service):
    for bad in BAD_IDS:
        for refused in (
            partial(api.jobs.submit, chats(1), id=bad),
            partial(api.jobs.resume, bad),
            partial(api.jobs.retrieve, bad),
            partial(api.jobs.wait, bad),
            partial(api.jobs.cancel, bad),
            partial(api.jobs.delete, bad),
            partial(custom_ids, api.jobs.results(bad)),
        ):
            with pytest.raises(ConfigurationError, match="not a valid job id"):
                refused()
    assert nothing_is_left(api)
    assert not service.requests


BAD_OPTIONS = [
    {"max_attempts": 0},
    {"max_enqueued_tokens": 0},
    {"max_creates_per_hour": True},
    {"poll": 0},
    {"grace": -1},
    {"metadata": {"overlay_job": "x"}},
    {"metadata": {"overlay": "x"}},
    {"metadata": {f"k{number}": "v" for number in range(16)}},
    {"metadata": {"k": 7}},
]


def test_options_that_cannot_be_used_are_refused_before_requests_are_taken(api, service):
    requests = iter(chats(5))
    for options in BAD_OPTIONS:
        with pytest.raises(ConfigurationError, match=next(iter(options))):
            api.jobs.submit(requests, **options)
    assert nothing_is_left(api)
    assert not service.requests
    assert len(list(requests)) == 5


def test_requests_are_taken_and_written_off_the_event_loop(api, kind, monkeypatch):
    threads = set()
    add = Spool.add

    def watched(self, requests):
        threads.add(threading.get_ident())
        return add(self, requests)

    def taken():
        for request in chats(100):
            threads.add(threading.get_ident())
            yield request

    monkeypatch.setattr(Spool, "add", watched)
    api.jobs.submit(taken())
    if kind == "blocking":
        assert threads == {threading.get_ident()}
    else:
        assert api._portal.call(threading.get_ident) not in threads


@pytest.mark.parametrize("kind", ["blocking"])
@pytest.mark.parametrize(("count", "size"), [(5000, 4000), (60, 1_000_000)])
def test_memory_does_not_grow_with_the_requests(api, monkeypatch, count, size):
    text = "x" * size
    halted = chain((chat(f"r{number}", text) for number in range(count)), _halting())
    tracemalloc.start()
    try:
        with suppress(TroubleError):
            api.jobs.submit(halted, limits=Limits(requests=5000))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 0.6 * count * size


def _halting():
    raise TroubleError
    yield


def test_what_a_dead_process_spooled_is_removed_and_what_a_living_one_spools_is_not(api):
    spool = api.settings.home / "spool"
    for name in ("dead", "living"):
        (spool / name).mkdir(parents=True)
        (spool / name / "order").write_bytes(b"x")
    (spool / ".hidden").mkdir()
    (spool / ".long-hidden").mkdir()
    os.utime(spool / ".long-hidden", (time.time() - 7200,) * 2)
    with JobLock(spool / "living", "living", name="spooling"):
        api.jobs.submit(chats(1))
        assert sorted(path.name for path in spool.iterdir()) == [".hidden", "living"]
    api.jobs.submit(chats(2))
    assert [path.name for path in spool.iterdir()] == [".hidden"]
