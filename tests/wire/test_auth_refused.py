"""What is no token, and providers that give none: nothing is sent, and nothing secret is said."""

import threading
import time
from datetime import UTC, date, datetime, timedelta

import anyio
import pytest
from support.calling import TOKEN, calling

from overlay import Client, ConfigurationError, Token, TokenProviderError
from overlay.server import Service


def hours_from_now(hours=1):
    return datetime.now(UTC) + timedelta(hours=hours)


async def awaited_provider():
    return TOKEN


def raising(error):
    def provider():
        raise error

    return provider


NOT_TOKENS = {
    "None": lambda: None,
    "empty": lambda: "",
    "bytes": lambda: b"sk-secret",
    "white space": lambda: "  ",
    "two words": lambda: "Bearer sk-secret",
    "line break": lambda: "sk-secret\n",
    "header": lambda: "sk-secret\r\nX-Other: 1",
    "not ASCII": lambda: "sk-secret-ü",
    "control": lambda: "sk-secret\x7f",
    "number": lambda: 7,
    "dict": lambda: {"token": "sk-secret"},
    "Token of None": lambda: Token(None, hours_from_now()),
    "Token of nothing": lambda: Token("", hours_from_now()),
    "naive": lambda: Token("sk-secret", datetime(2030, 1, 1)),  # noqa: DTZ001 - the mistake
    "seconds": lambda: Token("sk-secret", time.time() + 3600),
    "a day": lambda: Token("sk-secret", date(2030, 1, 1)),
    "raises": raising(RuntimeError("the password sk-secret is wrong")),
    "ends": raising(StopIteration("sk-secret")),
    "times out": raising(TimeoutError("sk-secret")),
}


@pytest.mark.parametrize("provider", NOT_TOKENS.values(), ids=NOT_TOKENS)
def test_without_a_token_nothing_is_sent(connect, service, requests_file, provider):
    api = connect(service.base_url, token=provider)
    for use in (
        lambda: list(api.batches.list()),
        lambda: api.files.upload(requests_file),
        lambda: api.batches.create(input_file_id="file-1", endpoint="/v1/responses"),
    ):
        with pytest.raises(TokenProviderError) as caught:
            use()
        assert "sk-secret" not in str(caught.value)
        assert caught.value.__cause__ is None
    assert service.requests == []
    assert api.clock.slept == []


def test_a_provider_that_fails_is_asked_again(connect, service):
    failures = [RuntimeError]

    def provider():
        if failures:
            raise failures.pop()
        return TOKEN

    api = connect(service.base_url, token=provider)
    with pytest.raises(TokenProviderError, match="RuntimeError"):
        list(api.batches.list())
    assert list(api.batches.list()) == []


def test_a_refused_token_is_dropped_even_if_no_other_comes(connect):
    given = iter([Token("sk-token-1", hours_from_now()), None, Token("sk-token-2", hours_from_now())])
    with Service(tokens="sk-token-2") as service:
        api = connect(service.base_url, token=lambda: next(given))
        with pytest.raises(TokenProviderError):
            list(api.batches.list())
        assert list(api.batches.list()) == []
        assert [each.token for each in service.requests] == ["sk-token-1", "sk-token-2"]


def test_an_awaited_provider_is_for_the_awaited_client(service):
    with (
        Client(base_url=service.base_url, token=awaited_provider) as client,
        pytest.raises(TokenProviderError, match="use AsyncClient"),
    ):
        list(client.batches.list())
    assert service.requests == []


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_provider_that_does_not_come_back_is_given_up(service, backend, monkeypatch):
    monkeypatch.setattr("overlay.wire.auth.PROVIDER_SECONDS", 0.05)
    for_ever = threading.Event()
    for provider in (lambda: for_ever.wait(60), anyio.sleep_forever):
        with calling(backend, base_url=service.base_url, token=provider) as api:
            with pytest.raises(TokenProviderError, match="no token within"):
                list(api.batches.list())
            for_ever.set()
    assert service.requests == []


def test_what_is_no_token_at_all():
    for token in (7, b"sk-1", object()):
        with pytest.raises(ConfigurationError, match="token"):
            Client(token=token)
