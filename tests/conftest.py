"""What most tests start from: a service, a client of each kind that talks to it, and a clock that does not wait."""

from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest
from support.calling import KINDS, TOKEN, FakeClock, advancing, calling, write_lines
from support.job_scene import Scene
from support.raw_server import RawServer

from overlay.server import Service
from overlay.services import known_services

# Other makers' clients, and engines, have environments of their own (`make compat`, `make test-engines`), and a
# browser is not everywhere.
collect_ignore = ["browser", "clusters", "compat", "object_store"]

_MEMORY = Path("/dev/shm")
_VARIABLES = (
    "OPENAI_BASE_URL",
    "OPENAI_ORG_ID",
    "OPENAI_PROJECT_ID",
    "OVERLAY_HOME",
    "OVERLAY_SERVICE",
    "OVERLAY_TELEMETRY",
    *(each.key_variable for each in known_services().values()),
)


def pytest_configure(config):
    # Where a body is left half way, httpx and httpcore leave their generators to the garbage collector, which
    # trio remarks on.
    left = r"Exception ignored in. <async_generator object "
    config.addinivalue_line("filterwarnings", f"ignore:{left}:pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def _no_settings_of_the_machine(monkeypatch):
    for name in (
        *_VARIABLES,
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session", autouse=True)
def _certificates_loaded_once():
    # Each client loads them anew, for 20 ms, and tests make a thousand clients of loopback.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(httpx, "create_ssl_context", cache(httpx.create_ssl_context))
        yield


@pytest.fixture
def service():
    """The embedded service; a batch completes as soon as it is created."""
    with Service() as service:
        yield service


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def connect(kind, tmp_path):
    """Makes clients of the kind under test, with a clock that does not wait; they are closed at the end."""
    with ExitStack() as stack:

        def make(base_url, *, clock=None, **options):
            options = {"token": TOKEN, "home": tmp_path / "home"} | options
            api = stack.enter_context(calling(kind, base_url=base_url, **options))
            api.settings.clock = clock or FakeClock()
            return api

        yield make


@pytest.fixture
def clock(service):
    """The clock of `api`; the service's time goes with it."""
    return FakeClock(advancing(service))


@pytest.fixture
def api(connect, service, clock):
    """A client of each kind in turn, of the embedded service."""
    return connect(service.base_url, clock=clock)


@pytest.fixture
def scene(connect):
    """A job of a client of each kind in turn, of a service inside the process."""
    # Where there is a disk in memory, hundreds of commits take no time.
    with TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as home:
        yield Scene(partial(connect, home=home))


@pytest.fixture
def raw_server():
    """Starts servers that answer by a script."""
    with ExitStack() as stack:

        def start(script):
            server = RawServer(script)
            stack.callback(server.close)
            return server

        yield start


@pytest.fixture
def requests_file(tmp_path):
    """A file of three requests, r0 to r2."""
    return write_lines(tmp_path / "requests.jsonl", 3)


@pytest.fixture
def file_id(api, requests_file):
    """The id of the uploaded `requests_file`."""
    return api.files.upload(requests_file).id
