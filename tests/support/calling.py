"""One way to call a client of either kind, time that passes at once, and short words for common steps."""

import json
import time
from contextlib import contextmanager, suppress

import anyio
import httpx
from anyio.from_thread import start_blocking_portal

from overlay import AsyncClient, AsyncListing, AsyncResults, Client

KINDS = ("blocking", "asyncio", "trio")
ENDPOINT = "/v1/chat/completions"
TOKEN = "sk-canary-7f3a9c1e5b"


class FakeClock:
    """A clock on which sleeping takes no time; `passed` is told how long each sleep was, when it is over."""

    def __init__(self, *passed):
        self.slept = []
        self.passed = list(passed)
        self._now = 1000.0

    def monotonic(self):
        return self._now

    def time(self):
        return time.time() + self._now - 1000.0

    def move(self, seconds):
        """Let time pass that nobody slept."""
        self._now += seconds

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.move(seconds)
        for told in self.passed:
            told(seconds)

    async def asleep(self, seconds):
        await anyio.to_thread.run_sync(self.sleep, seconds)


class Api:
    """A client whose methods are called, and whose lists are iterated, as those of `Client` are."""

    def __init__(self, client, portal=None):
        self.client = client
        self.batches = _Methods(client.batches, portal)
        self.files = _Methods(client.files, portal)
        self.jobs = _Methods(client.jobs, portal)
        self.settings = client._driver.settings
        self._portal = portal

    @property
    def clock(self):
        return self.settings.clock

    def close(self):
        if self._portal is None:
            self.client.close()
        else:
            self._portal.call(self.client.aclose)


@contextmanager
def calling(kind, **options):
    """A client of a kind ("blocking", "asyncio", "trio"), closed at the end."""
    if kind == "blocking":
        with Client(**options) as client:
            yield Api(client)
        return
    with start_blocking_portal(kind) as portal:
        api = Api(AsyncClient(**options), portal)
        try:
            yield api
        finally:
            api.close()


class _Methods:
    def __init__(self, resource, portal):
        self._resource = resource
        self._portal = portal

    def __getattr__(self, name):
        method = getattr(self._resource, name)
        if self._portal is None:
            return method
        return lambda *args, **kwargs: _called(self._portal, method, *args, **kwargs)


def _called(portal, method, *args, **kwargs):
    async def call():
        value = method(*args, **kwargs)
        return await value if hasattr(value, "__await__") else value

    value = portal.call(call)
    return _Iterated(value, portal) if isinstance(value, AsyncListing | AsyncResults) else value


class _Iterated:
    """An AsyncListing, its pages, or an AsyncResults, to be iterated and closed like the blocking one."""

    def __init__(self, iterated, portal):
        self.iterated = iterated
        self._portal = portal

    def __getattr__(self, name):
        return getattr(self.iterated, name)

    def __iter__(self):
        end = object()
        iterator = self._portal.call(aiter_of, self.iterated)
        try:
            while (item := self._portal.call(anext_of, iterator, end)) is not end:
                yield item
        finally:
            if hasattr(iterator, "athrow"):
                self._portal.call(iterator.aclose)

    def pages(self):
        return _Iterated(self.iterated.pages(), self._portal)

    def close(self):
        self._portal.call(self.iterated.aclose)

    def __enter__(self):
        self._portal.call(self.iterated.__aenter__)
        return self

    def __exit__(self, *error):
        self._portal.call(self.iterated.__aexit__, *error)


async def aiter_of(iterated):
    return aiter(iterated)


async def anext_of(iterator, end):
    return await anext(iterator, end)


def advancing(service):
    """Lets a service's time pass with a FakeClock's."""

    def passed(seconds):
        with suppress(RuntimeError):  # it is stopped, and nothing happens there
            service.advance(seconds)

    return passed


def once(function):
    """Lets a clock call it after its next sleep only."""
    functions = iter([function])
    return lambda _: [each() for each in functions]


def request_line(custom_id, **body):
    body = {"model": "m", "messages": [{"role": "user", "content": f"ask {custom_id}"}]} | body
    return {"custom_id": custom_id, "method": "POST", "url": ENDPOINT, "body": body}


def jsonl(lines):
    """Objects as JSONL; a number stands for as many requests."""
    if isinstance(lines, int):
        lines = [request_line(f"r{number}") for number in range(lines)]
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def write_lines(path, lines):
    """Write objects, or so many requests, into a file."""
    path.write_bytes(jsonl(lines))
    return path


def create(api, file_id, **options):
    return api.batches.create(input_file_id=file_id, endpoint=ENDPOINT, **options)


def started(api, path):
    """A batch of the requests in a file."""
    return create(api, api.files.upload(path).id)


def somebody_uploads(service, lines=1):
    """A file of another client."""
    content = jsonl(lines)
    with _somebody(service) as http:
        sent = http.post("/files", data={"purpose": "batch"}, files={"file": ("theirs.jsonl", content)})
    return sent.raise_for_status().json()["id"]


def somebody_creates(service, file_id, metadata=None):
    """A batch of another client."""
    body = {"input_file_id": file_id, "endpoint": ENDPOINT, "completion_window": "24h", "metadata": metadata}
    with _somebody(service) as http:
        return http.post("/batches", json=body).raise_for_status().json()["id"]


def _somebody(service):
    return httpx.Client(base_url=service.base_url, headers={"Authorization": "Bearer other"})


def batch_object(**fields):
    """A batch as a service sends it."""
    return {"id": "batch_1", "object": "batch", "status": "in_progress", "created_at": 1_750_000_000} | fields
