"""Signatures of webhooks as https://www.standardwebhooks.com has them, which OpenAI and Azure send.

The signature covers the id, the time and the body; a header may hold several, one for each secret in use.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping, Sequence
from pathlib import Path

from overlay.errors import ConfigurationError, WebhookError

_PREFIX = "whsec_"
_VERSION = "v1"
_SHORTEST, _LONGEST = 16, 128
_TOLERANCE = 300.0
_MOST_SIGNATURES = 20


def verify(
    body: bytes,
    headers: Mapping[str, str],
    secret: str | Sequence[str],
    *,
    tolerance: float = _TOLERANCE,
    now: float | None = None,
) -> str:
    """Return the id of a webhook if one of the secrets has signed it, and it was sent less than `tolerance` seconds
    ago, by this machine's clock (`now`, in seconds since 1970).

    `body` is what came, to the byte; `headers` may be written in any case. Several secrets are for the time while
    one takes the place of another. A webhook that is sent again has the id that it had.

    Raises WebhookError for a signature that is missing, wrong or out of time, and ConfigurationError for a secret
    that is none.
    """
    keys = [_key(each) for each in ([secret] if isinstance(secret, str) else secret)]
    if not keys:
        raise ConfigurationError("no secret to verify webhooks with")
    found = {name.lower(): value for name, value in headers.items()}
    try:
        name, sent = found["webhook-id"], found["webhook-timestamp"]
        signatures = found["webhook-signature"].split()
    except KeyError as error:
        raise WebhookError(f"the header {error.args[0]} is missing") from None
    if not sent.isascii() or not sent.isdigit():
        raise WebhookError("the header webhook-timestamp is not a time")
    late = (time.time() if now is None else now) - int(sent[:20])
    if abs(late) > tolerance:
        when = f"{late:,.0f} s ago" if late > 0 else f"{-late:,.0f} s ahead of this machine's clock"
        raise WebhookError(f"it was sent {when}; at most {tolerance:,.0f} s are taken")
    given = [
        value for version, _, value in (each.partition(",") for each in signatures) if version == _VERSION
    ]
    wanted = [_signature(key, name, sent, body) for key in keys]
    # All are compared, and each in constant time: how long it takes tells nothing.
    good = [
        hmac.compare_digest(each.encode("utf-8", "replace"), own.encode())
        for each in given[:_MOST_SIGNATURES]
        for own in wanted
    ]
    if not any(good):
        raise WebhookError("no signature is of a secret that is known here")
    return name


def sign(body: bytes, name: str, secret: str, *, now: float | None = None) -> dict[str, str]:
    """The headers of a webhook with this id, sent now. Raises ConfigurationError for a secret that is none."""
    sent = str(int(time.time() if now is None else now))
    signature = f"{_VERSION},{_signature(_key(secret), name, sent, body)}"
    return {"webhook-id": name, "webhook-timestamp": sent, "webhook-signature": signature}


def _signature(key: bytes, name: str, sent: str, body: bytes) -> str:
    signed = f"{name}.{sent}.".encode("utf-8", "replace") + body
    return b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def _key(secret: str) -> bytes:
    try:
        key = b64decode(secret.strip().removeprefix(_PREFIX), validate=True)
    except (Base64Error, ValueError):
        key = b""
    if not _SHORTEST <= len(key) <= _LONGEST:
        raise ConfigurationError(
            f"a webhook's secret is {_PREFIX} and {_SHORTEST} to {_LONGEST} bytes in Base64, as services show it"
        )
    return key


def secrets_in(path: Path, option: str) -> list[str]:
    """The secrets in a file that `option` names, with white space between them.

    Raises ConfigurationError, without what is in it.
    """
    try:
        found = path.read_text(encoding="ascii").split()
    except OSError as error:
        raise ConfigurationError(f"{option} {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{option} {path}: contains non-ASCII characters") from None
    if not found:
        raise ConfigurationError(f"{option} {path}: contains no secret")
    return found
