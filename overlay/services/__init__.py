"""What each service does otherwise than OpenAI, as data: one frozen `ServiceProfile` a service.

A profile goes in with `Client(service=…)`, by its name or as an object; the rest of the SDK asks the profile and
never knows a service by its name. What data cannot say is a pure function, request to request and JSON to JSON.

    profile     what a service may do otherwise
    limits      how large a file may be
    known       the services, each with the page that says so
    choosing    which profile: by name, or by the host of the base URL
    routes      methods and paths that differ
    mistral, voyage
                the two whose bodies are other ones
    table       what differs, for people to read
"""

from overlay.services.choosing import known_services, service_at, service_named
from overlay.services.limits import Limits
from overlay.services.profile import ServiceProfile

__all__ = ["Limits", "ServiceProfile", "known_services", "service_at", "service_named"]
