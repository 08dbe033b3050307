"""`make upstream`: from a published document to a commit on a branch, in a tree of its own."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tools import follow, spec
from tools.upstream.decoding import decode
from tools.upstream.unstated import DEFAULTS
from tools.upstream.writing import ORIGIN

PROJECT = Path(__file__).resolve().parents[2]
PARTS = (
    "openapi.yaml",
    "openapi.local.yaml",
    "generator-config.yml",
    "tools",
    "overlay",
    "generated",
    "tests",
)


def git(folder, *words):
    done = subprocess.run(["git", "-C", folder, *words], capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
def project(tmp_path):
    """A repository with what the tools need of this one."""
    folder = tmp_path / "project"
    folder.mkdir()
    for name in PARTS:
        source = PROJECT / name
        if source.is_dir():
            left = shutil.ignore_patterns("__pycache__", "server", "compat", "soak")
            shutil.copytree(source, folder / name, symlinks=True, ignore=left)
        else:
            shutil.copy(source, folder / name)
    git(folder, "init", "--quiet", "--initial-branch", "main")
    git(folder, "config", "user.name", "a")
    git(folder, "config", "user.email", "a@example.com")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "As it is")
    return folder


def upstream(folder, change):
    """The project's own specification as a document, changed."""
    document = with_defaults(decode((folder / "openapi.yaml").read_bytes()))
    change(document)
    path = folder.parent / "upstream.json"
    path.write_text(json.dumps(document))
    return str(path)


def with_defaults(document):
    """A specification of ours with the defaults that its document had."""
    noted = document.pop(ORIGIN)[DEFAULTS]
    for item in document["paths"].values():
        for operation in item.values():
            for parameter in operation.get("parameters", ()):
                place = f"{operation['operationId']}.{parameter['name']}"
                if place in noted:
                    parameter["schema"] = {"default": noted[place], **parameter["schema"]}
    return document


def grow(document):
    document["components"]["schemas"]["Batch"]["properties"]["brand_new"] = {"type": "string"}


def shrink(document):
    del document["components"]["schemas"]["Batch"]["properties"]["output_file_id"]


def test_a_change_is_a_commit_on_a_branch(project, capsys):
    before = git(project, "status", "--porcelain")
    assert follow.follow(upstream(project, grow), project=project, branch="spec/today") == 0
    assert git(project, "branch", "--list", "spec/today").strip() == "spec/today"
    message = git(project, "log", "-1", "--format=%B", "spec/today")
    assert "+ field   Batch.brand_new  string" in message
    changed = git(project, "diff", "--name-only", "main", "spec/today").split()
    assert {"openapi.yaml", "generated/models/batch.py"} <= set(changed)
    assert git(project, "status", "--porcelain") == before
    assert len(git(project, "worktree", "list").splitlines()) == 1


def test_what_was_undecided_before_stops_nobody(project, capsys):
    """Once somebody has kept a field that went, later documents without it are followed."""
    path = project / "openapi.yaml"
    text = path.read_text()
    assert spec.main([upstream(project, shrink), "--output", str(path)]) == spec.CHANGED
    assert path.read_text() != text
    git(project, "commit", "--quiet", "--all", "--message", "Kept")

    def more(document):
        document["components"]["schemas"]["Batch"]["properties"].pop("output_file_id")
        grow(document)

    assert follow.follow(upstream(project, more), project=project, branch="spec/today") == 0
    said = capsys.readouterr().out
    assert "To be decided" in said
    assert "committed to spec/today" in said


def test_nothing_new_leaves_nothing(project, capsys):
    assert follow.follow(upstream(project, lambda _: None), project=project, branch="spec/today") == 0
    assert "nothing has changed" in capsys.readouterr().out
    assert git(project, "branch", "--list", "spec/*") == ""


def test_what_breaks_is_not_committed(project, capsys):
    assert follow.follow(upstream(project, shrink), project=project, branch="spec/today") == follow.BREAKS
    assert "BREAKING: used by overlay/" in capsys.readouterr().out
    assert git(project, "branch", "--list", "spec/*") == ""


def test_a_document_that_is_refused_leaves_nothing(project):
    with pytest.raises(follow.FollowError, match="refused: "):
        follow.follow(
            upstream(project, lambda document: document.clear()), project=project, branch="spec/today"
        )
    assert git(project, "branch", "--list", "spec/*") == ""
