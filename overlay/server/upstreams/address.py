"""Where a server is, and what it is given: `[MODEL=]URL[;weight=2][;at-once=64]`."""

import ipaddress
import re
from typing import Literal
from urllib.parse import urlsplit

import msgspec

AtOnce = int | Literal["auto"]

_MODEL = re.compile(r"(?P<model>[^=;?#]*?[^=;?#/:])=(?P<url>https?://.*)", re.DOTALL)


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """`base` is the URL without a last `/v1`; `model` the only one it is asked for, or None for any."""

    base: str
    host: str
    model: str | None = None
    weight: float = 1.0
    at_once: AtOnce | None = None

    @property
    def insecure(self) -> bool:
        """Whether what is sent there can be read on the way: plain http to another machine."""
        return self.base.startswith("http:") and not is_loopback(self.host)

    def __str__(self) -> str:
        return f"{self.model}={self.base}" if self.model else self.base


def read_address(text: str) -> Address:
    """Raises `ValueError` for what is not an http or https URL with options that there are."""
    url, *options = text.split(";")
    found = _MODEL.fullmatch(url)
    model = found["model"] if found else None
    base, host = _read_url(found["url"] if found else url)
    given: dict[str, str] = {}
    for option in options:
        name, equals, value = option.partition("=")
        name = name.strip().replace("_", "-")
        if name not in {"weight", "at-once"} or not equals:
            raise ValueError(f"an upstream has ;weight=NUMBER and ;at-once=NUMBER, and this is {option!r}")
        given[name] = value.strip()
    weight, at_once = given.get("weight"), given.get("at-once")
    return Address(
        base=base,
        host=host,
        model=model,
        weight=1.0 if weight is None else _read_weight(weight),
        at_once=None if at_once is None else read_at_once(at_once),
    )


def read_at_once(text: str) -> AtOnce:
    """`auto`, or how many requests at once. Raises `ValueError`."""
    if text == "auto":
        return "auto"
    if text.isascii() and text.isdigit() and 0 < int(text) <= 100_000:  # noqa: PLR2004  more is a mistake
        return int(text)
    raise ValueError(f"expected a whole number from 1, or auto, got {text!r}")


def is_loopback(host: str) -> bool:
    """Whether a name or an address is this machine's own."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _read_weight(text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = 0.0
    if not 0 < weight < float("inf"):
        raise ValueError(f"a weight is a number above 0, and this is {text!r}")
    return weight


def _read_url(url: str) -> tuple[str, str]:
    if not url.isascii() or not url.isprintable() or " " in url:
        # urlsplit leaves line feeds out without a word, and a request would hold them.
        raise ValueError(f"an upstream is an http or https URL in printable ASCII, and this is {url!r}")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise ValueError(f"an upstream is an http or https URL, and this is {url!r}: {error}") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"an upstream is an http or https URL, and this is {url!r}")
    if parts.username is not None or parts.query or parts.fragment:
        # Not quoted: what stands before the @ is a secret.
        raise ValueError("an upstream is an http or https URL without a user, a query or a fragment")
    # The url of a line begins with /v1, whatever the server puts before it.
    return url.rstrip("/").removesuffix("/v1"), parts.hostname
