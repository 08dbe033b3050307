"""Cookies are not kept: what a service sets in one answer does not come back in the next request."""

import pytest
from support.calling import batch_object
from support.raw_server import answer

from overlay.wire.clients import BlockingClient


def test_cookies_are_left(raw_server, connect):
    server = raw_server(lambda request: answer(batch_object(), set_cookie="session=1; Path=/"))
    api = connect(server.base_url)
    for _ in range(3):
        api.batches.retrieve("batch_1")
    assert len(server.received) == 3
    assert all("cookie" not in request.headers for request in server.received)


def test_none_can_be_given():
    with BlockingClient() as client:
        assert not client.cookies
        with pytest.raises(NotImplementedError):
            client.cookies = {"session": "1"}
