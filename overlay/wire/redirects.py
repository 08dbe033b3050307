"""Which redirects are followed, and with what.

A GET follows one on the same host with the token. The content of a file may lie in a storage: a GET of it follows
one to another host, without the token and without any header that might be a secret, over https only, but for
this machine. Nothing else is followed: a POST that is sent twice may be paid for twice.
"""

from __future__ import annotations

import httpx

from overlay.wire.hosts import is_loopback

FOLLOWED = "overlay.followed"
"""The extension of an answer that is followed: the request to send next."""
FOREIGN = "overlay.foreign"
"""The extension of a request to another host, which gets no token."""
_HOPS = "overlay.hops"
_MOST_HOPS = 5
_STATUSES = frozenset({301, 302, 303, 307, 308})
_HARMLESS = ("accept", "accept-encoding", "user-agent", "range", "if-range")
"""What a foreign host is sent: nothing that could be a secret."""


def next_request(response: httpx.Response, *, content: bool) -> httpx.Request | None:
    """What to send next for an answer that is a redirect; None if it is none, or none that is followed.

    `content` says that the content of a file was asked for.
    """
    request = response.request
    hops = request.extensions.get(_HOPS, 0)
    if request.method != "GET" or response.status_code not in _STATUSES or hops >= _MOST_HOPS:
        return None
    target = target_of(response)
    if target is None:
        return None
    foreign = request.extensions.get(FOREIGN, False) or not _is_same_place(request.url, target)
    if foreign and not content:
        return None
    headers = {
        name: value
        for name, value in request.headers.items()
        if name != "host" and (not foreign or name in _HARMLESS)
    }
    extensions = {**request.extensions, _HOPS: hops + 1, FOREIGN: foreign}
    return httpx.Request("GET", target, headers=headers, extensions=extensions)


def target_of(response: httpx.Response) -> httpx.URL | None:
    """Where an answer redirects to, if something may be sent there: over https, or to this machine."""
    location = response.headers.get("location", "")
    try:
        target = response.request.url.join(location)
    except (httpx.InvalidURL, ValueError):
        return None
    if not location or not target.host or target.userinfo:
        return None
    secure = target.scheme == "https" or (target.scheme == "http" and is_loopback(target.host))
    # Who has allowed http:// for a host has allowed it for all of its paths.
    return target if secure or _is_same_place(response.request.url, target) else None


def _is_same_place(one: httpx.URL, other: httpx.URL) -> bool:
    """Whether a token for one address may be sent to the other: the same host, and not with less protection."""
    if one.host != other.host:
        return False
    if (one.scheme, other.scheme) == ("http", "https"):
        return one.port is None and other.port is None
    return one.scheme == other.scheme and one.port == other.port
