"""What every client is given: a service that refuses one request in twenty, and no way out of this machine."""

import os
import sys
from contextlib import ExitStack
from tempfile import TemporaryDirectory

import pytest
from questions import KEY, answer

from overlay.server import Pace, Service

# Several clients report usage to, or fetch prices from, addresses of their own; some as they are imported.
_STAY_AT_HOME = {
    "CURATOR_DISABLE_RICH_DISPLAY": "1",
    "HF_HUB_OFFLINE": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "TELEMETRY_ENABLED": "false",
}
_SETTINGS_OF_THE_MACHINE = (
    "OPENAI_ORG_ID",
    "OPENAI_PROJECT_ID",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "http_proxy",
    "https_proxy",
)
_PACE = Pace(validating=0.05, in_progress=0.15, finalizing=0.05)
_LOOPBACK = {"127.0.0.1", "::1", "localhost", "", None}


def pytest_configure(config):
    # Before any client is imported. Several keep caches, settings and logs in the user's home.
    home = TemporaryDirectory(prefix="overlay-compat-")
    config.add_cleanup(home.cleanup)
    os.environ.update(_STAY_AT_HOME, HOME=home.name)
    for name in _SETTINGS_OF_THE_MACHINE:
        os.environ.pop(name, None)


@pytest.fixture(scope="session")
def attempts_to_leave():
    """Addresses beside loopback that a client asked for; none is reached."""
    attempts = []

    def guard(event, arguments):
        if event == "socket.getaddrinfo":
            host = arguments[0]
        elif event == "socket.connect" and isinstance(arguments[1], tuple):
            host = arguments[1][0]
        else:
            return
        host = host.decode() if isinstance(host, bytes) else host
        if host not in _LOOPBACK:
            attempts.append(host)
            raise ConnectionRefusedError(f"{host} is not on this machine")

    sys.addaudithook(guard)
    return attempts


@pytest.fixture
def service(attempts_to_leave, monkeypatch):
    """The embedded service, through every status in a quarter of a second; the client may call nothing else."""
    with Service(answer, pace=_PACE, tokens=KEY) as service:
        monkeypatch.setenv("OPENAI_BASE_URL", service.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        yield service
    assert attempts_to_leave == []


@pytest.fixture
def speaking(attempts_to_leave):
    """Starts the same service in another service's dialect."""
    with ExitStack() as stack:
        yield lambda name: stack.enter_context(Service(answer, pace=_PACE, tokens=KEY, dialect=name))
    assert attempts_to_leave == []
