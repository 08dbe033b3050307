"""The worked example of docs/explanation/spec-changes.md: a field that somebody adds by hand."""

import shutil
import subprocess
import sys

from support.pages import DOCS, PROJECT, blocks

import overlay
from tools import spec
from tools.generate import generate

CHANGES = DOCS / "explanation" / "spec-changes.md"


def test_a_field_added_by_hand(tmp_path):
    """Readable before, and typed after regeneration."""
    (lines,) = (each.text for each in blocks(CHANGES.read_text()) if each.language == "yaml")
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
