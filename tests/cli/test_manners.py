"""What people expect of a command in a shell: short ids, packed input, pipes, one style of errors."""

import gzip
import json
import os
import pty
import re
import subprocess

import pytest
from backports import zstd
from support.command_line import OVERLAY, CommandLine

from overlay import Request, write_requests
from overlay.server import Service, echo

COUNT = 12
SOON = ("--poll", "0.1")
IDS = [f"id-{number}" for number in range(COUNT)]


@pytest.fixture
def service():
    with Service() as service:
        yield service


@pytest.fixture
def overlay(tmp_path, service):
    requests = (Request(name, {"model": "gpt-4o-mini", "messages": []}) for name in IDS)
    write_requests(tmp_path / "r.jsonl", requests)
    return CommandLine(tmp_path, service.base_url)


def custom_ids(text):
    return [json.loads(line)["custom_id"] for line in text.splitlines()]


@pytest.mark.parametrize(
    "words", [(), ("run",), ("jobs",), ("jobs", "wait"), ("files", "upload"), ("batches",)]
)
def test_help_is_a_letter_away_and_names_arguments_plainly(overlay, words):
    done = overlay(*words, "-h")
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: overlay")
    assert "{" not in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("files", "upload"), "missing argument 'FILE' (see overlay files upload -h)"),
        (("jobs", "shw"), "did you mean 'show'"),
        (("run", "r.jsonl", "--polll", "3"), "--polll"),
        (("run", "r.jsonl"), "where do the results go?"),
        (("jobs", "wait", "nobody"), "there is no job nobody"),
        (("run", "absent.jsonl", "-o", "-"), "absent.jsonl"),
    ],
)
def test_errors_have_one_style(overlay, words, said):
    done = overlay(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert said.lower() in done.stderr.lower()


def test_completion_is_offered(overlay):
    assert "--install-completion" in overlay("-h").stdout
    done = overlay("--show-completion", SHELL="/bin/bash", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert done.returncode in {0, 2}
    words = {"_OVERLAY_COMPLETE": "complete_bash", "COMP_WORDS": "overlay jobs re", "COMP_CWORD": "2"}
    found = overlay.shell("overlay", **words).stdout.split()
    assert {"retrieve", "resume", "results", "recover"} <= set(found)


def test_a_job_is_submitted_waited_for_and_read_by_the_beginning_of_its_id(overlay, service):
    submitted = overlay("jobs", "submit", "r.jsonl", "-q", *SOON)
    assert submitted.returncode == 0
    (job_id,) = submitted.stdout.split()
    waited = overlay("jobs", "wait", job_id[:4], *SOON)
    assert waited.returncode == 0, waited.stderr
    assert custom_ids(overlay("jobs", "results", job_id[:6]).stdout) == IDS
    for verb in ("retrieve", "show"):
        assert f"id        {job_id}" in re.sub(" {8,}", " " * 8, overlay("jobs", verb, job_id[:5]).stdout)
    assert overlay("jobs", "submit", "r.jsonl", "-q").stdout.split() == [job_id]
    assert service.count("POST", "/batches") == 1


def test_an_id_that_begins_several_is_an_error_that_lists_them(overlay):
    for name in ("reviews-1", "reviews-2", "others"):
        assert overlay("jobs", "submit", "r.jsonl", "--id", name, "-q", *SOON).stdout == f"{name}\n"
    refused = overlay("jobs", "retrieve", "rev")
    assert refused.returncode == 2
    assert "2 jobs begin with 'rev': reviews-1, reviews-2" in refused.stderr
    assert overlay.json("jobs", "retrieve", "oth")["id"] == "others"


def test_a_detached_run_prints_its_id(overlay):
    done = overlay("run", "r.jsonl", "--detach", "-q")
    (job_id,) = done.stdout.split()
    assert done.stderr == ""
    assert overlay("jobs", "wait", job_id, *SOON).returncode == 0
    both = overlay("run", "r.jsonl", "--detach", "-o", "out.jsonl")
    assert both.returncode == 2


def test_what_is_on_this_disk_needs_no_key(overlay):
    assert overlay("run", "r.jsonl", "-o", "out.jsonl", *SOON).returncode == 0
    del overlay.env["OPENAI_API_KEY"]
    listed = overlay("jobs", "list").stdout
    assert "r.jsonl" in listed
    assert "gpt-4o-mini" in listed
    assert "100%" in listed
    job_id = listed.splitlines()[1].split()[0]
    assert overlay("jobs", "retrieve", job_id).returncode == 0
    assert custom_ids(overlay("jobs", "results", job_id).stdout) == IDS
    assert "no token" in overlay("jobs", "cancel", job_id).stderr


def on_terminal(overlay, *words, columns):
    """What a command prints on a terminal of so many columns."""
    leader, follower = pty.openpty()
    with subprocess.Popen(
        [*OVERLAY, *words],
        cwd=overlay.folder,
        env=overlay.env | {"COLUMNS": str(columns)},
        stdout=follower,
        stderr=subprocess.PIPE,
    ) as process:
        printed = b""
        os.close(follower)
        while True:
            try:
                piece = os.read(leader, 65536)
            except OSError:
                break
            if not piece:
                break
            printed += piece
        os.close(leader)
        process.wait(timeout=30)
    return printed.decode().replace("\r\n", "\n")


def test_lists_fit_a_narrow_terminal_with_whole_ids(overlay, service):
    (overlay.folder / "a-file-with-a-rather-long-name.jsonl").write_bytes(
        (overlay.folder / "r.jsonl").read_bytes()
    )
    (job_id,) = overlay("jobs", "submit", "a-file-with-a-rather-long-name.jsonl", "-q").stdout.split()
    batch_id = service.batches()[0]["id"]
    narrow = on_terminal(overlay, "jobs", "list", columns=80)
    assert max(map(len, narrow.splitlines())) <= 80
    assert job_id in narrow
    assert "a-file-with…" in narrow or "a-file-w" in narrow
    wide = on_terminal(overlay, "jobs", "list", columns=200)
    assert "a-file-with-a-rather-long-name.jsonl" in wide
    batches = on_terminal(overlay, "batches", "list", columns=80)
    assert batch_id in batches
    assert max(map(len, batches.splitlines())) <= 80


def test_what_is_made_is_printed_as_its_id_alone(overlay):
    uploaded = overlay("files", "upload", "r.jsonl", "-q")
    (file_id,) = uploaded.stdout.split()
    assert uploaded.stderr == ""
    (batch_id,) = overlay(
        "batches", "create", file_id, "--endpoint", "/v1/chat/completions", "-q"
    ).stdout.split()
    assert overlay("batches", "wait", batch_id, *SOON).returncode == 0


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd.compress], ids=["plain", "gzip", "zstd"])
def test_packed_requests_and_standard_input_are_read(overlay, service, pack):
    plain = (overlay.folder / "r.jsonl").read_bytes()
    given = overlay.folder / "given"
    given.write_bytes(pack(b"\xef\xbb\xbf" + plain + b"\n\n"))
    assert overlay.json("check", "given")["requests"] == COUNT
    assert json.loads(overlay.shell("overlay check - --json < given").stdout)["requests"] == COUNT
    done = overlay.shell("overlay run - -o - --poll 0.1 < given")
    assert done.returncode == 0, done.stderr
    assert custom_ids(done.stdout) == IDS
    # It is the same job, however it came.
    assert overlay("run", "given", "-o", "out.jsonl", *SOON).returncode == 0
    assert service.count("POST", "/batches") == 1


