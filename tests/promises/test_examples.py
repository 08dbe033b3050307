"""The examples, run: the demo as a process, killed too; the token providers against a service that checks."""

import contextlib
import os
import pty
import re
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import anyio
import azure.identity
import polars as pl
import pytest
from azure.core.credentials import AccessToken
from azure.identity.aio import get_bearer_token_provider as async_token_provider
from support.command_line import lines_until

from overlay import AsyncClient, Request, write_requests
from overlay.server import Service
from overlay.wire.clock import SystemClock

EXAMPLES = Path(__file__).parents[2] / "examples"
NBCONVERT = (sys.executable, "-m", "nbconvert", "--to", "html", "--execute")


def example(name):
    return runpy.run_path(str(EXAMPLES / name))["main"]


def test_the_notebook_runs_and_shows_progress_and_tables(tmp_path):
    written = tmp_path / "notebook.html"
    with Service() as service:
        own = {
            "OPENAI_BASE_URL": service.base_url,
            "OPENAI_API_KEY": "k",
            "OVERLAY_HOME": str(tmp_path / "home"),
        }
        subprocess.run(
            [*NBCONVERT, "--output", written, EXAMPLES / "notebook.ipynb"],
            env=os.environ | own | {"HOME": str(tmp_path), "IPYTHONDIR": str(tmp_path), "PYTHONWARNINGS": ""},
            cwd=tmp_path,
            capture_output=True,
            timeout=100,
            check=True,
        )
        page = written.read_text()
        assert "job <code>reviews</code>: 4 of 4 requests (100%)" in page
        assert "width: 100.0%" in page
        assert "echo: Is this review friendly? Loved it" in page
        assert page.count(service.batches()[0]["id"]) == 1
        assert service.count("POST", "/batches") == 1


@pytest.fixture
def _short_pauses(monkeypatch):
    monkeypatch.setattr(SystemClock, "sleep", lambda _, seconds: time.sleep(min(seconds, 0.05)))


@pytest.fixture
def requests_file(tmp_path):
    path = tmp_path / "requests.jsonl"
    write_requests(path, (Request(f"id-{n}", {"model": "m", "messages": []}) for n in range(3)))
    return str(path)


def demo(folder, *words, **options):
    words = [sys.executable, EXAMPLES / "demo.py", "--output", folder / "demo-output", *words]
    return subprocess.Popen(
        words, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
    )


def finished(process):
    printed, complained = process.communicate(timeout=60)
    assert complained == ""
    assert process.returncode == 0
    return printed


def files_of(folder):
    return {path.name for path in (folder / "demo-output").iterdir()}


ALL_FILES = {"docstrings.csv", "ten.csv", "answers.parquet", "answers.csv"}


def test_the_demo_does_the_main_job(tmp_path):
    """A table in, a table out, with a worker killed half way, and nothing sent twice."""
    printed = finished(demo(tmp_path, "--most", "300"))
    assert "300 rows, 300 answered, 0 failed" in printed
    assert "It is killed, with" in printed
    before, after = map(
        int, re.search(r"(\d+) batches were created before .* and (\d+) after", printed).groups()
    )
    assert before + after == 8
    assert f"overlay map {tmp_path}/demo-output/ten.csv" in printed
    assert files_of(tmp_path) == ALL_FILES
    asked = pl.read_csv(tmp_path / "demo-output" / "docstrings.csv")
    answered = pl.read_parquet(tmp_path / "demo-output" / "answers.parquet")
    assert answered[:, :3].equals(asked)
    assert answered["summary"].null_count() == answered["audience"].null_count() == 0
    assert len(asked) == 300


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_demo_killed_half_way_runs_again(tmp_path, number):
    with demo(tmp_path, "--most", "4000", env=os.environ | {"TMPDIR": str(tmp_path)}) as process:
        lines_until(process.stdout, "created")
        process.send_signal(number)
        _, complained = process.communicate(timeout=30)
    assert "Traceback" not in complained
    assert process.returncode == (-number if number == signal.SIGKILL else 128 + number)
    assert files_of(tmp_path) == {"docstrings.csv", "ten.csv", "jobs"}
    (tmp_path / "demo-output" / ".docstrings.csv.part").write_text("what a kill leaves")
    finished(demo(tmp_path, "--most", "20"))
    assert files_of(tmp_path) == ALL_FILES


def test_the_demo_shows_a_bar_on_a_terminal(tmp_path):
    ours, theirs = pty.openpty()
    words = [sys.executable, EXAMPLES / "demo.py", "--output", tmp_path, "--most", "20"]
    with subprocess.Popen(words, stdout=theirs, stderr=theirs, env=os.environ | {"TERM": "xterm"}) as process:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # Linux's way to say that the other side has closed
            while piece := os.read(ours, 4096):
                shown += piece
    os.close(ours)
    assert process.returncode == 0
    assert "━".encode() in shown
    assert b"20 of 20 requests" in shown


class FakeCredential:
    """What azure-identity's credentials are to its token provider, with tokens that are renewed when old."""

    def __init__(self, life):
        self.life = life
        self.issued = []

    def get_token(self, *scopes, **_):
        assert scopes == ("https://cognitiveservices.azure.com/.default",)
        self.issued.append(f"entra-{len(self.issued)}")
        return AccessToken(self.issued[-1], int(time.time()) + self.life)


class FakeAsyncCredential(FakeCredential):
    async def get_token(self, *scopes, **options):
        return super().get_token(*scopes, **options)


@pytest.mark.usefixtures("_short_pauses")
@pytest.mark.parametrize(("life", "renewed"), [(3600, False), (60, True)])
def test_azure_identity_is_a_token_provider_as_it_stands(monkeypatch, capsys, requests_file, life, renewed):
    """It renews a token that has less than five minutes left: one of 60 seconds, each time."""
    credential = FakeCredential(life)
    monkeypatch.setattr(azure.identity, "DefaultAzureCredential", lambda: credential)
    with Service(tokens=lambda token: token == credential.issued[-1]) as service:
        example("azure_entra.py")(requests_file, service.base_url)
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[-3:]] == ["id-0", "id-1", "id-2"]
    assert (len(credential.issued) > 1) is renewed


def test_the_async_provider_of_azure_identity(requests_file):
    credential = FakeAsyncCredential(3600)
    provider = async_token_provider(credential, "https://cognitiveservices.azure.com/.default")

    async def upload(base_url):
        async with AsyncClient(token=provider, base_url=base_url) as client:
            return await client.files.upload(requests_file)

    with Service(tokens=lambda token: token in credential.issued) as service:
        assert anyio.run(upload, service.base_url).id
    assert credential.issued == ["entra-0"]


@pytest.mark.usefixtures("_short_pauses")
def test_a_token_in_a_file_may_be_replaced_at_any_time(monkeypatch, capsys, tmp_path, requests_file):
    token_file = tmp_path / "token"
    token_file.write_text("issued-0\n")
    issued = ["issued-0"]
    seen = []

    def is_good(token):
        """Every second request the token is replaced before the service looks at it."""
        seen.append(token)
        if len(seen) % 2 == 0:
            issued.append(f"issued-{len(issued)}")
            token_file.write_text(f"{issued[-1]}\n")
        return token == issued[-1]

    with Service(tokens=is_good) as service:
        monkeypatch.setenv("OPENAI_BASE_URL", service.base_url)
        example("rotating_token.py")(requests_file, str(token_file))
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[-3:]] == ["id-0", "id-1", "id-2"]
    assert len(set(seen)) > 2
