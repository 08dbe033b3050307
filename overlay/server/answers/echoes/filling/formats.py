"""The values of `format` that strings can be held to: an endless supply of each, and how one is told.

The examples are those that documents may use (RFC 2606 for names, RFC 5737 and 3849 for addresses), so that none
leads anywhere; a UUID begins with ec40, which is as near as hexadecimal comes to "echo".
"""

import ipaddress
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta


@dataclass(frozen=True)
class Format:
    """`sample` gives another string for each number from 0 to 9,999."""

    sample: Callable[[int], str]
    fits: Callable[[str], bool]


_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


def _pattern(expression: str) -> Callable[[str], bool]:
    found = re.compile(expression, re.ASCII)
    return lambda text: found.fullmatch(text) is not None


def _parsed(parse: Callable[[str], object]) -> Callable[[str], bool]:
    def fits(text: str) -> bool:
        with suppress(ValueError, re.error):
            parse(text)
            return True
        return False

    return fits


def _both(one: Callable[[str], bool], other: Callable[[str], bool]) -> Callable[[str], bool]:
    return lambda text: one(text) and other(text)


_TIME = r"([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)"
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = rf"{_LABEL}(\.{_LABEL})*"
_HEX = "[0-9A-Fa-f]"
_UUID = rf"{_HEX}{{8}}-{_HEX}{{4}}-%s{_HEX}{{3}}-{_HEX}{{4}}-{_HEX}{{12}}"
_URI_CHARACTERS = r"(%[0-9A-Fa-f]{2}|[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=])"

_hostname = Format("echo{}.example".format, _both(_pattern(_HOST), lambda text: len(text) <= 253))  # noqa: PLR2004  RFC 1123
_email = Format("echo{}@example.com".format, _pattern(rf"[A-Za-z0-9.!#$%&'*+/=?^_`{{|}}~-]+@{_HOST}"))
_uri = Format("https://example.com/echo{}".format, _pattern(rf"[A-Za-z][A-Za-z0-9+.-]*:{_URI_CHARACTERS}+"))
_reference = Format("/echo{}".format, _pattern(rf"{_URI_CHARACTERS}*"))
_base64 = Format(
    lambda number: f"ZWNob{number:04}AA=",  # "echo", and the number
    _pattern(r"([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"),
)

FORMATS: dict[str, Format] = {
    "date-time": Format(
        lambda number: f"{_EPOCH + timedelta(minutes=number):%Y-%m-%dT%H:%M:%SZ}",
        _both(
            _pattern(rf"\d{{4}}-\d\d-\d\d[Tt]{_TIME}"), _parsed(lambda text: date.fromisoformat(text[:10]))
        ),
    ),
    "date": Format(
        lambda number: f"{_EPOCH + timedelta(days=number):%Y-%m-%d}",
        _both(_pattern(r"\d{4}-\d\d-\d\d"), _parsed(date.fromisoformat)),
    ),
    "time": Format(lambda number: f"{_EPOCH + timedelta(seconds=number):%H:%M:%SZ}", _pattern(_TIME)),
    "duration": Format(
        "PT{}S".format,
        _pattern(r"P(?=.)(\d+W|(\d+Y)?(\d+M)?(\d+D)?(T(?=.)(\d+H)?(\d+M)?(\d+S)?)?)"),
    ),
    "email": _email,
    "idn-email": _email,
    "hostname": _hostname,
    "idn-hostname": _hostname,
    "ipv4": Format(lambda number: f"192.0.2.{number % 256}", _parsed(ipaddress.IPv4Address)),
    "ipv6": Format("2001:db8::{}".format, _both(_pattern("[^%]+"), _parsed(ipaddress.IPv6Address))),
    "uuid": Format(lambda number: f"ec400000-0000-4000-8000-{number:012}", _pattern(_UUID % _HEX)),
    "uuid4": Format(lambda number: f"ec400000-0000-4000-8000-{number:012}", _pattern(_UUID % "4")),
    "uri": _uri,
    "url": _uri,
    "iri": _uri,
    "uri-reference": _reference,
    "iri-reference": _reference,
    "json-pointer": Format("/echo{}".format, _pattern(r"(/([^/~]|~[01])*)*")),
    "relative-json-pointer": Format("{}/echo".format, _pattern(r"(0|[1-9]\d*)(#|(/([^/~]|~[01])*)*)")),
    "regex": Format("echo{}".format, _parsed(re.compile)),
    "byte": _base64,
    "base64": _base64,
}
