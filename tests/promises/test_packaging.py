"""What is installed: the wheel and the source distribution, built here, and what an import brings with it."""

import configparser
import email
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import overlay
from overlay.public_names import HOMES

PROJECT = Path(__file__).parents[2]
INFO = f"openai_batch_overlay-{overlay.__version__}.dist-info"
HEAVY = {"typer", "rich", "starlette", "uvicorn", "sqlite3", "anyio", "asyncio", "dateutil"}


def built(output, source, *options):
    """Build without a network: with the build backend that the development environment has."""
    words = [sys.executable, "-m", "build", "--no-isolation", "--outdir", output, *options, source]
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    return {path.suffix: path for path in output.iterdir()}


def contents(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    return built(tmp_path_factory.mktemp("dist"), PROJECT, "--sdist", "--wheel")


@pytest.fixture(scope="module")
def wheel(distributions):
    return contents(distributions[".whl"])


@pytest.fixture(scope="module")
def installed(distributions, tmp_path_factory):
    """A folder with nothing but what the wheel holds."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(distributions[".whl"]) as archive:
        archive.extractall(folder)
    return folder


def python(code, *, folder, path=""):
    words = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(
        words,
        check=False,
        cwd=folder,
        env={"PYTHONPATH": str(path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_wheel_has_one_package_with_the_generated_one_inside(wheel):
    assert {name.split("/")[0] for name in wheel} == {"overlay", INFO}
    generated = {
        f"overlay/generated/{path.relative_to(PROJECT / 'generated').as_posix()}"
        for path in (PROJECT / "generated").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in wheel if name.startswith("overlay/generated/")} == generated
    assert len(generated) > 20
    assert {"overlay/py.typed", "overlay/generated/py.typed"} <= wheel.keys()
    written = {
        path.relative_to(PROJECT).as_posix()
        for path in (PROJECT / "overlay").rglob("*.py")
        if "generated" not in path.parts
    }
    assert written <= wheel.keys()


def test_metadata(wheel):
    metadata = email.message_from_bytes(wheel[f"{INFO}/METADATA"])
    assert metadata["Name"] == "openai-batch-overlay"
    assert metadata["Version"] == overlay.__version__
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "MIT"
    extras = {
        "check",
        "cli",
        "dask",
        "dev",
        "object-store",
        "otel",
        "prices",
        "ray",
        "serve",
        "spark",
        "tables",
    }
    assert set(metadata.get_all("Provides-Extra")) == extras
    always = {re.split("[<>]", each)[0] for each in metadata.get_all("Requires-Dist") if ";" not in each}
    assert always == {"attrs", "httpx", "msgspec", "python-dateutil"}
    assert f"{INFO}/licenses/LICENSE" in wheel
    entries = configparser.ConfigParser()
    entries.read_string(wheel[f"{INFO}/entry_points.txt"].decode())
    assert dict(entries["console_scripts"]) == {"overlay": "overlay.cli:main"}
    assert dict(entries["pytest11"]) == {"overlay": "overlay.server.pytest_plugin"}


def test_the_source_distribution_builds_the_same_wheel(distributions, wheel, tmp_path):
    with tarfile.open(distributions[".gz"]) as archive:
        # Before 3.11.4 there is no filter to name; from 3.12 on it must be named.
        archive.extractall(
            tmp_path / "source", **({"filter": "data"} if hasattr(tarfile, "data_filter") else {})
        )
    (source,) = (tmp_path / "source").iterdir()
    again = contents(built(tmp_path / "dist", source, "--wheel")[".whl"])
    assert again.keys() == wheel.keys()
    assert [name for name in again if again[name] != wheel[name]] == []
    for needed in (
        "tests/promises/test_packaging.py",
        "examples/demo.py",
        "Makefile",
        "openapi.yaml",
        "tools/generate.py",
    ):
        assert (source / needed).exists(), needed


def test_a_foreign_package_called_generated_does_not_get_in_the_way(installed, tmp_path):
    """protoc and its like make one beside a script."""
    (tmp_path / "generated").mkdir()
    (tmp_path / "generated" / "__init__.py").write_text("raise ImportError('the wrong one')\n")
    (tmp_path / "script.py").write_text(
        "import sys, overlay\n"
        "batch = overlay.Batch.from_dict({'id': 'batch_1', 'status': 'completed'})\n"
        "print(overlay.__file__, batch.succeeded, 'generated' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, tmp_path / "script.py"],
        check=True,
        env={"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.split() == [str(installed / "overlay" / "__init__.py"), "True", "False"]


def loaded(code, folder, path=""):
    return {
        name.split(".")[0]
        for name in python(f"{code}\nimport sys; print(*sys.modules)", folder=folder, path=path)
    }


# httpx imports its own command line, and rich with it, where click is installed; a plain install has no click.
PLAIN = "import sys; sys.modules['httpx._main'] = None"


def test_importing_is_cheap(installed, tmp_path):
    assert loaded(f"{PLAIN}; import overlay", tmp_path, installed) & HEAVY == set()
    assert loaded(f"{PLAIN}; import overlay; overlay.Client(token='t')", tmp_path, installed) & HEAVY == set()
    assert "httpx" not in loaded("import overlay; overlay.Request('a', {})", tmp_path, installed)
    brought = loaded("import overlay", tmp_path, installed) - loaded("import httpx", tmp_path)
    assert brought & HEAVY == set()


def test_everything_public_is_exported_and_documented():
    """As httpx's test of its exported members has it."""
    public = {name for name in dir(overlay) if not name.startswith("_")}
    assert public == HOMES.keys() == set(overlay.__all__) - {"__version__"}
    assert overlay.__all__ == sorted(overlay.__all__)
    undocumented = [
        name
        for name in overlay.__all__
        if isinstance(value := getattr(overlay, name), type) or callable(value)
        if not (value.__doc__ or "").strip() or value.__doc__.startswith(f"{name}(")
    ]
    assert undocumented == []
    with pytest.raises(AttributeError, match="'overlay' has no attribute 'nothing'"):
        overlay.nothing  # noqa: B018


@pytest.mark.parametrize("owner", [overlay.Client, overlay.AsyncClient])
def test_every_verb_is_documented(owner):
    client = owner(token="t")
    for noun in ("batches", "files", "jobs"):
        resource = type(getattr(client, noun))
        for verb in (name for name in dir(resource) if not name.startswith("_")):
            assert getattr(resource, verb).__doc__, f"{noun}.{verb}"
