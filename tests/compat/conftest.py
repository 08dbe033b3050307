"""What every client is given: a service that refuses one request in twenty, and no way out of this machine."""

import sys

import pytest
from questions import answer

from overlay.server import Pace, Service

# Clients that count what they are used for, or look up prices, at addresses of their own.
_STAY_AT_HOME = {
    "BESPOKE_CURATOR_TRACKER_DISABLED": "1",
    "CURATOR_DISABLE_RICH_DISPLAY": "1",
    "HF_HUB_OFFLINE": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "TELEMETRY_ENABLED": "false",
}
_LOOPBACK = {"127.0.0.1", "::1", "localhost", None, ""}


@pytest.fixture(scope="session", autouse=True)
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


@pytest.fixture(scope="session", autouse=True)
def _settings_of_clients(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        for name in (
            "OPENAI_ORG_ID",
            "OPENAI_PROJECT_ID",
            "HTTP_PROXY",
            "HTTPS_PROXY",
            "http_proxy",
            "https_proxy",
        ):
            patch.delenv(name, raising=False)
        for name, value in _STAY_AT_HOME.items():
            patch.setenv(name, value)
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture
def service(attempts_to_leave, monkeypatch):
    """The embedded service, through every status in a quarter of a second; the client may call nothing else."""
    pace = Pace(validating=0.05, in_progress=0.15, finalizing=0.05)
    with Service(answer, pace=pace, tokens="sk-compat") as service:
        monkeypatch.setenv("OPENAI_BASE_URL", service.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-compat")
        yield service
    assert attempts_to_leave == []
