"""How a client is set up: arguments, then the environment, then defaults."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Never, TypeVar
from urllib.parse import urlsplit, urlunsplit

import attrs
import httpx

from overlay.errors import ConfigurationError
from overlay.services import ServiceProfile, service_at, service_named
from overlay.wire.auth import TokenProvider, Tokens
from overlay.wire.clock import Seconds, seconds
from overlay.wire.connection import Settings
from overlay.wire.environment import variable
from overlay.wire.hosts import is_loopback

if TYPE_CHECKING:
    from overlay.telemetry import Telemetry

_OPENAI_KEY = "OPENAI_API_KEY"
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""RFC 9110, section 5.1."""
_OURS = {
    "authorization": "made of the token: pass token=",
    "content-length": "counted for each request",
    "content-type": "set for each request",
    "host": "taken from the base URL",
    "transfer-encoding": "set for each request",
}
_OTHER_NAMES = {
    **dict.fromkeys(("api_key", "apikey", "key", "bearer", "access_token", "api_token"), "token"),
    **dict.fromkeys(("url", "api_base", "endpoint", "azure_endpoint", "host"), "base_url"),
    **dict.fromkeys(("default_headers", "extra_headers"), "headers"),
    **dict.fromkeys(("http_client", "client"), "transport"),
    **dict.fromkeys(("org", "org_id"), "organization"),
    **dict.fromkeys(("retries", "num_retries"), "max_retries"),
    "project_id": "project",
    "provider": "service",
}
"""What other clients call the arguments of this one."""
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)
"""How the address of something begins that is no folder."""
TransportT = TypeVar("TransportT", httpx.BaseTransport, httpx.AsyncBaseTransport)


class Configured(Generic[TransportT]):
    """What the two clients have in common: how they are set up."""

    def __init__(
        self,
        *,
        token: str | TokenProvider | None = None,
        base_url: str | None = None,
        service: str | ServiceProfile | None = None,
        organization: str | None = None,
        project: str | None = None,
        timeout: Seconds = 60.0,
        max_retries: int = 5,
        headers: Mapping[str, str] | None = None,
        transport: TransportT | None = None,
        home: str | os.PathLike[str] | None = None,
        telemetry: Telemetry | bool | None = None,
        allow_insecure: bool = False,
        **others: Never,
    ) -> None:
        _refuse_others(type(self).__name__, others)
        chosen = chosen_service(service, base_url)
        self._settings = Settings(
            base_url=_base_url(chosen.base_url, allow_insecure=allow_insecure),
            service=chosen.profile,
            keeps_metadata=chosen.profile.keeps_metadata,
            bare_lists=chosen.profile.bare_lists,
            tokens=_tokens(token, chosen),
            headers=_headers(headers, organization, project),
            timeout=_positive("timeout", timeout),
            max_retries=_checked_retries(max_retries),
            transport=transport,
            telemetry=_telemetry(telemetry),
        )
        place = home or variable("OVERLAY_HOME") or _state_folder()
        self._settings.object_store = _object_store(place)
        self._settings.home = Path(place)
        if self._settings.object_store is not None:
            # For copies: what is kept is in the object store.
            self._settings.home = Path(tempfile.mkdtemp(prefix="overlay-"))
            weakref.finalize(self._settings, shutil.rmtree, self._settings.home, ignore_errors=True)
        self._bind(self._settings)

    def _bind(self, settings: Settings) -> None:
        """Build what uses these settings."""
        raise NotImplementedError

    def __repr__(self) -> str:
        where, what = self._settings.base_url, self._settings.service.name
        return f"{type(self).__name__}(base_url={where!r}, service={what!r})"


def _telemetry(given: Telemetry | bool | None) -> Telemetry | None:
    default = variable("OVERLAY_TELEMETRY")
    if given is False or (given is None and not default):
        return None
    from overlay.telemetry.telemetry import telemetry_of  # noqa: PLC0415 - loaded where it is used

    return telemetry_of(given, default)


def _refuse_others(owner: str, others: Mapping[str, object]) -> None:
    """Raise TypeError for arguments that there are not, with what they are called here."""
    for name in others:
        known = _OTHER_NAMES.get(name.lower())
        advice = f"; the argument is called {known}" if known else ""
        raise TypeError(f"{owner}() has no argument {name!r}{advice}")


@attrs.frozen
class Chosen:
    """Which service it is, and where."""

    profile: ServiceProfile
    base_url: str
    by_name: bool
    """Whether the service was named, and not only recognised by its host."""

    @property
    def key(self) -> str | None:
        """The service's key in the environment."""
        own = variable(self.profile.key_variable)
        # OpenAI's key goes to another host only where that host was all that was named.
        return own if own is not None or self.by_name else variable(_OPENAI_KEY)


