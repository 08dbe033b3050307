"""A POST to somebody who is not the service: nothing of the client, its token least of all, goes with it."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import urlsplit

import attrs
import httpx

from overlay.errors import ConfigurationError
from overlay.version import VERSION
from overlay.wire.hosts import is_loopback

_WITHIN = 10.0
_MAY_PASS = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}


@attrs.frozen
class NotPosted:
    """Why something was not taken, in words, and whether another try may help soon."""

    why: str
    may_pass: bool


def checked_url(url: str, what: str) -> str:
    """The URL, if it is one that may be posted to: https, or http on this machine. Raises ConfigurationError."""
    given: object = url  # as it may be where nobody checks types
    try:
        parts = urlsplit(url) if isinstance(given, str) else None
        host = httpx.URL(url).host
    except (ValueError, TypeError, httpx.InvalidURL):
        parts, host = None, ""
    if parts is None:
        raise ConfigurationError(f"{what} must be a URL, not {url!r:.200}")
    if parts.username is not None:  # not quoted: it is a secret
        raise ConfigurationError(f"{what} must be a URL without a user")
    if (parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host))) or not host:
        raise ConfigurationError(f"{what} must be an https URL, or http on this machine, not {url!r:.200}")
    return url


def post(url: str, body: bytes, headers: Mapping[str, str]) -> NotPosted | None:
    """Post JSON once; None if it was taken. A redirect is not followed."""
    host = urlsplit(url).hostname or ""
    sent = {"Content-Type": "application/json", "User-Agent": f"openai-batch-overlay/{VERSION}", **headers}
    try:
        with (
            httpx.Client(timeout=_WITHIN, trust_env=not is_loopback(host)) as client,
            client.stream("POST", url, content=body, headers=sent) as response,  # whose body nobody reads
        ):
            status = response.status_code
    except (httpx.HTTPError, ValueError) as error:
        return NotPosted(f"{host} could not be reached: {type(error).__name__}", may_pass=True)
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return None
    return NotPosted(
        f"{host} answered {status}", status in _MAY_PASS or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    )
