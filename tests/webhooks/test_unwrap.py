"""Webhooks: what is signed is taken, and nothing else is."""

import json
from base64 import b64encode
from datetime import UTC, datetime

import pytest
from hypothesis import given, strategies as st
from openai import InvalidWebhookSignatureError, OpenAI

from overlay import ConfigurationError, WebhookError, webhooks

SECRET = "whsec_" + b64encode(b"k" * 24).decode()
OTHER = "whsec_" + b64encode(b"o" * 32).decode()
NOW = 1_790_000_000.0
EVENT = {
    "id": "evt_1",
    "object": "event",
    "type": "batch.completed",
    "created_at": 1_789_999_990,
    "data": {"id": "batch_1"},
}
BODY = json.dumps(EVENT, indent=2).encode()


def taken(body=BODY, headers=None, *, secret=SECRET, now=NOW):
    headers = webhooks.sign(body, "wh_1", SECRET, now=NOW) if headers is None else headers
    return webhooks.unwrap(body, headers, secret=secret, now=now)


def test_an_event_of_a_batch():
    event = taken()
    assert (event.id, event.type, event.batch_id) == ("wh_1", "batch.completed", "batch_1")
    assert event.created == datetime.fromtimestamp(1_789_999_990, UTC)
    assert event.raw == EVENT


def test_headers_in_any_case_and_several_signatures():
    headers = webhooks.sign(BODY, "wh_1", SECRET, now=NOW)
    signature = headers["webhook-signature"]
    headers["webhook-signature"] = f"v2,abc v1,{b64encode(b'x' * 32).decode()} {signature} junk"
    assert taken(headers={name.title(): value for name, value in headers.items()}).batch_id == "batch_1"


@pytest.mark.parametrize("secret", [[OTHER, SECRET], [SECRET, OTHER], (SECRET.removeprefix("whsec_"),)])
def test_one_of_several_secrets(secret):
    assert taken(secret=secret).batch_id == "batch_1"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"webhook-id": None}, "webhook-id is missing"),
        ({"webhook-signature": None}, "webhook-signature is missing"),
        ({"webhook-id": "wh_2"}, "no signature"),
        ({"webhook-signature": ""}, "no signature"),
        ({"webhook-signature": "v1,ünïcode v1a,x"}, "no signature"),
        ({"webhook-timestamp": "soon"}, "not a time"),
        ({"webhook-timestamp": "9" * 5000}, "ahead of this machine's clock"),
        ({"webhook-timestamp": str(int(NOW) + 1)}, "no signature"),
    ],
)
def test_what_is_forged_is_refused(change, words):
    headers = webhooks.sign(BODY, "wh_1", SECRET, now=NOW) | change
    with pytest.raises(WebhookError, match=words):
        taken(headers={name: value for name, value in headers.items() if value is not None})


@pytest.mark.parametrize("seconds", [301, -301])
def test_what_is_out_of_time_is_refused(seconds):
    with pytest.raises(WebhookError, match="at most 300 s"):
        taken(now=NOW + seconds)
    assert taken(now=NOW + seconds * 299 / 301).batch_id == "batch_1"


@given(place=st.integers(0, len(BODY) - 1), bit=st.integers(0, 7))
def test_a_body_with_another_bit_is_refused(place, bit):
    headers = webhooks.sign(BODY, "wh_1", SECRET, now=NOW)
    body = bytearray(BODY)
    body[place] ^= 1 << bit
    with pytest.raises(WebhookError, match="no signature"):
        taken(bytes(body), headers)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"type": 1}', b'{"type": "batch.x"}', b"[" * 100_000, b"\xff"]
)
def test_a_body_that_is_no_event_is_refused(body):
    with pytest.raises(WebhookError, match="no event"):
        taken(body)


def test_an_event_of_something_else_and_one_that_nobody_knows_yet():
    assert taken(json.dumps(EVENT | {"type": "response.completed", "data": None}).encode()) is None
    later = taken(json.dumps(EVENT | {"type": "batch.paused", "created_at": "?", "new": [1]}).encode())
    assert (later.type, later.created) == ("batch.paused", None)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_AAAA", "whsec_not base64!", [], [SECRET, "x"]])
def test_a_secret_that_is_none(secret):
    with pytest.raises(ConfigurationError):
        taken(secret=secret)


def test_the_official_client_takes_what_we_sign_and_we_take_nothing_that_it_refuses():
    theirs = OpenAI(api_key="k", webhook_secret=SECRET)
    headers = webhooks.sign(BODY, "wh_1", SECRET)
    assert theirs.webhooks.unwrap(BODY.decode(), headers).data.id == "batch_1"
    headers["webhook-signature"] = webhooks.sign(BODY, "wh_1", OTHER)["webhook-signature"]
    with pytest.raises(InvalidWebhookSignatureError):
        theirs.webhooks.unwrap(BODY.decode(), headers)
    with pytest.raises(WebhookError):
        webhooks.unwrap(BODY, headers, secret=SECRET)
