"""How much of an answer is read, for how long: heads, floods of 1xx, bodies without length, pages without end."""

import json
import time
import tracemalloc

import pytest
from support.calling import TOKEN, batch_object, calling, create, write_lines
from support.raw_server import answer

from overlay import (
    APIConnectionError,
    APITimeoutError,
    InvalidResponseError,
    RateLimitError,
    UnknownOutcomeError,
)
from overlay.wire.bounds import TotalTimeout

MIB = 1024 * 1024


@pytest.fixture
def api(kind, raw_server):
    """Connects a client whose time is the real one, and that waits half a second."""
    opened = []

    def connect(script, **options):
        settings = {"base_url": raw_server(script).base_url, "token": TOKEN, "timeout": 0.5, "max_retries": 0}
        opened.append(calling(kind, **settings | options))
        return opened[-1].__enter__()

    yield connect
    for each in opened:
        each.__exit__(None, None, None)


def slowly(piece, every=0.05):
    """An answer of which a little always comes."""
    while True:
        yield piece
        time.sleep(every)


def flood():
    while True:
        yield b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" * 200


def dripping():
    yield b"HTTP/1.1 200 OK\r\nx-a: "
    yield from slowly(b"a")


HEADS = {
    "a byte now and then": dripping,
    "1xx now and then": lambda: slowly(b"HTTP/1.1 102 Processing\r\n\r\n"),
    "a flood of 1xx": flood,
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_a_head_has_its_time_whatever_comes_of_it(api, head):
    client = api(lambda request: head())
    began = time.monotonic()
    with pytest.raises(APITimeoutError):
        client.batches.retrieve("batch_1")
    with pytest.raises(UnknownOutcomeError):
        create(client, "file-1", grace=0)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_so_has_that_of_an_uploads_answer(api, head, tmp_path, monkeypatch):
    monkeypatch.setattr("overlay.wire.connection._UPLOAD_ANSWER_SECONDS", 0.6)
    client = api(lambda request: head())
    began = time.monotonic()
    with pytest.raises(APITimeoutError):
        client.files.upload(write_lines(tmp_path / "in.jsonl", 10))
    assert time.monotonic() - began < 5


def test_the_time_for_an_uploads_answer_begins_when_it_is_sent(kind, raw_server, tmp_path, monkeypatch):
    """Through a proxy, its own answer is read long before."""
    monkeypatch.setattr("overlay.wire.connection._UPLOAD_ANSWER_SECONDS", 0.6)
    spans = []

    class Noted(TotalTimeout):
        def restart(self):
            float(self)  # as if something had been read, and the whole time had passed
            self._until -= 600
            super().restart()
            spans.append(float(self))

    monkeypatch.setattr("overlay.wire.connection.TotalTimeout", Noted)
    server = raw_server(lambda request: answer({"id": "file-1"}))
    with calling(kind, base_url=server.base_url, token=TOKEN, timeout=0.5) as client:
        assert client.files.upload(write_lines(tmp_path / "in.jsonl", 10)).id == "file-1"
    assert spans == [pytest.approx(0.6, abs=0.1)]


@pytest.mark.parametrize("head", [b"x" * 200_000, b"HTTP/1.1 200 OK\r\n" + b"x-a: b\r\n" * 40_000])
def test_a_head_without_end_is_refused(api, head):
    def endless():
        yield head
        while True:
            yield b"x-a: b\r\n" * 1000

    with pytest.raises(APIConnectionError, match="broke"):
        api(lambda request: endless()).batches.retrieve("batch_1")


PAGES = {
    "empty objects": (b'{"data": [', b"{},", b"{}]}"),
    "empty arrays": (b'{"data": [', b"[],", b"[]]}"),
    "ids": (b'{"data": [', b'{"id":"b"},', b'{"id":"b"}]}'),
    "nested": (b'{"data": [', b'{"a":{}},', b"{}]}"),
    "not a page": (b'{"id": "b", "x": [', b"{},", b"{}]}"),
}


@pytest.mark.parametrize("parts", PAGES.values(), ids=PAGES)
def test_a_page_of_more_than_anybody_asked_for_is_refused(api, parts):
    first, each, last = parts
    body = first + each * ((8 * MIB - 100) // len(each)) + last
    client = api(lambda request: answer(body, content_type="application/json"), timeout=30)
    with pytest.raises(InvalidResponseError, match=r"objects"):
        list(client.batches.list(limit=5))
    tracemalloc.start()
    with pytest.raises(InvalidResponseError):
        list(client.batches.list(limit=5))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 * MIB


def test_a_page_that_ignores_the_limit_is_read(api):
    page = {"data": [batch_object(id=f"batch_{number}") for number in range(1000)], "has_more": False}
    assert len(list(api(lambda request: answer(page)).batches.list(limit=5))) == 1000


def test_as_many_reasons_as_there_are_lines_are_read(api):
    errors = {"data": [{"code": "c", "message": "m", "line": line} for line in range(1, 50_001)]}
    batch = batch_object(status="failed", errors=errors)
    read = api(lambda request: answer(json.dumps(batch).encode()), timeout=30).batches.retrieve("batch_1")
    assert len(read.errors.data) == 50_000


@pytest.mark.parametrize("body", [{"error": {"message": "the moon is full"}}, {"error": "the moon is full"}])
def test_an_error_under_200_is_shown_in_the_services_words(api, body, tmp_path):
    client = api(lambda request: answer(body))
    for act in (
        lambda: client.batches.retrieve("batch_1"),
        lambda: list(client.batches.list()),
        lambda: create(client, "file-1", grace=0),
        lambda: client.files.upload(write_lines(tmp_path / "in.jsonl", 1)),
        lambda: client.files.delete("file-1"),
        lambda: client.batches.cancel("batch_1"),
    ):
        with pytest.raises((InvalidResponseError, UnknownOutcomeError), match="the moon is full"):
            act()


DATES = [
    "Fri, 31 Dec 9999 23:59:59 GMT",
    "Mon, 01 Jan 0001 00:00:00 GMT",
    "Mon, 01 Jan 0001 00:00:00 +2359",
    "Fri, 31 Dec 9999 23:59:59 -2359",
    "Thu, 01 Jan 99999999999999999999 00:00:00 GMT",
    "Thu, 99 Jan 2026 99:99:99 GMT",
    "Thu, 01 Jan 2026 00:00:00 +99999999999999",
]


@pytest.mark.parametrize("date", DATES)
def test_a_date_beyond_the_calendar_costs_nobody_a_batch(api, date):
    client = api(lambda request: answer(batch_object(), date=date))
    assert create(client, "file-1").id == "batch_1"
    assert client.batches.retrieve("batch_1").id == "batch_1"

    page = {"data": [], "has_more": False}

    def lose_the_first(request):
        if request.method == "POST":
            made = {"input_file_id": "file-1", "created_at": int(time.time())}
            page["data"] = [batch_object(**made, metadata=json.loads(request.body)["metadata"])]
            return answer("", 500, date=date)
        return answer(page, date=date)

    assert create(api(lose_the_first), "file-1", grace=1).id == "batch_1"


@pytest.mark.parametrize("asked", [*DATES, "1e300", "-5", "nan", "inf", "9" * 5000, "soon"])
def test_a_wait_beyond_the_calendar_is_a_refusal(api, asked):
    client = api(
        lambda request: answer({"error": {"message": "slowly"}}, 429, retry_after=asked, date=DATES[0])
    )
    with pytest.raises(RateLimitError, match="slowly"):
        client.batches.retrieve("batch_1")
