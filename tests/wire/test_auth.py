"""The token hook: asked when needed, by one caller at a time, and renewed once when a token is refused."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import anyio
import pytest
from support.calling import TOKEN, calling
from support.raw_server import answer

from overlay import AsyncClient, AuthenticationError, Client, OverlayError, Token
from overlay.server import Service
from overlay.wire.auth import Tokens

CALLERS = 20
START = 1_750_000_000.0
START_DATE = datetime.fromtimestamp(START, UTC)
HOUR = timedelta(hours=1)


def hours_from_now(hours=1):
    return datetime.now(UTC) + timedelta(hours=hours)


class Provider:
    """Gives `sk-token-1`, `sk-token-2` …, as a `Token` or as a `str`; counts how many calls run at a time."""

    def __init__(self, expires_at=None, takes=0.0):
        self.calls = 0
        self.most = 0
        self._expires_at = expires_at
        self._takes = takes
        self._under_way = 0

    def __call__(self):
        self.calls += 1
        self._under_way += 1
        self.most = max(self.most, self._under_way)
        time.sleep(self._takes)
        self._under_way -= 1
        value = f"sk-token-{self.calls}"
        return value if self._expires_at is None else Token(value, self._expires_at)

    def awaited(self):
        async def provider():
            await anyio.lowlevel.checkpoint()
            return self()

        return provider


def sent(service):
    return [each.token for each in service.requests]


def test_a_string_is_sent_as_it_is(api, service):
    for _ in range(2):
        list(api.batches.list())
    assert sent(service) == [TOKEN, TOKEN]


def test_a_provider_of_strings_is_asked_for_each_request(connect, service):
    api = connect(service.base_url, token=Provider())
    for _ in range(3):
        list(api.batches.list())
    assert sent(service) == ["sk-token-1", "sk-token-2", "sk-token-3"]


def test_a_token_is_kept(connect, service):
    api = connect(service.base_url, token=Provider(hours_from_now()))
    for _ in range(3):
        list(api.batches.list())
    assert sent(service) == ["sk-token-1"] * 3


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_provider_may_be_awaited(service, backend):
    class Awaited:
        async def __call__(self):
            return "sk-of-an-object"

    for provider in (Provider().awaited(), Provider(hours_from_now()).awaited(), Awaited()):
        with calling(backend, base_url=service.base_url, token=provider) as api:
            list(api.batches.list())
    assert sent(service) == ["sk-token-1", "sk-token-1", "sk-of-an-object"]


def get(tokens, kind):
    issued = tokens.get() if kind == "blocking" else anyio.run(tokens.aget, backend=kind)
    return issued.value


@pytest.mark.parametrize(
    ("life", "early"),
    [(HOUR, 300), (timedelta(days=1), 300), (timedelta(minutes=10), 60), (timedelta(seconds=10), 1)],
)
def test_a_token_is_renewed_before_it_expires(kind, life, early):
    now = START
    provider = Provider(START_DATE + life)
    tokens = Tokens(provider, now=lambda: now)
    get(tokens, kind)
    now = START + life.total_seconds() - early - 0.1
    assert get(tokens, kind) == "sk-token-1"
    now += 0.2
    assert get(tokens, kind) == "sk-token-2"


def test_a_token_that_has_expired_is_not_kept(kind):
    tokens = Tokens(Provider(START_DATE - HOUR), now=lambda: START)
    assert [get(tokens, kind) for _ in range(2)] == ["sk-token-1", "sk-token-2"]


def test_a_time_of_expiry_may_be_in_any_zone(kind):
    from zoneinfo import ZoneInfo  # noqa: PLC0415

    tokens = Tokens(
        Provider((START_DATE + HOUR).astimezone(ZoneInfo("Asia/Tokyo"))), now=lambda: START + 3000
    )
    assert [get(tokens, kind) for _ in range(2)] == ["sk-token-1", "sk-token-1"]


def test_many_threads_ask_once(service):
    provider = Provider(hours_from_now(), takes=0.05)
    with Client(base_url=service.base_url, token=provider) as client, ThreadPoolExecutor(CALLERS) as pool:
        list(pool.map(lambda _: list(client.batches.list()), range(CALLERS)))
    assert provider.calls == 1
    assert sent(service) == ["sk-token-1"] * CALLERS


def test_many_threads_renew_a_refused_token_once():
    provider = Provider(hours_from_now(), takes=0.01)
    together = threading.Barrier(CALLERS)

    def use(_):
        list(client.batches.list())
        together.wait(30)
        list(client.batches.list())

    revoked = set()
    with (
        Service(tokens=lambda token: token not in revoked) as service,
        Client(base_url=service.base_url, token=provider) as client,
        ThreadPoolExecutor(CALLERS) as pool,
    ):
        list(client.batches.list())
        revoked.add("sk-token-1")
        list(pool.map(use, range(CALLERS)))
        assert provider.calls == 2
        assert {each.status for each in service.requests if each.token == "sk-token-2"} == {200}


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("awaited", [False, True])
def test_many_tasks_ask_once(service, backend, awaited):
    provider = Provider(hours_from_now(), takes=0.02)

    async def use(client):
        assert [batch async for batch in client.batches.list()] == []

    async def all_of_them():
        token = provider.awaited() if awaited else provider
        async with (
            AsyncClient(base_url=service.base_url, token=token) as client,
            anyio.create_task_group() as group,
        ):
            for _ in range(CALLERS):
                group.start_soon(use, client)

    anyio.run(all_of_them, backend=backend)
    assert provider.calls == 1
    assert sent(service) == ["sk-token-1"] * CALLERS


def test_at_most_one_call_at_a_time_without_a_cache(service):
    provider = Provider(takes=0.001)
    with Client(base_url=service.base_url, token=provider) as client, ThreadPoolExecutor(CALLERS) as pool:
        list(pool.map(lambda _: list(client.batches.list()), range(CALLERS)))
    assert (provider.calls, provider.most) == (CALLERS, 1)


@pytest.mark.parametrize("expires_at", [None, hours_from_now()], ids=["str", "Token"])
def test_a_refused_token_is_renewed_once(connect, expires_at):
    with Service(tokens="sk-token-2") as service:
        provider = Provider(expires_at)
        api = connect(service.base_url, token=provider)
        assert list(api.batches.list()) == []
        assert sent(service) == ["sk-token-1", "sk-token-2"]
        assert provider.calls == 2


@pytest.mark.parametrize("expires_at", [None, hours_from_now()], ids=["str", "Token"])
def test_a_second_refusal_is_an_error(connect, expires_at):
    with Service(tokens="sk-of-another") as service:
        api = connect(service.base_url, token=Provider(expires_at))
        with pytest.raises(AuthenticationError, match="Incorrect API key") as caught:
            list(api.batches.list())
        assert caught.value.request_id == service.requests[-1].request_id
        assert sent(service) == ["sk-token-1", "sk-token-2"]
        assert api.clock.slept == []


def test_a_refused_string_is_an_error_at_once(connect):
    with Service(tokens="sk-of-another") as service:
        with pytest.raises(AuthenticationError):
            list(connect(service.base_url).batches.list())
        assert len(service.requests) == 1


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_blocking_provider_does_not_hold_up_the_loop(service, backend):
    went_on = threading.Event()

    def provider():
        assert went_on.wait(60), "the loop stood still"
        return TOKEN

    async def use(client):
        assert [batch async for batch in client.batches.list()] == []

    async def both():
        async with (
            AsyncClient(base_url=service.base_url, token=provider) as client,
            anyio.create_task_group() as group,
        ):
            group.start_soon(use, client)
            await anyio.sleep(0.01)
            went_on.set()

    anyio.run(both, backend=backend)
    assert sent(service) == [TOKEN]


class Storm:
    """Gives all callers the same token, and then, when it is refused, another, the same, or none.

    As a server's script, it refuses what is not fresh once all of them have asked.
    """

    def __init__(self, expires_at, then):
        self.calls = 0
        self.renewing = threading.Event()
        self._expires_at = expires_at
        self._then = then
        self._gathered = threading.Barrier(CALLERS, action=self.renewing.set)

    def __call__(self):
        self.calls += self.renewing.is_set()
        value = "sk-dead-token"
        if self.renewing.is_set():
            if self._then == "fails":
                raise OSError("no route")
            time.sleep(0.05)
            value = "sk-fresh-token" if self._then == "another" else value
        return value if self._expires_at is None else Token(value, self._expires_at)

    def answer(self, request):
        if request.headers["authorization"] == "Bearer sk-fresh-token":
            return answer({"object": "list", "data": [], "has_more": False})
        if not self.renewing.is_set():
            self._gathered.wait(30)
        return answer({"error": {"message": "expired"}}, 401)


STORMS = pytest.mark.parametrize(
    ("then", "outcome"),
    [("another", "served"), ("the same", "AuthenticationError"), ("fails", "TokenProviderError")],
)
KINDS_OF_TOKEN = pytest.mark.parametrize("expires_at", [None, hours_from_now()], ids=["str", "Token"])


@STORMS
@KINDS_OF_TOKEN
def test_one_call_serves_all_threads_whose_token_is_refused(raw_server, expires_at, then, outcome):
    storm = Storm(expires_at, then)

    def use(_):
        try:
            list(client.batches.list())
        except OverlayError as error:
            return type(error).__name__
        return "served"

    server = raw_server(storm.answer)
    with Client(base_url=server.base_url, token=storm) as client, ThreadPoolExecutor(CALLERS) as pool:
        assert set(pool.map(use, range(CALLERS))) == {outcome}
    assert storm.calls == 1


@STORMS
@KINDS_OF_TOKEN
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_one_call_serves_all_tasks_whose_token_is_refused(raw_server, backend, expires_at, then, outcome):
    storm, came = Storm(expires_at, then), set()

    async def use(client):
        try:
            assert [batch async for batch in client.batches.list()] == []
        except OverlayError as error:
            came.add(type(error).__name__)
        else:
            came.add("served")

    async def all_of_them():
        async with (
            AsyncClient(base_url=server.base_url, token=storm) as client,
            anyio.create_task_group() as group,
        ):
            for _ in range(CALLERS):
                group.start_soon(use, client)

    server = raw_server(storm.answer)
    anyio.run(all_of_them, backend=backend)
    assert came == {outcome}
    assert storm.calls == 1


def test_what_was_renewed_once_is_renewed_again_when_that_is_refused():
    provider = Provider()
    tokens = Tokens(provider)
    first = tokens.get()
    second = tokens.get(rejected=first)
    assert tokens.get(rejected=first) == second
    assert tokens.get(rejected=second).value == "sk-token-3"
    assert provider.calls == 3
