"""What the environment says of proxies and certificates: followed where it must be, and named where it is wrong."""

import httpx
import pytest
from support.calling import TOKEN, batch_object, calling, create
from support.raw_server import answer

from overlay import ConfigurationError
from overlay.wire.environment import variable


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    httpx.create_ssl_context.cache_clear()  # conftest keeps what it read once
    yield
    httpx.create_ssl_context.cache_clear()


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.3.2.1"])
def test_a_proxy_is_not_shown_what_goes_to_this_machine(kind, raw_server, monkeypatch, name, host):
    proxy = raw_server(lambda request: answer({}, 502))
    service = raw_server(lambda request: answer(batch_object()))
    monkeypatch.setenv(name, proxy.base_url.removesuffix("/v1"))
    base_url = service.base_url.replace("127.0.0.1", host)
    with calling(kind, base_url=base_url, token=TOKEN, max_retries=0) as api:
        if host == "127.3.2.1":  # nothing listens there: what counts is who is asked
            with pytest.raises(Exception, match="cannot connect"):
                api.batches.retrieve("batch_1")
        else:
            assert api.batches.retrieve("batch_1").id == "batch_1"
    assert proxy.received == []


def test_others_are_reached_through_it(kind, raw_server, monkeypatch):
    proxy = raw_server(lambda request: answer(batch_object()))
    monkeypatch.setenv("HTTP_PROXY", proxy.base_url.removesuffix("/v1"))
    with calling(kind, base_url="http://api.example/v1", token=TOKEN, allow_insecure=True) as api:
        assert api.batches.retrieve("batch_1").id == "batch_1"
    (seen,) = proxy.received
    assert seen.path.startswith("http://api.example/v1")


WRONG = {
    "another scheme": ("HTTPS_PROXY", "foo://proxy.example:1", "HTTPS_PROXY"),
    "no URL": ("ALL_PROXY", "http://[::", "ALL_PROXY"),
    "without its package": ("ALL_PROXY", "socks5://user:secret@proxy.example:1", "ALL_PROXY"),
    "no certificates": ("SSL_CERT_FILE", "/nowhere/certificates.pem", "SSL_CERT_FILE"),
    "not certificates": ("SSL_CERT_FILE", __file__, "SSL_CERT_FILE"),
}


@pytest.mark.parametrize(("name", "value", "named"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_named_and_nothing_was_sent(kind, monkeypatch, tmp_path, name, value, named):
    monkeypatch.setenv(name, value)
    (tmp_path / "in.jsonl").write_text("{}\n")
    with calling(kind, base_url="https://api.example/v1", token=TOKEN) as api:
        for act in (
            lambda: api.batches.retrieve("batch_1"),
            lambda: create(api, "file-1"),
            lambda: api.files.upload(tmp_path / "in.jsonl"),
            lambda: api.files.download("file-1", tmp_path / "out"),
        ):
            with pytest.raises(ConfigurationError, match=named) as caught:
                act()
            assert "secret" not in str(caught.value)
    assert variable(name) == value
