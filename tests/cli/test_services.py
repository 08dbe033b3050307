"""`overlay services`, `--service` and `--header`, as processes."""

import json
from pathlib import Path

import pytest
from support.command_line import CANARY, CommandLine
from support.services import NAMES, file_for

from overlay.server import Service
from overlay.services import service_named

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "services.md"


@pytest.fixture
def overlay(tmp_path):
    return CommandLine(tmp_path, token=None)


def test_the_table_is_in_the_documentation_as_the_command_writes_it(overlay):
    written = overlay("services", "--markdown").stdout
    assert written in PAGE.read_text(encoding="utf-8")
    assert written.count("\n") == len(NAMES) + 2


def test_all_services_are_shown(overlay):
    shown = overlay("services")
    assert shown.returncode == 0
    assert all(name in shown.stdout for name in NAMES)
    assert "none was run against the real thing" in shown.stderr
    rows = [json.loads(line) for line in overlay("services", "--json").stdout.splitlines()]
    assert [row["name"] for row in rows] == list(NAMES)


def test_what_differs_at_one(overlay):
    shown = overlay("services", "together").stdout
    for words in ("TOGETHER_API_KEY", "batch-api", "https://api.together.xyz/v1", "custom id", "64"):
        assert words in shown
    assert overlay.json("services", "mistral")["routes"]["create"] == "POST /batch/jobs"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("services", "nowhere"), "there is no service 'nowhere'; there are openai, azure"),
        (("services", "groq", "--markdown"), "leave the name out"),
        (("batches", "list", "--service", "nowhere"), "there is no service 'nowhere'"),
        (("batches", "list", "--service", "azure"), "Azure OpenAI: each user has their own"),
        (("batches", "list", "--service", "together"), "no token: set TOGETHER_API_KEY, or use --token-file"),
        (("batches", "list", "--header", "X-Team"), "--header is not as in"),
        (
            ("batches", "list", "--header", "Authorization: x"),
            "the header Authorization is made of the token",
        ),
    ],
)
def test_what_is_wrong_is_said(overlay, words, said):
    token = {} if "--service" in words else {"OPENAI_API_KEY": CANARY}
    done = overlay(*words, **token)
    assert done.returncode == 2
    assert said in done.stderr


def test_a_file_is_checked_by_the_rules_of_its_service(overlay, tmp_path):
    file_for("openai", tmp_path / "r.jsonl", 3)
    long = (tmp_path / "r.jsonl").read_text().replace('"r1"', f'"{"x" * 65}"')
    (tmp_path / "r.jsonl").write_text(long)
    assert overlay("check", "r.jsonl").returncode == 0
    refused = overlay("check", "r.jsonl", "--service", "doubleword")
    assert refused.returncode == 2
    assert 'line 2: "custom_id" has 65 characters; Doubleword takes 64' in refused.stdout
    assert overlay("check", "r.jsonl", OVERLAY_SERVICE="doubleword").returncode == 2
    assert overlay("check", "r.jsonl", "--base-url", "https://api.doubleword.ai/v1").returncode == 2


@pytest.mark.parametrize("name", ["together", "mistral", "azure"])
def test_a_run_at_another_service(overlay, tmp_path, name):
    file_for(name, tmp_path / "r.jsonl", 5)
    with Service(dialect=name, tokens={CANARY}) as service:
        place = ("--service", name, "--base-url", service.base_url)
        done = overlay(
            "run",
            "r.jsonl",
            "-o",
            "out.jsonl",
            *place,
            "--poll",
            "0.1",
            **{service_named(name).key_variable: CANARY},
        )
        assert done.returncode == 0, done.stderr
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 5


def test_headers_are_sent_and_not_repeated_in_advice(overlay, tmp_path):
    file_for("openai", tmp_path / "r.jsonl", 1)
    with Service() as service:
        done = overlay(
            "files",
            "upload",
            "r.jsonl",
            "--header",
            "X-Team: search",
            "--header",
            "X-Key:value-of-a-key",
            OPENAI_API_KEY=CANARY,
            OPENAI_BASE_URL=service.base_url,
        )
        assert done.returncode == 0, done.stderr
        assert service.requests[-1].headers["x-team"] == "search"
        assert service.requests[-1].headers["x-key"] == "value-of-a-key"
        assert "value-of-a-key" not in done.stdout + done.stderr
