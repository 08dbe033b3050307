"""`python -m tools.spec_matrix`: the whole way for each document, in a copy."""

import subprocess
from pathlib import Path

from support.spec_documents import batch, document, encoded

from tools import spec_matrix
from tools.spec import convert
from tools.upstream.promises import Promises

PROJECT = Path(__file__).resolve().parents[2]


def test_the_whole_way_is_gone_in_a_copy(tmp_path, capsys):
    without_list = document()
    del without_list["paths"]["/batches"]["get"]
    (tmp_path / "openapi-2026-01-01.json").write_bytes(encoded(without_list))
    (tmp_path / "openapi-2026-02-02.json").write_bytes(encoded(document()))
    (tmp_path / "notes.txt").write_text("no document")
    before = (PROJECT / "openapi.yaml").read_bytes()
    test = "tests/spec/test_generated.py::test_the_nine_operations_are_there"
    assert spec_matrix.main([str(tmp_path), "--tests", test]) == 0
    assert (PROJECT / "openapi.yaml").read_bytes() == before
    header, rule, first, second = capsys.readouterr().out.splitlines()
    assert header.startswith("| revision | what changed | result | spec (s) |")
    assert rule.startswith("|---|---|---|---:")
    assert first.startswith("| 2026-01-01 |  | refused: the document has no GET /batches (listBatches) |")
    assert second.startswith("| 2026-02-02 | the first accepted | pass |")


def test_a_failure_says_which_step(tmp_path, monkeypatch, capsys):
    (tmp_path / "newest.json").write_bytes(encoded(document()))
    codes = {"tools.spec": 0, "tools.generate": 0, "mypy": 1}

    def run(copy, *arguments):
        return subprocess.CompletedProcess(arguments, codes[arguments[1]], f"said by {arguments[1]}", "")

    monkeypatch.setattr(spec_matrix, "_run", run)
    assert spec_matrix.main([str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert "| newest.json | the first accepted | FAIL: mypy |" in said.out
    assert "said by mypy" in said.err


def test_what_changed_is_one_line():
    upstream = document()
    batch(upstream)["one"] = batch(upstream)["two"] = {"type": "string"}
    batch(upstream)["status"]["enum"] = ["validating", "paused", "queued"]
    batch(upstream)["output_file_id"] = {"type": "integer"}
    before, after = (convert(encoded(one), {}, Promises()) for one in (document(), upstream))
    assert spec_matrix.changed(before, after) == (
        "+ field Batch.one, Batch.two; + value Batch.status: paused, queued; "
        "- value Batch.status: completed, in_progress; ~ type Batch.output_file_id string → integer"
    )
    assert spec_matrix.changed(after, after) == "nothing in the batch section"


def test_a_folder_without_documents(tmp_path, capsys):
    assert spec_matrix.main([str(tmp_path)]) == 2
    assert "no .json, .yaml or .yml file" in capsys.readouterr().err
