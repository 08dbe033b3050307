"""A tiny run of each benchmark: that it runs, and that both sides do the same work. No time is judged."""

from contextlib import ExitStack

import pytest

from benchmarks import __main__, material
from benchmarks.comparisons import COMPARISONS, Setting
from benchmarks.server import INPUT, OUTPUT, serving

LINES = 60


@pytest.fixture
def setting(tmp_path):
    material.write_batch(tmp_path / INPUT, tmp_path / OUTPUT, lines=LINES, line_bytes=2000)
    material.write_requests(tmp_path / "upload.jsonl", lines=LINES, line_bytes=2000)
    with serving(tmp_path) as url, ExitStack() as stack:
        yield Setting(tmp_path, url, stack)


@pytest.mark.parametrize("name", ["unordered-lines", "unordered-bytes", "joined", "joined-texts", "list"])
def test_both_sides_come_to_the_same(setting, name):
    ours, bare = COMPARISONS[name][0](setting)
    found = ours()
    assert found == bare()
    assert found > 0


def test_a_run_prints_ratio_and_memory(capfd):
    __main__.main(["--pairs", "1", "--megabytes", "1", "upload", "unordered-bytes"])
    printed = capfd.readouterr().out
    assert "upload" in printed
    assert printed.count("MiB above rest") == 2


def test_a_name_that_is_none_is_refused(capfd):
    with pytest.raises(SystemExit):
        __main__.main(["uplaod"])
    assert "no such benchmark: uplaod" in capfd.readouterr().err
