"""Batches at a server in trouble: a small run of `make soak-upstream`.

docs/explanation/reliability.md has its figures.
"""

import pytest
from soak import upstream


@pytest.mark.parametrize("name", ["no connection for 60 s", "six times kill -9"])
def test_no_line_is_lost_failed_or_there_twice(name, monkeypatch):
    kills = (lambda scene: upstream.kills(scene, times=2), ())
    monkeypatch.setitem(upstream.SCENARIOS, "six times kill -9", kills)
    report = upstream.run(name, scale=0.02, count=150)
    assert (report.lost, report.failed, report.twice) == ([], [], [])
    assert report.asked >= report.answered >= 150


def test_the_table_says_what_was_found():
    found = upstream.Report("outage", 3, lost=["r1"], failed=["r2"], twice=["r3"], asked=9, seconds=1.0)
    assert not found.clean
    assert upstream.table([found])[-1] == "| outage | 3 | 1 | 1 | 1 | 9 |  | 1 s |"
