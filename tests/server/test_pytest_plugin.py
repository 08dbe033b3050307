"""The pytest fixture, in pytest runs of their own."""

import importlib.metadata
import subprocess
import sys

import pytest

USES_IT = """
import json
import urllib.request

import pytest


def get(service, token="any"):
    request = urllib.request.Request(f"{service.base_url}/batches", headers={"Authorization": f"Bearer {token}"})
    return json.load(urllib.request.urlopen(request))


def test_it_answers(batch_service):
    assert get(batch_service)["data"] == []
    assert batch_service.count("GET", "/batches") == 1


@pytest.mark.batch_service(tokens="secret")
def test_options_are_in_a_marker(batch_service):
    get(batch_service, "secret")
    with pytest.raises(urllib.error.HTTPError, match="401"):
        get(batch_service, "other")
"""

# Put in front of everything else, it makes the extra [serve] look as if it were not installed.
WITHOUT_SERVE = """
import sys


class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"starlette", "uvicorn", "python_multipart"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Missing())
"""


@pytest.fixture
def run_pytest(tmp_path):
    def run(test, *, before=""):
        (tmp_path / "before.py").write_text(before)
        (tmp_path / "test_it.py").write_text(test)
        options = ["-q", "-p", "no:cacheprovider", "-W", "error"]
        script = f"import sys, before, pytest; sys.exit(pytest.main({options}))"
        return subprocess.run(
            [sys.executable, "-c", script],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def test_the_plugin_is_announced_to_pytest():
    (entry,) = [each for each in importlib.metadata.entry_points(group="pytest11") if each.name == "overlay"]
    assert entry.value == "overlay.server.pytest_plugin"


def test_the_fixture(run_pytest):
    done = run_pytest(USES_IT)
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def test_a_run_without_the_extra_is_not_hurt(run_pytest):
    done = run_pytest("def test_of_something_else(): pass", before=WITHOUT_SERVE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_asking_for_the_fixture_without_the_extra_says_what_is_missing(run_pytest):
    done = run_pytest("def test_it(batch_service): pass", before=WITHOUT_SERVE)
    assert done.returncode == 1
    assert "batch_service needs openai-batch-overlay[serve]" in done.stdout


def test_the_plugin_loads_nothing_heavy():
    script = """
import sys
import overlay.server.pytest_plugin
heavy = {"starlette", "uvicorn", "python_multipart", "sqlite3", "overlay.server.service"}
print(sorted(heavy & sys.modules.keys()))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "[]\n"


def test_every_public_name_is_there():
    import overlay.server  # noqa: PLC0415
    from overlay.server.public_names import HOMES  # noqa: PLC0415

    assert set(overlay.server.__all__) == HOMES.keys()
    for name in overlay.server.__all__:
        assert getattr(overlay.server, name).__module__.startswith("overlay.server.")
    with pytest.raises(AttributeError, match="nothing"):
        overlay.server.nothing  # noqa: B018
