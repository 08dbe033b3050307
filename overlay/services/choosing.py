"""Which profile it is: by the name of the service, or by the host of its base URL."""

from __future__ import annotations

from functools import cache
from urllib.parse import urlsplit

from overlay.errors import ConfigurationError
from overlay.services.known import KNOWN, OTHER
from overlay.services.profile import ServiceProfile


@cache
def known_services() -> dict[str, ServiceProfile]:
    """Every service that has a profile, by its name."""
    return {each.name: each for each in KNOWN}


def service_named(service: str | ServiceProfile) -> ServiceProfile:
    """The profile of a service; one that is given as an object is returned. Raises ConfigurationError."""
    if isinstance(service, ServiceProfile):
        return service
    name = service.strip().lower() if isinstance(service, str) else ""
    found = OTHER if name == OTHER.name else known_services().get(name)
    if found is None:
        from difflib import get_close_matches  # noqa: PLC0415 - for slips only

        names = (*known_services(), OTHER.name)
        near = get_close_matches(name, known_services(), n=1, cutoff=0.7)
        hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(names)}"
        raise ConfigurationError(f"there is no service {service!r:.60}{hint}")
    return found


def service_at(base_url: str) -> ServiceProfile:
    """The profile of whoever is at a base URL; of a host that no profile names, one with OpenAI's ways."""
    try:
        host = (urlsplit(base_url.strip()).hostname or "").rstrip(".")
    except ValueError:
        return OTHER
    return next((each for each in KNOWN if is_host_of(host, each)), OTHER)


def is_host_of(host: str, profile: ServiceProfile) -> bool:
    """Whether a host is one of the service's own."""
    return any(host.endswith(name) if name.startswith(".") else host == name for name in profile.hosts)
