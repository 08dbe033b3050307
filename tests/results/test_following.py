"""Results without an order are read while they arrive; whatever breaks off, each is given once, and all of them."""

import json
import threading
from contextlib import contextmanager

import pytest
from support.calling import TOKEN, FakeClock, batch_object
from support.raw_server import Reset, answer

from overlay import (
    APIConnectionError,
    APITimeoutError,
    Client,
    ConfigurationError,
    FileGoneError,
    InvalidResponseError,
)
from overlay.lines import LINE_BYTES
from overlay.wire.body import Body

LINES = [
    json.dumps({"custom_id": f"r{n}", "response": {"status_code": 200, "body": {"n": n, "pad": "x" * 3000}}})
    for n in range(500)
]
CONTENT = "\n".join([*LINES, ""]).encode()
NAMES = [f"r{n}" for n in range(500)]


@pytest.fixture
def service(raw_server):
    """A service with an ended batch, whose output file is given by scripts: one a look, the last for ever."""

    def start(*contents, **fields):
        left = list(contents)

        def script(request):
            if "/batches/" in request.path:
                return answer(batch_object(status="completed", output_file_id="output", **fields))
            content = left.pop(0) if len(left) > 1 else left[0]
            return content(request) if callable(content) else answer(content)

        return raw_server(script)

    return start


@contextmanager
def client_of(server, **options):
    with Client(base_url=server.base_url, token=TOKEN, **options) as client:
        client._driver.settings.clock = FakeClock()
        yield client


def named(results):
    return [result.custom_id for result in results]


def fetches(server):
    return [each.headers.get("range") for each in server.received if each.path.endswith("/content")]


def cut(after, content=CONTENT):
    def script(_):
        yield answer(content)[: after - len(content)]
        raise Reset

    return script


