"""Requests and clients for each service, at the embedded service in that service's dialect."""

from contextlib import contextmanager

from overlay import Request, write_requests
from overlay.server import Service
from overlay.services import known_services, service_named
from support.calling import FakeClock, advancing, calling

NAMES = tuple(known_services())


def chat(number, text="hi"):
    return {"model": "m", "messages": [{"role": "user", "content": f"{text} {number}"}]}


def request_for(name, number, **fields):
    """A request that a service takes."""
    url = service_named(name).usual_endpoint
    body = {"model": "m", "input": f"text {number}"} if url.endswith("/embeddings") else chat(number)
    return Request(f"r{number}", body, url=url, **fields)


def file_for(name, path, count):
    write_requests(path, (request_for(name, number) for number in range(count)), service=name)
    return path


@contextmanager
def at(name, kind, home, telemetry=None, **options):
    """The embedded service in a service's dialect, and a client of that service with a clock that does not wait."""
    with (
        Service(dialect=name, **options) as service,
        calling(
            kind, service=name, base_url=service.base_url, token="key-1234567", home=home, telemetry=telemetry
        ) as api,
    ):
        api.settings.clock = FakeClock(advancing(service))
        yield service, api
