"""The README, taken at its word: its code is run, its commands, options, links and names exist."""

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import anyio
import azure.identity
import polars as pl
import pytest
from azure.core.credentials import AccessToken
from support.command_line import CommandLine

import overlay
from overlay.server import Service
from overlay.wire.clock import SystemClock
from tools import spec
from tools.generate import generate

PROJECT = Path(__file__).parents[2]
README = (PROJECT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
PYTHON = [text for language, text in BLOCKS if language == "python"]
WRITING = next(text for text in PYTHON if "write_requests(" in text)
BATCH = next(text for text in PYTHON if "batches.create(" in text)
AZURE = "https://RESOURCE.openai.azure.com/openai/v1/"
FRIENDLY = '{"friendly": true, "topic": "price"}'


def heading(text):
    """The heading above a block, to tell tests apart by."""
    return re.findall(r"^##+ (.*)$", README[: README.index(text)], re.MULTILINE)[-1].replace(" ", "-")


def blocks(language):
    return [pytest.param(text, id=heading(text)) for kind, text in BLOCKS if kind == language]


def run(code):
    exec(compile(code, "README.md", "exec"), {"__name__": "__main__"})


class FakeCredential:
    def get_token(self, *_, **__):
        return AccessToken("entra-token", int(time.time()) + 3600)


@pytest.fixture
def service():
    def answer(line):
        if "input" in line["body"]:
            return {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}]}
        return {"choices": [{"message": {"content": FRIENDLY}}]}

    with Service(answer) as service:
        yield service


def write_tables(folder):
    """What the README's examples read."""
    (folder / "reviews.csv").write_text('review_id,text\nreview-1,"Oh, I\nloved it. 🙂"\nreview-2,\n')
    (folder / "review.schema.json").write_text(
        '{"type": "object", "properties": {"friendly": {"type": "boolean"}, "topic": {"type": "string"}}}'
    )
    pl.DataFrame({"text": ["a", "b"]}).write_parquet(folder / "texts.parquet")


@pytest.fixture
def _ready(service, monkeypatch, tmp_path):
    """In an empty folder with a file of requests, with a key, and with a service that has done them once."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    monkeypatch.setenv("OPENAI_BASE_URL", service.base_url)
    monkeypatch.setenv("OVERLAY_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(azure.identity, "DefaultAzureCredential", FakeCredential)
    monkeypatch.setattr(SystemClock, "sleep", lambda _, seconds: time.sleep(min(seconds, 0.05)))
    monkeypatch.setattr(SystemClock, "asleep", lambda _, seconds: anyio.sleep(min(seconds, 0.05)))
    run(WRITING)
    write_tables(tmp_path)


@pytest.mark.usefixtures("_ready")
@pytest.mark.parametrize("code", [each for each in blocks("python") if "def test_" not in each.values[0]])
def test_python(code, service, capsys):
    if heading(code) == "Results":
        run(BATCH)
        capsys.readouterr()
    run(code.replace(AZURE, service.base_url))
    printed = capsys.readouterr().out
    if "echo(" in code:
        assert printed.strip() == code.rpartition("# ")[2].strip()
    if ".results(" in code or ".run(" in code:
        answer = "True" if "parse(" in code else FRIENDLY
        assert [f"review-{number} {answer}" for number in (1, 2, 3)] == printed.splitlines()[-3:]
    if "row.answer" in code:
        assert printed.splitlines() == [f"review-{number} {FRIENDLY}" for number in (1, 2)]
    if "answers.write(" in code:
        assert pl.read_parquet("answers.parquet")["topic"].cast(pl.String).to_list() == ["price"] * 2


@pytest.mark.parametrize("code", blocks("sh"))
def test_shell(code, tmp_path, monkeypatch, service):
    monkeypatch.chdir(tmp_path)
    run(WRITING)
    write_tables(tmp_path)
    done = CommandLine(tmp_path, service.base_url).shell(f"set -e\n{code}")
    assert done.returncode == 0, done.stderr
    if "overlay map" in code:
        assert pl.read_parquet(tmp_path / "answers.parquet")["friendly"].to_list() == [True, True]
        assert pl.read_parquet(tmp_path / "vectors.parquet")["embedding"].to_list() == [[0.5, 0.25]] * 2
        return
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == 3


def test_the_fixture(tmp_path):
    (code,) = (text for text in PYTHON if "def test_" in text)
    (tmp_path / "test_pipeline.py").write_text(code)
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--strict-markers"]
    done = subprocess.run(words, check=False, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_a_line_of_input_is_one(tmp_path):
    (line,) = (text for language, text in BLOCKS if language == "json")
    (tmp_path / "requests.jsonl").write_text(line)
    assert overlay.check_requests(tmp_path / "requests.jsonl").requests == 1


def test_a_field_added_by_hand(tmp_path):
    """The worked example: readable before, and typed after regeneration."""
    (lines,) = (text for language, text in BLOCKS if language == "yaml")
    assert overlay.Batch.from_dict({"id": "batch_1", "priority": 3}).priority == 3
    shutil.copy(PROJECT / "openapi.yaml", tmp_path)
    additions = (PROJECT / "openapi.local.yaml").read_text().replace("actions: []\n", f"actions:\n{lines}")
    (tmp_path / "openapi.local.yaml").write_text(additions)
    ours = str(tmp_path / "openapi.yaml")
    assert (
        spec.main([ours, "--output", ours, "--local", str(tmp_path / "openapi.local.yaml")]) == spec.CHANGED
    )
    (tmp_path / "generator-config.yml").symlink_to(PROJECT / "generator-config.yml")
    (tmp_path / "tools").symlink_to(PROJECT / "tools")
    generate(tmp_path / "fresh", project=tmp_path)
    code = """