def test_a_result_is_there_before_the_next_one_has_arrived(service):
    read = threading.Event()

    def script(_):
        whole = answer(CONTENT)
        yield whole[: len(whole) // 2]
        assert read.wait(10)
        yield whole[len(whole) // 2 :]

    server = service(script)
    with client_of(server) as client:
        names = []
        for result in client.batches.results("batch_1", ordered=False):
            names.append(result.custom_id)
            read.set()
        assert names == NAMES
        assert fetches(server) == [None]
        assert client._driver.settings.clock.slept == []


@pytest.mark.parametrize("after", [0, 1, 10_000, len(CONTENT) // 2, CONTENT.index(b"\n", 700_000) + 1])
def test_where_it_breaks_off_the_rest_is_read_from_the_whole(service, after):
    server = service(cut(after), CONTENT)
    with client_of(server) as client:
        results = list(client.batches.results("batch_1", ordered=False))
        assert [result.raw.decode() for result in results] == LINES
        assert fetches(server) == [None, None]
        assert len(client._driver.settings.clock.slept) == 1


def test_what_is_fetched_then_may_break_off_too(service):
    server = service(cut(300_000), cut(200_000), cut(400_000), CONTENT)
    with client_of(server) as client:
        assert named(client.batches.results("batch_1", ordered=False)) == NAMES


def test_without_tries_left_a_break_ends_it(service):
    server = service(cut(300_000), CONTENT)
    with client_of(server, max_retries=0) as client:
        results = iter(client.batches.results("batch_1", ordered=False))
        assert next(results).custom_id == "r0"
        with pytest.raises(APIConnectionError):
            list(results)
    assert fetches(server) == [None]


def test_a_file_that_changes_meanwhile_is_not_mixed(service):
    server = service(cut(700_000), CONTENT.replace(b"xxx", b"yyy"))
    with client_of(server) as client, pytest.raises(InvalidResponseError, match="changed while it was read"):
        list(client.batches.results("batch_1", ordered=False))


def test_a_file_that_becomes_shorter_is_not_complete(service):
    server = service(cut(700_000), CONTENT[: CONTENT.index(b"\n", 100_000) + 1])
    with client_of(server) as client, pytest.raises(InvalidResponseError, match="changed while it was read"):
        list(client.batches.results("batch_1", ordered=False))


def test_what_announces_no_length_is_fetched_first(service):
    server = service(lambda _: answer(CONTENT, content_length=None))
    with client_of(server) as client:
        assert named(client.batches.results("batch_1", ordered=False)) == NAMES
    assert len(fetches(server)) == 2


def test_a_bad_last_line_of_a_whole_file_is_one_malformed_line(service):
    server = service(CONTENT + b'{"custom_id": "r500", "resp')
    with client_of(server) as client:
        *results, last = client.batches.results("batch_1", ordered=False)
    assert named(results) == NAMES
    assert (last.ok, last.custom_id, last.error.code) == (False, "r500", "malformed_line")
    assert len(fetches(server)) == 1


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", []),
        (b"\n\r\n", []),
        (b'\n{"custom_id": "a"}\n\n{"custom_id": "b"}\n \n', ["a", "b"]),
        (b'{"custom_id": "a"}', ["a"]),
        (b'{"custom_id": "a"}\nnot json\n{"custom_id": "b"}', ["a", None, "b"]),
    ],
)
def test_odd_files(service, content, expected):
    with client_of(service(content)) as client:
        assert named(client.batches.results("batch_1", ordered=False)) == expected


def test_behind_a_line_that_is_too_long_it_goes_on_at_the_right_place(service):
    long = b'{"custom_id": "long", "x": "' + b"x" * LINE_BYTES + b'"}\n'
    content = long + CONTENT
    server = service(cut(len(long) + 500_000, content), content)
    with client_of(server) as client:
        names = named(client.batches.results("batch_1", ordered=False))
    assert names == ["long", *NAMES]


def test_a_file_that_is_gone_is_known_when_the_block_begins(service):
    server = service(lambda _: answer({"error": {"message": "It has expired."}}, 410))
    with client_of(server) as client:
        results = client.batches.results("batch_1", ordered=False)
        with pytest.raises(FileGoneError, match="It has expired"), results:
            pass
    assert len(fetches(server)) == 1


def test_a_file_that_appears_late_is_waited_for(service):
    late = [lambda _: answer({"error": {"message": "Not yet."}}, 404)] * 4
    with client_of(service(*late, CONTENT)) as client:
        assert named(client.batches.results("batch_1", ordered=False)) == NAMES
        assert 0 < sum(client._driver.settings.clock.slept) < 600


def test_a_wait_that_is_asked_for_is_kept(service):
    server = service(lambda _: answer("slow down", 429, retry_after=7), CONTENT)
    with client_of(server) as client:
        assert named(client.batches.results("batch_1", ordered=False)) == NAMES
        (slept,) = client._driver.settings.clock.slept
        assert 7 <= slept <= 8


def test_a_refused_token_says_so(service):
    server = service(lambda _: answer({"error": {"message": f"no {TOKEN}"}}, 401))
    with client_of(server) as client, pytest.raises(Exception, match="401") as caught:
        list(client.batches.results("batch_1", ordered=False))
    assert type(caught.value).__name__ == "AuthenticationError"
    assert TOKEN not in str(caught.value)


def test_the_error_file_comes_behind(raw_server):
    def script(request):
        if "/batches/" in request.path:
            files = {"output_file_id": "output", "error_file_id": "errors"}
            return answer(batch_object(status="completed", **files))
        return answer(CONTENT if "output" in request.path else b'{"custom_id": "e", "error": "no"}\n')

    with client_of(raw_server(script)) as client:
        assert named(client.batches.results("batch_1", ordered=False)) == [*NAMES, "e"]


@pytest.mark.parametrize("read", [0, 1])
def test_left_half_way_it_lets_go_of_the_connection(service, read):
    gone = threading.Event()
    sent = []

    def script(_):
        try:
            yield answer(b"", content_length=100 * len(CONTENT))
            for _ in range(100):
                yield CONTENT
                sent.append(CONTENT)
        finally:
            gone.set()

    with client_of(service(script)) as client:
        with client.batches.results("batch_1", ordered=False) as results:
            for _ in zip(range(read), results, strict=False):
                pass
        assert gone.wait(10)
        assert len(sent) < 100


def test_of_a_closed_client_no_more_is_read(service):
    server = service(CONTENT * 20)
    with client_of(server) as client:
        results = iter(client.batches.results("batch_1", ordered=False))
        next(results)
        client.close()
        with pytest.raises(ConfigurationError, match="closed"):
            list(results)


class _Dripping:
    """An answer of which a byte a minute comes."""

    status_code = 200
    headers = {"content-length": "1000"}  # noqa: RUF012

    def __init__(self, clock):
        self.request = type("Request", (), {"method": "GET", "url": type("Url", (), {"path": "/x"})})
        self._clock = clock

    def iter_raw(self):
        while True:
            self._clock.move(60)
            yield b"x"

    def close(self):
        pass


def test_a_drip_is_not_waited_for_but_a_slow_reader_is():
    clock = FakeClock()
    body = Body(_Dripping(clock), clock, lambda error: None)
    assert body.read(1) == b"x"
    with pytest.raises(APITimeoutError, match="slowed"):
        body.read(1)
    clock = FakeClock()
    patient = Body(_Dripping(FakeClock()), clock, lambda error: None)
    for _ in range(100):
        assert patient.read(1) == b"x"
        clock.move(3600)