def chosen_service(service: str | ServiceProfile | None, base_url: str | None) -> Chosen:
    """The service: as it is named, by OVERLAY_SERVICE if not here; or else whose host the base URL has.

    Raises ConfigurationError for a service that there is not, or that each user has at another place.
    """
    named = service or variable("OVERLAY_SERVICE")
    given = base_url or variable("OPENAI_BASE_URL")
    if not named:
        at = given or service_named("openai").base_url or ""
        return Chosen(service_at(at), at, by_name=False)
    profile = service_named(named)
    if not base_url and given and profile.base_url and profile.key_variable != _OPENAI_KEY:
        # OPENAI_BASE_URL is OpenAI's, unless it says otherwise: a key of another service must not go there.
        given = given if service_at(given).name == profile.name else None
    where = given or profile.base_url
    if not where:
        raise ConfigurationError(
            f"{profile}: each user has their own: pass base_url= (--base-url in the shell), or set OPENAI_BASE_URL"
        )
    return Chosen(profile, where, by_name=True)


def _tokens(token: str | TokenProvider | None, chosen: Chosen) -> Tokens:
    given = token if token is not None else chosen.key
    if given is None:
        raise ConfigurationError(
            f"no token: pass token=, a string or a provider, or set {chosen.profile.key_variable}"
        )
    return Tokens(given)


def _positive(name: str, span: Seconds) -> float:
    value = seconds(span)
    if not value > 0:
        raise ConfigurationError(f"{name} must be greater than zero, not {span!r}")
    return value


def _checked_retries(max_retries: int) -> int:
    if isinstance(max_retries, bool) or not isinstance(max_retries, int) or max_retries < 0:
        raise ConfigurationError(f"max_retries must be an integer of at least 0, not {max_retries!r}")
    return max_retries


def _headers(
    headers: Mapping[str, str] | None, organization: str | None, project: str | None
) -> dict[str, str]:
    given: object = headers  # as it may be where nobody checks types
    if given is not None and not isinstance(given, Mapping):
        raise ConfigurationError("headers must be a mapping of strings to strings")
    sent = {
        "OpenAI-Organization": organization or variable("OPENAI_ORG_ID"),
        "OpenAI-Project": project or variable("OPENAI_PROJECT_ID"),
        **(headers or {}),
    }
    for name, value in sent.items():
        if not isinstance(name, str) or not isinstance(value, str | None):
            raise ConfigurationError("headers must be a mapping of strings to strings")
        if not _HEADER_NAME.fullmatch(name):
            raise ConfigurationError(f"{name!r:.60} is not the name of a header")
        if name.lower() in _OURS:
            raise ConfigurationError(f"the header {name} is {_OURS[name.lower()]}")
        if value is not None and (not value.isascii() or not value.isprintable()):
            raise ConfigurationError(
                f"the header {name} contains characters that are not allowed in a header"
            )
    return {name: value for name, value in sent.items() if value}


def _state_folder() -> Path:
    """Where a program keeps its state: the XDG Base Directory Specification, "XDG_STATE_HOME"."""
    return Path(variable("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "overlay"


def _object_store(place: str | os.PathLike[str]) -> str | None:
    """The address of an object store, if the place is one. Raises ConfigurationError for other addresses."""
    text = os.fspath(place)
    if not _ADDRESS.match(text):
        return None
    parts = urlsplit(text)
    if (
        not isinstance(place, str)
        or parts.scheme != "s3"
        or not parts.netloc
        or parts.query
        or parts.fragment
    ):
        raise ConfigurationError(
            f"{text!r:.200} is not a place for jobs: give a folder, or a string such as s3://bucket/jobs"
        )
    return text.rstrip("/")


def _base_url(text: str, *, allow_insecure: bool) -> str:
    """A base URL that a token may be sent to."""
    try:
        url = urlsplit(text.strip())
        port_is_a_number = url.port is None or url.port >= 0
    except ValueError:
        raise ConfigurationError("the base URL is malformed") from None
    if url.scheme not in {"http", "https"} or not url.hostname or not port_is_a_number:
        raise ConfigurationError(f"the base URL {text!r:.200} is not http:// or https:// with a host")
    if url.username is not None or url.password is not None:
        raise ConfigurationError("the base URL contains a user name or password; pass token= instead")
    if url.fragment:
        raise ConfigurationError(
            f"the base URL {text!r:.200} has a fragment, which is never sent; leave it out"
        )
    if url.scheme == "http" and not allow_insecure and not is_loopback(url.hostname):
        raise ConfigurationError(
            f"http://{url.hostname} would send the token unencrypted: use https://, or allow_insecure=True"
        )
    if not url.query:
        return text.strip().rstrip("/?")
    return urlunsplit(url._replace(path=url.path.rstrip("/")))