from fresh.models import Batch
from fresh.types import Unset
print(Batch.from_dict({"id": "b", "priority": 3}).priority)
print(eval(Batch.__annotations__["priority"]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.splitlines() == ["3", "int | None"]


def test_commands_and_their_options_exist(tmp_path):
    command = CommandLine(tmp_path)
    lines = re.findall(r"^(?:\$ )?(?:[A-Z_]+=\S+ )*overlay ((?:[a-z]+ ?)+)(.*)$", README, re.MULTILINE)
    assert len(lines) > 5
    shown = {}
    for words, rest in lines:
        names = tuple(
            words.split()[:2] if words.split()[0] in {"batches", "files", "jobs"} else words.split()[:1]
        )
        if names not in shown:
            done = command(*names, "--help")
            assert done.returncode == 0, words
            shown[names] = done.stdout
        for option in re.findall(r"(?<!\S)--?[a-z][a-z-]*", rest):
            assert option in shown[names], (words, option)


def test_make_targets_exist():
    done = subprocess.run(["make"], check=True, cwd=PROJECT, capture_output=True, text=True, timeout=30)
    for target in re.findall(r"^\$ make ([a-z-]+)", README, re.MULTILINE):
        assert re.search(rf"^  make {target} ", done.stdout, re.MULTILINE), target


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)]+)\)", README):
        if not target.startswith(("https://", "#")):
            assert (PROJECT / target).exists(), target


def test_errors_and_names_are_those_of_the_package():
    table = README[README.index("## Errors") : README.index("## The command")]
    named = set(re.findall(r"`([A-Z]\w+Error)`", table))
    assert named <= set(overlay.__all__)
    assert {name for name in overlay.__all__ if name.endswith("Error")} - named <= {
        "OverlayError",
        "APIError",
        "LineError",  # no exception: what a failed line says
    }
    for noun, verb in re.findall(r"`client\.(\w+)\.(\w+)", README):
        assert callable(getattr(getattr(overlay.Client(token="t"), noun), verb))


def test_each_exit_status_is_named():
    from overlay.cli.endings import EXPLAINED, Exit  # noqa: PLC0415 - needs the extra, as the command does

    for status in Exit:
        assert re.search(rf"^\| {int(status)} ", README, re.MULTILINE)
        assert status == Exit.PIPE_CLOSED or re.search(rf"^  {int(status)} ", EXPLAINED, re.MULTILINE)
