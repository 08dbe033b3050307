"""Downloads: whatever breaks off, what is at the final path is whole."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.calling import TOKEN
from support.raw_server import answer

from overlay import (
    APIConnectionError,
    APITimeoutError,
    Client,
    FileGoneError,
    InvalidResponseError,
    NotFoundError,
    StorageError,
)
from overlay.server import CloseAfter, Cut, Gzip, Reject, Reset, Service
from overlay.wire.part_file import PartFile

CONTENT = "GET /files/*/content"
SOME = bytes(range(256)) * 8


@pytest.fixture
def content():
    return os.urandom(700_000)


@pytest.fixture
def stored(api, tmp_path, content):
    """The id of a file with this content."""
    path = tmp_path / "stored"
    path.write_bytes(content)
    return api.files.upload(path, purpose="evals").id


@pytest.fixture
def target(tmp_path):
    path = tmp_path / "folder" / "out.jsonl"
    path.parent.mkdir()
    return path


def listed(folder):
    return sorted(path.name for path in folder.iterdir())


def ranges(service):
    """The ranges that were asked for, None for the whole."""
    return [each.headers.get("range") for each in service.requests if each.path.endswith("/content")]


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("reset", [False, True], ids=["ends", "reset"])
def test_a_download_that_is_cut_goes_on_where_it_stopped(
    api, service, stored, target, content, framing, reset
):
    service.faults.add(CONTENT, Cut(after=200_000, framing=framing, reset=reset))
    assert api.files.download(stored, target) == target
    assert target.read_bytes() == content
    first, second = ranges(service)
    assert first is None
    assert second == "bytes=200000-"
    assert listed(target.parent) == ["out.jsonl"]
    assert api.clock.slept, "the service was given a pause"


def test_tries_are_counted_anew_after_progress(api, service, stored, target, content):
    service.faults.add(CONTENT, Cut(after=66_000), times=None)
    assert api.files.download(stored, target).read_bytes() == content
    assert len(ranges(service)) == 11


def test_without_progress_it_ends(api, service, stored, target):
    target.write_bytes(b"an older good file")
    service.faults.add(CONTENT, Cut(after=10), times=None)
    with pytest.raises(APIConnectionError):
        api.files.download(stored, target)
    assert len(ranges(service)) == 6
    assert target.read_bytes() == b"an older good file"


def test_what_has_arrived_is_kept_for_the_next_process(api, connect, service, stored, target, content):
    service.faults.add(CONTENT, Cut(after=300_000))
    with pytest.raises(APIConnectionError):
        connect(service.base_url, max_retries=0).files.download(stored, target)
    assert listed(target.parent) == [f".out.jsonl.{stored}.part"]
    assert api.files.download(stored, target).read_bytes() == content
    assert ranges(service) == [None, "bytes=300000-"]
    assert listed(target.parent) == ["out.jsonl"]


def test_two_at_once_to_one_path_do_not_write_into_each_others_part(api, service, stored, target, content):
    other = PartFile(target.with_name(f".out.jsonl.{stored}.part"))
    other.part.write_bytes(content[:1000])
    assert api.files.download(stored, target).read_bytes() == content
    assert ranges(service) == [None]
    assert other.part.read_bytes() == content[:1000]
    service.faults.add(CONTENT, Cut(after=10), times=None)
    with pytest.raises(APIConnectionError):
        api.files.download(stored, target)
    assert listed(target.parent) == [other.part.name, "out.jsonl"]
    other.close()


def test_many_at_once_to_one_path_leave_it_whole(service, stored, target, content):
    with Client(token=TOKEN, base_url=service.base_url) as client, ThreadPoolExecutor(8) as threads:
        paths = list(threads.map(lambda _: client.files.download(stored, target), range(40)))
    assert paths == [target] * 40
    assert target.read_bytes() == content
    assert listed(target.parent) == ["out.jsonl"]


@pytest.mark.parametrize("left", [b"", b"y" * 700_000, b"y" * 800_000], ids=["empty", "as long", "longer"])
def test_a_part_that_cannot_be_gone_on_with_is_begun_anew(api, stored, target, content, left):
    target.with_name(f".out.jsonl.{stored}.part").write_bytes(left)
    assert api.files.download(stored, target).read_bytes() == content


@pytest.mark.parametrize(
    "trouble", [Reset(), Reject(500), Reject(429), Gzip(), CloseAfter("next_request")], ids=repr
)
def test_trouble_passes(api, service, stored, target, content, trouble):
    service.faults.add(CONTENT, trouble, times=3)
    for _ in range(2):
        assert api.files.download(stored, target).read_bytes() == content


def test_a_body_that_is_compressed_unasked_is_unpacked(api, service, stored, target):
    api.files.download(stored, target)
    content = target.read_bytes()
    target.unlink()
    service.faults.add(CONTENT, Gzip(), times=None)
    api.files.download(stored, target)
    assert target.read_bytes() == content
    assert {each.headers["accept-encoding"] for each in service.requests} == {"identity"}


@pytest.mark.parametrize("status", [404, 410])
def test_a_file_that_is_gone_is_not_asked_for_again(api, service, stored, target, status):
    service.faults.add(CONTENT, Reject(status, "It has expired.", code="gone"))
    with pytest.raises(FileGoneError, match="It has expired") as caught:
        api.files.download(stored, target)
    assert isinstance(caught.value, NotFoundError)
    assert (caught.value.status_code, caught.value.code) == (status, "gone")
    assert caught.value.request_id == service.requests[-1].request_id
    assert len(ranges(service)) == 1


def test_an_empty_file(raw_server, connect, target):
    api = connect(raw_server(lambda request: answer(b"")).base_url)
    assert api.files.download("file-1", target).read_bytes() == b""


def test_a_refused_token_is_renewed(connect, target):
    tokens = iter(["sk-that-is-new", "sk-that-is-old", "sk-that-is-new"])
    with Service(tokens="sk-that-is-new") as service:
        api = connect(service.base_url, token=lambda: next(tokens))
        target.write_bytes(SOME)
        file = api.files.upload(target, purpose="evals")
        assert api.files.download(file.id, target).read_bytes() == SOME
        assert [each.status for each in service.requests] == [200, 401, 200]


class Downloads:
    """A script that gives its answers in turn, the last one for ever; a number cuts the content there."""

    def __init__(self, *answers):
        self.answers = list(answers)

    def __call__(self, request):
        if not request.path.endswith("/content"):
            return answer({"id": "file-1", "bytes": len(SOME)})
        made = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return made(request) if callable(made) else made


def cut(at, **headers):
    return answer(SOME[:at], content_length=len(SOME), **headers)


def rest(start, content=SOME, **headers):
    there = {"content_range": f"bytes {start}-{len(content) - 1}/{len(content)}"} | headers
    return answer(content[start:], 206, **there)


def test_a_range_is_asked_for_under_its_etag(raw_server, connect, target):
    other = SOME[::-1]
    server = raw_server(Downloads(cut(100, etag='"one"'), answer(other, etag='"two"')))
    assert connect(server.base_url).files.download("file-1", target).read_bytes() == other
    assert server.received[1].headers["range"] == "bytes=100-"
    assert server.received[1].headers["if-range"] == '"one"'


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_without_a_strong_etag_there_is_no_condition(raw_server, connect, target, etag):
    server = raw_server(Downloads(cut(100, etag=etag), rest(100)))
    assert connect(server.base_url).files.download("file-1", target).read_bytes() == SOME
    assert "if-range" not in server.received[1].headers


def test_a_service_without_ranges(raw_server, connect, target):
    server = raw_server(Downloads(cut(100), cut(1000), answer(SOME)))
    assert connect(server.base_url).files.download("file-1", target).read_bytes() == SOME


@pytest.mark.parametrize("known", [True, False], ids=["length", "no length"])
def test_a_body_that_always_breaks_at_the_same_place_ends_it(raw_server, connect, target, known):
    content = SOME * 200
    broken = answer(content[:300_000], content_length=len(content) if known else None)
    found = answer({"id": "file-1", "bytes": len(content)})
    server = raw_server(lambda request: broken if request.path.endswith("/content") else found)
    api = connect(server.base_url, max_retries=5)
    with pytest.raises((APIConnectionError, InvalidResponseError)):
        api.files.download("file-1", target)
    assert sum(each.path.endswith("/content") for each in server.received) == 6
    assert not target.exists()


def test_only_what_lies_beyond_the_best_try_is_progress(raw_server, connect, target):
    content = SOME * 1000
    places = [100_000 * number for number in (1, 2, 1, 3, 2, 3, 2, 4, 4, 4, 5)]
    cuts = [answer(content[:place], content_length=len(content)) for place in places]
    server = raw_server(Downloads(*cuts, answer(content)))
    assert connect(server.base_url).files.download("file-1", target).read_bytes() == content


@pytest.mark.parametrize(
    "lie",
    [
        rest(0),
        rest(99),
        rest(101),
        rest(100, content_range=None),
        rest(100, content_range="bytes */2048"),
        rest(100, content_range="lines 1-2/3"),
        answer(b"", 416),
    ],
    ids=["from 0", "before", "after", "no range", "unsatisfied", "no bytes", "416"],
)
def test_another_range_than_asked_for_begins_anew(raw_server, connect, target, lie):
    server = raw_server(Downloads(cut(100), lie, answer(SOME)))
    assert connect(server.base_url).files.download("file-1", target).read_bytes() == SOME
    assert "range" not in server.received[2].headers


def test_a_range_that_nobody_asked_for_is_not_the_whole(raw_server, connect, target):
    part = answer(SOME[:100], 206, content_range=f"bytes 0-99/{len(SOME)}")
    server = raw_server(Downloads(part, rest(100)))
    assert connect(server.base_url).files.download("file-1", target).read_bytes() == SOME


def test_a_range_that_stops_early_is_gone_on_with(raw_server, connect, target):
    middle = answer(SOME[100:500], 206, content_range=f"bytes 100-499/{len(SOME)}")
    server = raw_server(Downloads(cut(100), middle, rest(500)))
    assert connect(server.base_url).files.download("file-1", target).read_bytes() == SOME
    assert [each.headers.get("range") for each in server.received] == [None, "bytes=100-", "bytes=500-"]


def test_an_unannounced_length_is_compared_with_the_record(raw_server, connect, target):
    server = raw_server(Downloads(answer(SOME[:-1], content_length=None)))
    with pytest.raises(InvalidResponseError, match=r"of 2,048 bytes arrived"):
        connect(server.base_url, max_retries=3).files.download("file-1", target)
    assert not target.exists()


def test_what_is_longer_than_its_record_is_believed_the_second_time(raw_server, connect, target, caplog):
    longer = answer(SOME + b"more", content_length=None)
    server = raw_server(Downloads(longer))
    api = connect(server.base_url, max_retries=3)
    assert api.files.download("file-1", target).read_bytes() == SOME + b"more"
    assert server.requests().count("GET /files/file-1/content") == 2
    assert caplog.text.count("2,052 bytes arrived twice; its record, which says 2,048, is not believed") == 1


def test_lengths_that_differ_each_time_are_not_believed(raw_server, connect, target):
    answers = [answer(SOME + b"x" * (1 + number % 2), content_length=None) for number in range(9)]
    server = raw_server(Downloads(*answers))
    with pytest.raises(InvalidResponseError, match=r"of 2,048 bytes arrived"):
        connect(server.base_url, max_retries=3).files.download("file-1", target)
    assert not target.exists()


def test_an_announced_length_goes_before_the_record(raw_server, connect, target, caplog):
    server = raw_server(Downloads(answer(SOME[:-1])))
    assert connect(server.base_url).files.download("file-1", target).read_bytes() == SOME[:-1]
    assert server.requests() == ["GET /files/file-1/content"]
    assert caplog.messages == []


def test_a_name_that_the_service_gives_is_no_path(raw_server, connect, target):
    server = raw_server(Downloads(answer(SOME, content_disposition='attachment; filename="../../evil"')))
    connect(server.base_url).files.download("file-1", target)
    assert listed(target.parent) == ["out.jsonl"]


def test_a_drip_is_given_up(raw_server, connect, target):
    def drip(_):
        yield answer(content_length=10**9)
        while True:  # until the client leaves
            api.clock.move(10.0)
            yield b"x" * 10_000

    server = raw_server(Downloads(drip))
    api = connect(server.base_url, max_retries=0)
    with pytest.raises(APITimeoutError, match="slowed to"):
        api.files.download("file-1", target)
    assert not target.exists()


@pytest.mark.parametrize("place", ["no/such/folder/out", ".", "a\0b"])
def test_a_place_that_cannot_be_written_to(api, stored, tmp_path, place):
    with pytest.raises(StorageError):
        api.files.download(stored, tmp_path / place)


FULL = """
import resource, sys, anyio, overlay
base_url, file_id, target, kind = sys.argv[1:]
async def awaited():
    async with overlay.AsyncClient(base_url=base_url, token="sk-1") as client:
        return await client.files.download(file_id, target)
def fetch():
    if kind != "blocking":
        return anyio.run(awaited, backend=kind)
    with overlay.Client(base_url=base_url, token="sk-1") as client:
        return client.files.download(file_id, target)
unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (2_500_000, unlimited[1]))
try:
    fetch()
except overlay.StorageError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
fetch()
"""


def test_a_full_disk_leaves_a_part_to_go_on_with(kind, service, api, target):
    content = os.urandom(4_000_000)
    target.write_bytes(content)
    file_id = api.files.upload(target, purpose="evals").id
    target.write_bytes(b"an older good file")
    command = [sys.executable, "-c", FULL, service.base_url, file_id, target, kind]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "File too large" in done.stdout
    assert str(target.name) in done.stdout
    assert target.read_bytes() == content
    (resumed,) = ranges(service)[1:]
    assert resumed is not None
    assert listed(target.parent) == ["out.jsonl"]
