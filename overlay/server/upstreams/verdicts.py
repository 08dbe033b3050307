"""What a server's reply to a line means: pure decisions."""

from enum import Enum
from typing import NamedTuple

import msgspec

from overlay.server.refusals import error_body
from overlay.server.upstreams.link import LARGEST, Reply
from overlay.wire.refusals import status_error

_BAD_GATEWAY = 502
_TIMED_OUT = 504
_UNAUTHORIZED = 401
_FIRST_REDIRECT, _FIRST_REFUSAL, _FIRST_FAILURE = 300, 400, 500
# 407 is a proxy's, in between.
_MAY_BE_THE_KEY = frozenset({400, 403})
# What gateways call a key that they do not know, with another status than 401: litellm's proxy, for one, says 400.
_KEY_WORDS = frozenset(
    {"invalid_api_key", "authentication_error", "auth_error", "no_db_connection", "token_expired"}
)
_MAY_PASS = frozenset({407, 408, 425, 429})


class Meaning(Enum):
    ANSWERED = "answered"
    REFUSED = "refused"
    """The line's own 4xx."""
    TROUBLE = "trouble"
    """The server's or the line's: a circuit tells."""
    SLOW = "slow"
    KEY = "key_refused"
    """The key is not accepted."""


class Verdict(NamedTuple):
    meaning: Meaning
    status: int
    body: bytes
    """JSON on one line."""
    request_id: str | None = None
    retry_after: float | None = None
    reason: str = ""
    """For people."""

    @property
    def settled(self) -> bool:
        """Whether it is the line's answer whatever else happens."""
        return self.meaning is Meaning.ANSWERED or self.meaning is Meaning.REFUSED


def judged(reply: Reply, host: str, call: str) -> Verdict:
    """`call` is the method and the path."""
    status, headers, content = reply
    body = on_one_line(content)
    request_id = headers.get("x-request-id")
    if status < _FIRST_REDIRECT and body is not None:
        return Verdict(Meaning.ANSWERED, status, body, request_id)
    error = status_error(
        status if status >= _FIRST_REDIRECT else _BAD_GATEWAY, headers, content, host=host, call=call
    )
    # It ends up in logs and on terminals, and the server chose some of the words.
    reason = "".join(each if each.isprintable() else "\ufffd" for each in str(error))
    wait = error.retry_after
    if status == _UNAUTHORIZED or (status in _MAY_BE_THE_KEY and {error.code, error.type} & _KEY_WORDS):
        return Verdict(Meaning.KEY, status, body or error_body(reason), request_id, wait, reason)
    if status < _FIRST_REFUSAL or (body is None and status >= _FIRST_FAILURE):
        # A page of a proxy, or of another server: no answer that a client of the API could read.
        return Verdict(Meaning.TROUBLE, _BAD_GATEWAY, _upstream_error(reason), request_id, wait, reason)
    body = _upstream_error(reason) if body is None else body
    passing = status in _MAY_PASS or status >= _FIRST_FAILURE
    return Verdict(Meaning.TROUBLE if passing else Meaning.REFUSED, status, body, request_id, wait, reason)


def no_reply(reason: str) -> Verdict:
    return Verdict(Meaning.TROUBLE, _BAD_GATEWAY, _upstream_error(reason), reason=reason)


def too_slow(host: str, timeout: float) -> Verdict:
    reason = f"{host} did not answer within {timeout:g} seconds"
    return Verdict(Meaning.SLOW, _TIMED_OUT, _upstream_error(reason, "upstream_timeout"), reason=reason)


def too_large(host: str) -> Verdict:
    reason = f"{host} sent an answer of more than {LARGEST // 2**20} MiB"
    return Verdict(Meaning.REFUSED, _BAD_GATEWAY, _upstream_error(reason), reason=reason)


def on_one_line(content: bytes) -> bytes | None:
    """The same JSON without white space, every number as it was written; None for what is not JSON."""
    try:
        return msgspec.json.format(content.decode(), indent=-1).encode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _upstream_error(reason: str, code: str = "upstream_error") -> bytes:
    return error_body(reason, kind="server_error", code=code)
