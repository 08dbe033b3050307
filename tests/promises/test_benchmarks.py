"""Each benchmark, in small: it measures what it says, on both sides the same work. How fast is not tested."""

import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from support.calling import TOKEN

from benchmarks import (
    calls,
    forwarding,
    importing,
    jobs,
    memory,
    million,
    peers,
    tables,
    telemetry,
    transfers,
)
from benchmarks.__main__ import BENCHMARKS, main
from benchmarks.measuring import Comparison, Growth, Side, compare, table
from benchmarks.server import BATCHES, OUTPUT, PAGE
from benchmarks.setting import prepared
from overlay import Client

LINES = 200
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def setting():
    with prepared(rounds=1, lines=LINES, line_bytes=1_500) as setting:
        yield setting


@pytest.fixture
def client(setting):
    with Client(token=TOKEN, base_url=setting.base_url) as client:
        yield client


def measured(figures, comparisons, growths=0):
    """Whether so many figures have been taken, and none is out of the question."""
    kinds = [type(figure) for figure in figures]
    assert (kinds.count(Comparison), kinds.count(Growth)) == (comparisons, growths)
    for figure in figures:
        if isinstance(figure, Comparison):
            assert min(figure.ratio, figure.our_seconds, figure.peer_seconds) > 0
        else:
            assert 0 <= figure.size < figure.target
    return True


def test_the_benchmarks_of_transfers(setting):
    assert measured(transfers.upload(setting), 1, 1)
    assert measured(transfers.results(setting), 2, 1)
    assert measured(transfers.joined(setting), 4, 1)


def test_the_benchmarks_of_calls(setting):
    assert measured(calls.retrieve(setting, calls=10), 1)
    assert measured(calls.listing(setting), 1)


def test_the_benchmark_of_imports(setting):
    assert measured(importing.importing(setting), 4)
    assert importing.loaded("import sqlite3") & importing.HEAVY == {"sqlite3"}


def test_the_benchmarks_of_jobs(setting):
    assert measured(jobs.spool(setting), 4)
    assert measured(jobs.job_results(setting), 1)


def test_the_benchmark_of_telemetry(setting):
    assert measured(telemetry.telemetry(setting, calls=10), 4)


def test_the_benchmark_of_tables(setting):
    assert measured(tables.mapped(setting), 3)


def test_a_table_is_shown_as_it_goes():
    shown = []
    tables.run(500, shown.append)
    assert sum("for 100,000 rows, memory" in line for line in shown) == 4
    assert shown[-1].startswith("500 rows in ")


def test_many_requests_are_shown_as_they_go():
    shown = []
    million.run(500, shown.append)
    assert sum("spooled, the last 50 in" in line for line in shown) == 10
    assert sum("read, the last 50 in" in line for line in shown) == 10
    assert shown[-1].startswith("500 results in the order of their requests")


def test_both_sides_have_the_same_answers(setting, client):
    lines = map(json.loads, setting.answers.read_text().splitlines())
    texts = {line["custom_id"]: peers.text_of(line) for line in lines}
    assert len(texts) == LINES
    for loop in peers.LOOPS.values():
        assert sorted(loop(setting.http, peers.text_of)) == sorted(texts.values())
        assert list(loop(setting.http, peers.custom_id_of)) == list(texts)
    unordered = {
        result.custom_id: result.text for result in client.batches.results(memory.BATCH, ordered=False)
    }
    assert unordered == texts
    joined = [result.custom_id for result in client.batches.results(memory.BATCH, requests=setting.requests)]
    assert joined == [f"request-{number}" for number in range(LINES)]
    assert joined != list(texts), "the service's order is another"


def test_the_server_counts_what_is_sent(setting, client):
    sent = client.files.upload(setting.upload)
    assert 0 < sent.received - setting.upload.stat().st_size < 1_000
    with httpx.Client(base_url=setting.base_url) as http:
        assert http.post("/files", content=b"x" * 3 * MIB).json()["received"] == 3 * MIB
        assert http.get(f"/files/{OUTPUT}/content").content == setting.answers.read_bytes()


def test_the_server_lists_all_batches(client):
    pages = list(client.batches.list(limit=PAGE).pages())
    assert {len(page.data) for page in pages} == {PAGE}
    ids = [batch.id for page in pages for batch in page.data]
    assert len(set(ids)) == BATCHES
    assert ids == sorted(ids, reverse=True)
    assert client.batches.retrieve(ids[7]).id == ids[7]


def test_growth_is_that_of_the_work(setting):
    assert memory.growth(setting.base_url, "nothing") < 8 * MIB
    held = memory.growth(setting.base_url, "hold", 40 * MIB)
    assert 39 * MIB < held < 48 * MIB  # the kernel counts pages a batch at a time


def test_of_the_ratios_of_pairs_the_middle_counts(monkeypatch):
    ran = []
    ours, peer = (Side(name, lambda name=name: ran.append(name)) for name in ("ours", "peer"))
    seconds = iter([2.0, 1.0, 10.0, 90.0, 3.0, 1.0])  # ours, peer; peer, ours; ours, peer
    ticks = (tick for each in seconds for tick in (0.0, each))
    monkeypatch.setattr("time.perf_counter", lambda: next(ticks))
    found = compare("x", ours, peer, rounds=3, target=2.5)
    assert ran == ["ours", "peer", "ours", "peer", "peer", "ours", "ours", "peer"]
    assert (found.ratio, found.our_seconds, found.peer_seconds, found.met) == (3.0, 3.0, 1.0, False)


def test_sides_that_find_different_things_are_not_compared():
    with pytest.raises(AssertionError, match="ours found 1, theirs 2"):
        compare("x", Side("ours", lambda: 1), Side("theirs", lambda: 2), rounds=1)


def test_the_table_says_what_is_missed():
    figures = [
        Comparison("a", "b", 1.5, 1.4, 1.5, 1.0, 3),
        Comparison("c", "d", 0.5, None, 0.01, 0.02, 3),
        Growth("e", 3 * MIB, 16 * MIB),
    ]
    rows = table(figures).splitlines()[2:]
    assert rows == [
        "| a | b | 1.50 | ≤ 1.40 | missed | 1.50 s / 1.00 s |",
        "| c | d | 0.50 |  |  | 10 ms / 20 ms |",
        "| e | memory at rest | +3.0 MiB | ≤ +16 MiB | met | |",
    ]


def test_the_command_runs_what_is_named(capsys):
    assert main(["list", "--rounds", "1", "--lines", "10"]) in {0, 1}
    shown = capsys.readouterr()
    assert "| 10,000 batches listed, 100 a page | httpx `get` + `json` |" in shown.out
    assert shown.err == "list …\n"


def test_the_command_lists_them_all():
    run = [sys.executable, "-m", "benchmarks", "--help"]
    folder = Path(__file__).resolve().parents[2]
    shown = subprocess.run(run, check=True, capture_output=True, text=True, cwd=folder).stdout
    assert all(f"  {name} " in shown for name in [*BENCHMARKS, "million"])


def test_the_benchmark_of_forwarding(capsys):
    assert forwarding.main(["--lines", "150", "--rounds", "1", "--at-once", "4", "--peers", "aiohttp"]) == 0
    rows = [line.split("|")[1:-1] for line in capsys.readouterr().out.splitlines() if line.startswith("| 4 ")]
    assert [row[1].strip() for row in rows] == ["aiohttp", "overlay serve"]
    for row in rows:
        rate, ratio, cpu = (float(row[number].split()[0].replace(",", "")) for number in (2, 3, 4))
        assert min(rate, ratio, cpu) > 0
