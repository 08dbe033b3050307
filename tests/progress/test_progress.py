"""Progress that people see: on terminals of two sizes, in a log, in a script that is stopped, and not at all."""

import logging
import os
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import anyio
import attrs
import pytest
from support.command_line import OVERLAY, CommandLine
from support.job_steps import chats
from support.terminal import terminal

from overlay import AsyncClient, Client, ConfigurationError, Limits, Request, write_requests
from overlay.progress.figures import Figures, clock_time, span
from overlay.server import Pace, Service

COUNT = 40


@pytest.fixture
def service():
    with Service(pace=Pace(in_progress=3600)) as service:
        yield service


@pytest.fixture
def overlay(tmp_path, service):
    requests = (Request(f"id-{number}", {"model": "m", "messages": []}) for number in range(COUNT))
    write_requests(tmp_path / "reviews.jsonl", requests)
    return CommandLine(tmp_path, service.base_url)


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (120, 40)])
def test_the_live_view_of_a_command(overlay, columns, lines):
    words = [*OVERLAY, "run", "reviews.jsonl", "-o", "out.jsonl", "--poll", "2"]
    with terminal(words, columns=columns, lines=lines, env=overlay.env, cwd=overlay.folder) as screen:
        screen.until("next look in")
        shown = screen.until("Ctrl-C is safe")
        assert re.match(rf"job \S+: 0 of {COUNT} requests \(0%\)", shown[0])
        assert set(shown[1]) == {"━"}
        assert len(shown[1]) == columns
        assert "0 of 1 shards done" in shown[2]
        assert re.search(r"\d s elapsed, next look in \d s, batches end by \d\d:\d\d", shown[3])
        assert re.search(rf"shard 1: (validating|in_progress), 0 of {COUNT}", "\n".join(shown))
        os.kill(screen.process.pid, signal.SIGINT)
        left, status = screen.ended()
    assert status == 130
    text = "".join(left)
    assert "Ctrl-C is safe" not in text
    assert "resume with: overlay run reviews.jsonl -o out.jsonl" in text.replace("\n", "")


def test_the_live_view_of_a_script(overlay, service):
    code = f"""
from overlay import Client, Request
requests = [Request(f"r{{n}}", {{"model": "m", "messages": []}}) for n in range({COUNT})]
with Client() as client:
    results = client.jobs.run(requests, poll=0.1)
    print("answers:", sum(result.ok for result in results), results.job.state)
"""
    with terminal([sys.executable, "-c", code], env=overlay.env, cwd=overlay.folder) as screen:
        screen.until("next look in")
        service.advance(3600)
        left, status = screen.ended()
    assert status == 0
    assert left == [f"answers: {COUNT} ended"]


def test_it_is_turned_off_by_the_environment(overlay, service):
    env = overlay.env | {"OVERLAY_PROGRESS": "0"}
    with terminal([*OVERLAY, "run", "reviews.jsonl", "--detach"], env=env, cwd=overlay.folder) as screen:
        shown, status = screen.ended()
    assert status == 0
    assert shown[0].startswith("id ")


def test_a_script_that_is_stopped_says_how_to_go_on(overlay):
    code = f"""
import os, signal
from overlay import Client, Request
def stop(event):
    if event.kind == "created":
        os.kill(os.getpid(), signal.SIGINT)
client = Client()
requests = [Request(f"r{{n}}", {{"model": "m", "messages": []}}) for n in range({COUNT})]
for result in client.jobs.run(requests, id="mine", on_change=stop):
    print(result)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=overlay.env,
        cwd=overlay.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == -signal.SIGINT
    # Python may warn after it, since the script has closed nothing.
    (said,) = [text for text in done.stderr.splitlines() if text.startswith("KeyboardInterrupt")]
    assert said.startswith("KeyboardInterrupt: job mine: batches that were created keep running"), done.stderr
    assert said.endswith("overlay jobs wait mine")


def test_asked_for_without_a_terminal_it_is_lines(tmp_path, service, capsys):
    with Client(base_url=service.base_url, token="k", home=tmp_path) as client:
        client.jobs.submit(chats(3), id="j", progress=True)
        said = capsys.readouterr().err
        assert re.search("^j: shard 1: batch batch_\\w+ created$", said, re.MULTILINE)
        assert "j: 0 of 3 requests (0%)" in said
        service.advance(3600)
        client.jobs.wait("j")
        assert capsys.readouterr().err == ""
        with pytest.raises(ConfigurationError, match="progress must be True, False or None"):
            client.jobs.wait("j", progress="yes")


def test_results_know_their_job_during_and_after(tmp_path, service):
    with Client(base_url=service.base_url, token="k", home=tmp_path) as client:
        states = []

        def look(event):
            states.append(results.job and (results.job.id, results.job.ended))
            if event.kind == "created":
                service.advance(3600)

        results = client.jobs.run(chats(3), id="j", on_change=look, poll=0.05)
        assert results.job is None
        assert len(list(results)) == 3
        assert states[0] == ("j", False)
        assert (results.job.ended, results.job.ok) == (True, 3)
        assert client.jobs.results("j").job.ok == 3


def test_what_happens_to_a_job_is_logged(tmp_path, service, caplog):
    caplog.set_level(logging.DEBUG, logger="overlay.jobs")
    with Client(base_url=service.base_url, token="k", home=tmp_path) as client:
        client.jobs.submit(chats(3), id="j")
    logged = [record for record in caplog.records if record.name == "overlay.jobs"]
    assert all(record.getMessage().startswith("j: ") for record in logged)
    assert any("created" in record.getMessage() for record in logged)


def test_under_asyncio_it_shows_and_ends_the_same(tmp_path, service, capsys):
    async def main():
        async with AsyncClient(base_url=service.base_url, token="k", home=tmp_path) as client:
            await client.jobs.submit(chats(3), id="j")
            service.advance(3600)
            return (await client.jobs.wait("j", progress=True)).ended

    assert anyio.run(main)
    assert "j: 3 of 3 requests (100%)" in capsys.readouterr().err


def test_the_time_to_go_is_known_after_a_resume(tmp_path, service):
    with Client(base_url=service.base_url, token="k", home=tmp_path) as client:
        job = client.jobs.submit(chats(8), id="j", limits=Limits(requests=2))
    half = attrs.evolve(
        job,
        answered=4,
        created=datetime.now(UTC) - timedelta(minutes=10),
        shards=job.shards,
        tokens_by_model=job._tokens_by_model,
    )
    figures = Figures()
    figures.see(type("Event", (), {"job": half, "kind": "progress", "message": "seen"})())
    assert "about 10 min 0" in figures.times() or "about 9 min 59 s" in figures.times()
    assert "4 of 8 requests (50%)" in figures.counts()
    # A day after the batches were created, at the service's usual window.
    assert f"batches end by {clock_time(min(shard.expires for shard in job.shards))}" in figures.times()
    assert len(figures.open_shards(2)) == 3


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0 s"), (59, "59 s"), (61, "1 min 01 s"), (3 * 3600 + 60, "3 h 01 min")]
)
def test_spans(seconds, said):
    assert span(seconds) == said
