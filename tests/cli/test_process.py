"""The command as a citizen of the shell: tokens, signals, pipes, terminals, missing extras, surprises."""

import os
import pty
import re
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from support.command_line import CANARY, OVERLAY, CommandLine

from overlay import Client, Request, write_requests
from overlay.server import Pace, Reject, Service

SOON = ("--poll", "0.1")


@pytest.fixture
def service():
    with Service(tokens=CANARY) as service:
        yield service


@pytest.fixture
def overlay(tmp_path, service):
    write_requests(
        tmp_path / "r.jsonl", (Request(f"id-{n}", {"model": "m", "messages": []}) for n in range(3000))
    )
    return CommandLine(tmp_path, service.base_url)


@pytest.fixture
def batch_id(overlay, service):
    with Client(base_url=service.base_url, token=CANARY) as client:
        file = client.files.upload(overlay.folder / "r.jsonl")
        batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions")
        return client.batches.wait(batch.id, poll=timedelta(milliseconds=50)).id


def python(code, **env):
    return subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | env,
    )


def test_a_wrong_token_is_refused_in_one_line(overlay):
    done = overlay("batches", "list", OPENAI_API_KEY="wrong-token-98765")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.count("\n") == 1
    assert "OPENAI_API_KEY" in done.stderr
    assert "wrong-token" not in done.stderr


def test_no_token_is_a_matter_of_usage(service, tmp_path):
    done = CommandLine(tmp_path, service.base_url, token=None)("batches", "list")
    assert done.returncode == 2
    assert "OPENAI_API_KEY" in done.stderr
    assert service.requests == []


def test_a_token_file_is_read_again_for_each_request(tmp_path):
    issued = ["issued-0"]
    uses = []

    def is_good(token):
        """Every third request the token is replaced, in the file and at the service."""
        accepted = token == issued[-1]
        uses.append(token)
        if len(uses) % 3 == 0:
            issued.append(f"issued-{len(issued)}")
            (tmp_path / "token").write_text(f"{issued[-1]}\n")
        return accepted

    (tmp_path / "token").write_text("issued-0\n")
    write_requests(tmp_path / "r.jsonl", [Request("a", {"model": "m", "messages": []})])
    with Service(tokens=is_good) as service:
        overlay = CommandLine(tmp_path, service.base_url, token=None)
        done = overlay("run", "r.jsonl", "-o", "out.jsonl", "--token-file", "token", *SOON)
    assert done.returncode == 0, done.stderr
    assert len(set(uses)) > 1
    assert uses == sorted(uses)


def test_a_token_may_come_through_a_pipe(overlay):
    del overlay.env["OPENAI_API_KEY"]
    done = overlay.shell(
        "overlay run r.jsonl -o out.jsonl --poll 0.1 --token-file <(printf %s $SECRET)", SECRET=CANARY
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "empty"), (b"two words", "white space"), ("sch\u00fcssel".encode(), "ASCII")],
)
def test_a_token_file_without_a_token(overlay, tmp_path, content, reason):
    (tmp_path / "token").write_bytes(content)
    done = overlay("batches", "list", "--token-file", "token")
    assert done.returncode in {2, 3}
    assert done.stderr.count("\n") == 1
    assert reason in done.stderr


def test_debugging_shows_where_and_no_token(overlay, service):
    service.faults.add("GET /batches", Reject(400, message=f"your key {CANARY} is odd"), times=None)
    done = overlay("batches", "list", OVERLAY_DEBUG="1")
    assert done.returncode == 3
    assert "Traceback" in done.stderr
    assert "DEBUG:" in done.stderr
    assert "[token]" in done.stderr
    ran = overlay("run", "r.jsonl", "-o", "out.jsonl", "--again", *SOON, OVERLAY_DEBUG="1")
    assert ran.returncode == 0
    assert "DEBUG:" in ran.stderr


def test_a_reader_that_leaves_is_no_error(overlay, batch_id):
    done = overlay.shell(f"overlay batches results {batch_id} | head -n 1; echo ${{PIPESTATUS[0]}}")
    line, status = done.stdout.splitlines()
    assert '"id-0"' in line
    assert status == "141"
    assert done.stderr == ""


def test_a_full_disk_is_said_once(overlay, batch_id):
    with Path("/dev/full").open("w") as full:
        for words in (("batches", "results", batch_id), ("batches", "list"), ("batches", "list", "--json")):
            done = overlay(*words, stdout=full)
            assert done.returncode == 2
            assert done.stderr == "error: standard output: No space left on device\n"
    # With nobody to tell, the work is done all the same.
    done = overlay.shell("overlay run r.jsonl -o out.jsonl --again --poll 0.1 2>/dev/full")
    assert done.returncode == 0