def test_packed_requests_that_are_cut_off_are_refused(overlay, service):
    packed = gzip.compress((overlay.folder / "r.jsonl").read_bytes())
    for name, content in {"cut.gz": packed[:-12], "bad.zst": zstd.compress(b"{}" * 999)[:-6]}.items():
        (overlay.folder / name).write_bytes(content)
        refused = overlay("run", name, "-o", "-")
        assert refused.returncode == 2
        assert f"{name}: the packed file is cut off or damaged" in refused.stderr
    assert service.count("POST", "/files") == 0


def test_a_blank_line_is_accepted_at_the_end_alone(overlay):
    first, *rest = (overlay.folder / "r.jsonl").read_bytes().splitlines(keepends=True)
    (overlay.folder / "gap.jsonl").write_bytes(first + b"\n" + b"".join(rest))
    refused = overlay("check", "gap.jsonl")
    assert refused.returncode == 2
    assert "line 2: a blank line" in refused.stdout


def test_a_table_in_place_of_requests_is_pointed_to_map(overlay):
    (overlay.folder / "reviews.csv").write_text("review_id,text\n1,good\n")
    (overlay.folder / "t.jsonl").write_bytes(b"PAR1" + b"\0" * 40)
    for name in ("reviews.csv", "t.jsonl"):
        refused = overlay("run", name, "-o", "-")
        assert refused.returncode == 2
        assert "overlay map" in refused.stderr


def test_a_reader_that_stops_early_ends_it_quietly(overlay):
    done = overlay.shell("set -o pipefail; overlay run r.jsonl -o - --poll 0.1 -q | head -n 1")
    assert custom_ids(done.stdout) == IDS[:1]
    assert done.stderr == ""
    assert done.returncode in {0, 141}


@pytest.fixture
def busy():
    """The ids whose requests fail."""
    return set()


@pytest.fixture
def failing(tmp_path, busy):
    def answer(request):
        if request["custom_id"] in busy:
            return 422, {"error": {"code": "bad_picture", "message": "cannot read the picture"}}
        return echo(request)

    write_requests(tmp_path / "r.jsonl", (Request(name, {"model": "m", "messages": []}) for name in IDS))
    with Service(answer=answer) as service:
        yield CommandLine(tmp_path, service.base_url)


def test_failures_are_counted_shown_and_sent_again(failing, busy):
    busy |= {"id-3", "id-7"}
    done = failing("run", "r.jsonl", "-o", "out.jsonl", *SOON)
    assert done.returncode == 1
    assert "failed: 2 bad_picture, such as id-3: cannot read the picture" in done.stderr
    (job_id,) = re.findall(r"overlay jobs retry (\S+)", done.stderr)
    (found,) = map(json.loads, failing("jobs", "failures", job_id, "--json").stdout.splitlines())
    assert (found["code"], found["count"], found["custom_id"]) == ("bad_picture", 2, "id-3")
    assert custom_ids(failing("jobs", "results", job_id, "--failed-only").stdout) == ["id-3", "id-7"]
    busy.discard("id-3")
    again = failing("jobs", "retry", job_id, *SOON)
    assert again.returncode == 1
    assert "failed: 1 bad_picture, such as id-7" in again.stderr
    busy.clear()
    assert failing("jobs", "retry", job_id, "-q", *SOON).stdout.split() == [job_id]
    assert failing("jobs", "failures", job_id).stderr == "nothing has failed\n"
    # Written again by the same command, they show the new outcomes, and nothing else is sent.
    assert failing("run", "r.jsonl", "-o", "out.jsonl", *SOON).returncode == 0
    assert custom_ids((failing.folder / "out.jsonl").read_text()) == IDS