def test_closed_streams(overlay, batch_id):
    assert overlay.shell("overlay batches list >&-").stderr == "error: standard output is closed\n"
    assert overlay.shell(f"overlay batches results {batch_id} -o out.jsonl >&- 2>&-").returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stuck_program_stops_too(number):
    """The main thread sits where no handler can run, as in a slow lookup of a host's name."""
    code = f"""
import ctypes, os, signal, threading
from overlay.cli.signals import Stopping
stopping = Stopping()
stopping.advice = "type this: overlay"
signal.pthread_sigmask(signal.SIG_BLOCK, [{int(number)}])
def send():
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [{int(number)}])
    signal.pthread_kill(threading.get_ident(), {int(number)})
threading.Timer(0.1, send).start()
ctypes.CDLL(None).sleep(50)
"""
    done = python(code)
    assert done.returncode == 128 + number
    assert done.stderr == "stopped; type this: overlay\n"


def test_what_is_ignored_stays_ignored(tmp_path):
    write_requests(tmp_path / "r.jsonl", [Request("a", {"model": "m", "messages": []})])
    with Service(pace=Pace(in_progress=1)) as service:
        overlay = CommandLine(tmp_path, service.base_url)
        done = overlay.shell(
            'trap "" INT; overlay run r.jsonl -o out.jsonl --poll 0.1 & sleep 0.7; kill -INT $!; wait $!'
        )
    assert done.returncode == 0


def test_a_bar_on_a_terminal(overlay):
    ours, theirs = pty.openpty()
    with overlay.start("run", "r.jsonl", "-o", "out.jsonl", *SOON, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 4096):
                shown += piece
        except OSError:  # Linux's way to say that the other side has closed
            pass
        assert process.wait(timeout=30) == 0
    os.close(ours)
    assert b"\x1b[" in shown
    assert re.search("━\x1b[^\n]*\r\n[^\n]*shards done".encode(), shown), "the bar has a line of its own"
    assert b"3,000 results, 3,000 ok" in shown


@pytest.mark.parametrize("name", ["typer", "rich"])
def test_without_the_extra_one_line_says_what_to_install(name):
    done = python(f"import sys; sys.modules['{name}'] = None; from overlay.cli import main; main()")
    assert done.returncode == 1
    assert done.stderr == f"error: {name} is missing: pip install 'openai-batch-overlay[cli]'\n"


@pytest.mark.parametrize("name", ["starlette", "uvicorn"])
def test_serve_without_its_extra(name):
    without = f"import sys; sys.modules['{name}'] = None; sys.argv[1:] = ['serve']"
    done = python(f"{without}; from overlay.cli import main; main()")
    assert done.returncode == 1
    assert "pip install 'openai-batch-overlay[serve]'" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_surprise_is_one_line_unless_debugged(tmp_path):
    (tmp_path / "r").write_text("x")
    code = f"""
import sys
from pathlib import Path
import overlay.cli.check
def broken(*_, **__): raise RuntimeError("boom\\nbang")
overlay.cli.check.check_job = broken
sys.argv[1:] = ["check", {str(tmp_path / "r")!r}]
from overlay.cli import main
main()
"""
    done = python(code)
    assert done.returncode == 3
    assert (
        done.stderr
        == "error: RuntimeError: boom bang; this should not happen (set OVERLAY_DEBUG=1 to see where)\n"
    )
    assert "Traceback" in python(code, OVERLAY_DEBUG="1").stderr


def test_the_installed_script_is_this_command():
    script = Path(sys.executable).with_name("overlay")
    shown = [
        subprocess.run([*words, "--version"], check=False, capture_output=True, text=True).stdout
        for words in ([script], OVERLAY)
    ]
    assert shown[0] == shown[1]
    assert shown[0].startswith("overlay 0.")


IN_A_FINALIZER = """
import os, signal, time
from overlay.cli.signals import Interrupted, Stopping

class Dying:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)

stopping = Stopping()
stopping.advice = "go on"
try:
    Dying()
    time.sleep(0.5)
    print("nothing came")
except Interrupted as interrupted:
    print("came", interrupted.exit_status, end="")
    stopping.say()
"""


def test_a_signal_that_comes_in_a_finalizer_is_not_lost():
    done = python(IN_A_FINALIZER)
    assert (done.stdout, done.stderr) == ("came 143", "stopped; go on\n")
