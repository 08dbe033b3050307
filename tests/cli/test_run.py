"""`overlay check` and `overlay run`, as processes, against the embedded service."""

import json
import signal
import subprocess
import sys
import time

import pytest
from support.command_line import CANARY, OVERLAY, CommandLine, lines_until

from overlay import Client, Request, write_requests
from overlay.operations.marks import mark_of
from overlay.server import Limits, Literally, Pace, Reject, Service

COUNT = 30
SOON = ("--poll", "0.1")


def answer(line):
    """Fails every tenth request."""
    number = int(line["custom_id"].removeprefix("id-"))
    if number % 10 == 9:
        return 400, {
            "error": {"message": "no", "type": "invalid_request_error", "code": "nope", "param": None}
        }
    return {"object": "chat.completion", "choices": [{"message": {"content": f"answer {number}\u2028"}}]}


@pytest.fixture
def service():
    with Service(tokens=CANARY) as service:
        yield service


@pytest.fixture
def overlay(tmp_path, service):
    command = CommandLine(tmp_path, service.base_url)
    write_requests(
        tmp_path / "r.jsonl", (Request(f"id-{n}", {"model": "m", "messages": []}) for n in range(COUNT))
    )
    return command


def created(service):
    return service.count("POST", "/batches")


def custom_ids(text):
    return [json.loads(line)["custom_id"] for line in text.split("\n") if line]


def until(holds):
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


IN_ORDER = [f"id-{number}" for number in range(COUNT)]


def test_run_writes_results_in_order(overlay, service, tmp_path):
    done = overlay("run", "r.jsonl", "-o", "out.jsonl", "--metadata", "run=7", *SOON)
    assert (done.returncode, done.stdout) == (0, "")
    assert custom_ids((tmp_path / "out.jsonl").read_text()) == IN_ORDER
    assert "30 results, 30 ok, 0 failed" in done.stderr
    (batch,) = service.batches()
    assert batch["metadata"]["run"] == "7"
    assert mark_of(batch["metadata"]).job == overlay.json("jobs", "list")["id"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "out.jsonl", "r.jsonl"]


def test_lines_are_the_services_own_bytes_and_failures_exit_1(tmp_path):
    with Service(answer) as service:
        overlay = CommandLine(tmp_path, service.base_url)
        write_requests(
            tmp_path / "r.jsonl", (Request(f"id-{n}", {"model": "m", "messages": []}) for n in range(COUNT))
        )
        done = overlay("run", "r.jsonl", "-o", "-", *SOON)
        with Client(base_url=service.base_url, token="t") as client:
            (batch,) = client.batches.list()
            kept = b"".join(
                client.files.download(each, tmp_path / "f").read_bytes()
                for each in (batch.output_file_id, batch.error_file_id)
            )
    assert done.returncode == 1
    assert "30 results, 27 ok, 3 failed" in done.stderr
    assert custom_ids(done.stdout) == IN_ORDER
    assert sorted(done.stdout.encode().split(b"\n")) == sorted(kept.split(b"\n"))


def test_a_request_without_an_answer_is_written_as_missing(overlay, service, tmp_path):
    lone = '{"id":"x","custom_id":"id-3","response":{"status_code":200,"body":{}},"error":null}\n'
    service.faults.add(
        "GET /files/*/content", Literally(lone, media_type="application/octet-stream"), times=None
    )
    done = overlay("run", "r.jsonl", "-o", "out.jsonl", "--max-attempts", "1", *SOON)
    assert done.returncode == 1
    written = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [each["custom_id"] for each in written] == IN_ORDER
    assert [each["custom_id"] for each in written if each["error"] is None] == ["id-3"]
    assert {each["error"]["code"] for each in written if each["error"]} == {"missing"}
    assert "29 of them missing" in done.stderr


def test_running_again_pays_nothing(overlay, service, tmp_path):
    assert overlay("run", "r.jsonl", "-o", "out.jsonl", *SOON).returncode == 0
    (tmp_path / "copy.jsonl").write_bytes((tmp_path / "r.jsonl").read_bytes())
    first = (tmp_path / "out.jsonl").read_bytes()
    (tmp_path / "out.jsonl").unlink()
    done = overlay("run", "copy.jsonl", "-o", "out.jsonl", *SOON)
    assert done.returncode == 0
    assert "nothing is paid for twice" in done.stderr
    assert (tmp_path / "out.jsonl").read_bytes() == first
    assert (created(service), service.count("POST", "/files")) == (1, 1)
    assert overlay("run", "copy.jsonl", "-o", "out.jsonl", "--again", *SOON).returncode == 0
    assert created(service) == 2


def test_from_another_home_it_refuses_to_pay_again(overlay, service, tmp_path):
    assert overlay("run", "r.jsonl", "-o", "out.jsonl", *SOON).returncode == 0
    elsewhere = {"OVERLAY_HOME": str(tmp_path / "elsewhere")}
    refused = overlay("run", "r.jsonl", "-o", "again.jsonl", *SOON, **elsewhere)
    (batch,) = service.batches()
    assert refused.returncode == 4
    assert batch["id"] in refused.stderr
    home = (tmp_path / "home" / "id").read_text().strip()
    assert f"another machine or home folder (home folder {home})" in refused.stderr
    job_id = (tmp_path / "home" / "jobs").iterdir().__next__().name
    assert f"overlay jobs recover {job_id}" in refused.stderr
    assert overlay("jobs", "recover", job_id, **elsewhere).returncode == 0
    assert overlay("run", "r.jsonl", "-o", "again.jsonl", *SOON, **elsewhere).returncode == 0
    assert created(service) == 1
    assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "out.jsonl").read_bytes()


def test_a_service_without_a_list_is_served_with_a_warning(overlay, service):
    service.faults.add("GET /batches", Reject(404), times=None)
    done = overlay("run", "r.jsonl", "-o", "out.jsonl", *SOON)
    assert done.returncode == 0
    assert "warning: the service cannot list batches" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_half_way_it_can_be_gone_on_with(tmp_path, number):
    write_requests(
        tmp_path / "r.jsonl", (Request(f"id-{n}", {"model": "m", "messages": []}) for n in range(COUNT))
    )
    with Service(pace=Pace(in_progress=3600)) as service:
        overlay = CommandLine(tmp_path, service.base_url)
        with overlay.start("run", "r.jsonl", "-o", "out.jsonl", "--poll", "0.1") as process:
            lines_until(process.stderr, "created")
            until(lambda: service.batches()[0]["status"] == "in_progress")
            process.send_signal(number)
            _, said = process.communicate(timeout=20)
        assert process.returncode == 128 + number
        assert "Traceback" not in said
        assert [each["status"] for each in service.batches()] == ["in_progress"]
        assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "r.jsonl"]
        assert overlay("jobs", "results", overlay.json("jobs", "list")["id"]).returncode == 1
        command = said.partition("resume with: ")[2].strip()
        service.advance(3600)
        assert overlay.shell(command).returncode == 0
        assert created(service) == 1
    assert custom_ids((tmp_path / "out.jsonl").read_text()) == IN_ORDER


def test_out_of_time_it_says_how_to_go_on(tmp_path):
    write_requests(tmp_path / "r.jsonl", [Request("a", {"model": "m", "messages": []})])
    with Service(pace=Pace(in_progress=3600)) as service:
        done = CommandLine(tmp_path, service.base_url)(
            "run",
            "r.jsonl",
            "-o",
            "out.jsonl",
            "--timeout",
            "0.2",
            "--poll",
            "0.1",
            "--base-url",
            service.base_url,
        )
        assert done.returncode == 1
        assert f"overlay run r.jsonl -o out.jsonl --base-url {service.base_url}" in done.stderr


def test_an_expired_batch_gives_what_it_has(tmp_path):
    write_requests(
        tmp_path / "r.jsonl", (Request(f"id-{n}", {"model": "m", "messages": []}) for n in range(COUNT))
    )
    with Service(pace=Pace(in_progress=100 * 3600)) as service:
        overlay = CommandLine(tmp_path, service.base_url)
        words = ("run", "r.jsonl", "-o", "out.jsonl", "--poll", "0.1", "--max-attempts", "1")
        with overlay.start(*words) as process:
            lines_until(process.stderr, "created")
            until(lambda: service.batches()[0]["status"] == "in_progress")
            service.advance(25 * 3600)
            _, said = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "30 results" in said
    written = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [each["custom_id"] for each in written] == IN_ORDER
    assert "batch_expired" in {each["error"]["code"] for each in written if each["error"]}


def test_a_batch_that_the_service_will_not_create_is_an_error(overlay, tmp_path):
    done = overlay("run", "r.jsonl", "-o", "out.jsonl", "--completion-window", "99y")
    assert done.returncode == 3
    assert done.stderr.count("error: ") == 1
    assert not (tmp_path / "out.jsonl").exists()


def test_a_batch_that_the_service_finds_fault_with_exits_1(tmp_path):
    write_requests(
        tmp_path / "r.jsonl", (Request(f"id-{n}", {"model": "m", "messages": []}) for n in range(COUNT))
    )
    with Service(limits=Limits(max_requests=10)) as service:
        done = CommandLine(tmp_path, service.base_url)("run", "r.jsonl", "-o", "out.jsonl", *SOON)
    assert done.returncode == 1
    assert "failed, nothing ran" in done.stderr
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("run", "missing.jsonl", "-o", "out.jsonl"),
        ("run", "r.jsonl", "-o", "no/such/folder"),
        ("run", "r.jsonl", "-o", "."),
        ("run", "r.jsonl", "-o", "out.jsonl", "--metadata", "novalue"),
        ("run", "r.jsonl", "-o", "out.jsonl", "--metadata", "overlay=x"),
        ("run", "r.jsonl", "-o", "out.jsonl", "--timeout", "soon"),
        ("run", "r.jsonl", "-o", "out.jsonl", "--poll", "0"),
        ("run", "r.jsonl", "-o", "out.jsonl", "--endpiont", "/v1/embeddings"),
        ("run", "r.jsonl"),
        ("run", "r.jsonl", "-o", "out.jsonl", "--base-url", "http://example.com/v1"),
        ("run", "r.jsonl", "-o", "out.jsonl", "--token-file", "missing"),
        ("runn", "r.jsonl"),
    ],
)
def test_wrong_usage_exits_2_and_sends_nothing(overlay, service, words):
    done = overlay(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert "rror: " in done.stderr
    assert service.requests == []


def test_bad_lines_are_all_named_by_check(overlay, service, tmp_path):
    good = (tmp_path / "r.jsonl").read_bytes()
    (tmp_path / "bad.jsonl").write_bytes(good + good.split(b"\n")[0] + b"\n{nonsense\n")
    ran = overlay("run", "bad.jsonl", "-o", "out.jsonl", *SOON)
    assert ran.returncode == 2
    assert ran.stderr.count("\n") == 1
    assert "line 31" in ran.stderr
    assert "and 1 more" in ran.stderr
    checked = overlay("check", "bad.jsonl")
    assert checked.returncode == 2
    assert [line.partition(": line ")[2][:2] for line in checked.stdout.splitlines()] == ["31", "32"]
    assert "2 problems" in checked.stderr
    found = overlay.json("check", "bad.jsonl")
    assert (found["ok"], found["count"], [each["line"] for each in found["problems"]]) == (False, 2, [31, 32])
    assert service.requests == []


def test_a_field_that_no_specification_names_is_sent(overlay, service):
    ran = overlay("run", "r.jsonl", "-o", "out.jsonl", "--field", "priority=3", *SOON)
    assert ran.returncode != 0
    assert "priority" in ran.stderr  # the service knows no such field
    assert overlay("run", "r.jsonl", "-o", "out.jsonl", "--field", "priority", *SOON).returncode == 2


def test_check_shows_warnings_beside_errors(overlay, tmp_path):
    good = (tmp_path / "r.jsonl").read_text()
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "temperature": "x"}
    odd = json.dumps({"custom_id": "odd", "method": "POST", "url": "/v1/chat/completions", "body": body})
    (tmp_path / "bad.jsonl").write_text(f"{good}{odd}\n{{nonsense\n")
    checked = overlay("check", "bad.jsonl")
    assert "line 32" in checked.stdout
    assert "warning: bad.jsonl, line 31: body.temperature" in checked.stderr
    assert "1 problem\n" in checked.stderr
    found = overlay.json("check", "bad.jsonl")
    assert [each["line"] for each in found["problems"]] == [32]
    assert found["warnings"][-1]["line"] == 31
    strict = overlay.json("check", "bad.jsonl", "--strict")
    assert [each["line"] for each in strict["problems"]][-2:] == [31, 32]
    assert strict["count"] == len(strict["problems"]) == len(found["warnings"]) + 1


def test_check_tells_what_a_good_file_holds(overlay):
    found = overlay.json("check", "r.jsonl")
    assert (found["ok"], found["requests"], found["model"]) == (True, COUNT, "m")
    shown = overlay("check", "r.jsonl").stdout
    assert found["sha256"] in shown
    assert "/v1/chat/completions" in shown


def test_json_is_one_document_on_stdout(overlay, tmp_path):
    found = overlay.json("run", "r.jsonl", "-o", "out.jsonl", *SOON)
    job = found["job"]
    assert [job[name] for name in ("requests", "ok", "failed", "missing", "ended")] == [
        COUNT,
        COUNT,
        0,
        0,
        True,
    ]
    assert (tmp_path / found["output"]).exists()


def test_a_link_is_followed_and_a_device_is_not_replaced(overlay, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "out.jsonl").symlink_to(tmp_path / "real" / "file")
    assert overlay("run", "r.jsonl", "-o", "out.jsonl", *SOON).returncode == 0
    assert (tmp_path / "out.jsonl").is_symlink()
    assert len(custom_ids((tmp_path / "real" / "file").read_text())) == COUNT
    batch_id = json.loads(overlay("batches", "list", "--json").stdout)["id"]
    full = overlay("batches", "results", batch_id, "-o", "/dev/full")
    assert full.returncode == 2
    assert full.stderr == "error: /dev/full: No space left on device\n"
    assert overlay.shell("test -c /dev/full").returncode == 0


@pytest.mark.parametrize("how", ["by its name", "by a link", "by a hard link"])
def test_the_input_is_never_written_over(overlay, service, tmp_path, how):
    named = tmp_path / "r.jsonl"
    if how != "by its name":
        named = tmp_path / "out.jsonl"
        named.symlink_to("r.jsonl") if how == "by a link" else named.hardlink_to(tmp_path / "r.jsonl")
    before = (tmp_path / "r.jsonl").read_bytes()
    done = overlay("run", "r.jsonl", "-o", named.name, "--force", *SOON)
    assert done.returncode == 2
    assert "is the input itself" in done.stderr
    assert (tmp_path / "r.jsonl").read_bytes() == before
    assert service.requests == []


def test_somebody_elses_file_is_replaced_only_by_force(overlay, service, tmp_path):
    out = tmp_path / "out.jsonl"
    out.write_text("a year's work\n")
    done = overlay("run", "r.jsonl", "-o", "out.jsonl", *SOON)
    assert (done.returncode, created(service)) == (2, 0)
    assert "--force" in done.stderr
    assert out.read_text() == "a year's work\n"
    assert overlay("jobs", "list", "--json").stdout == ""
    assert overlay("run", "r.jsonl", "-o", "out.jsonl", "--force", *SOON).returncode == 0
    first = out.read_bytes()
    # What the job itself has written, it may write again, for as long as nobody has touched it.
    assert overlay("run", "r.jsonl", "-o", "out.jsonl", *SOON).returncode == 0
    job_id = overlay.json("jobs", "list")["id"]
    assert overlay("jobs", "results", job_id, "-o", "out.jsonl").returncode == 0
    assert out.read_bytes() == first
    with out.open("a") as file:
        file.write("a note of mine\n")
    for words in (("run", "r.jsonl"), ("jobs", "results", job_id)):
        done = overlay(*words, "-o", "out.jsonl")
        assert done.returncode == 2
        assert "is not as this job has written it" in done.stderr
    assert out.read_text().endswith("a note of mine\n")
    assert created(service) == 1


def test_other_outputs_are_not_replaced_either(overlay, service, tmp_path):
    assert overlay("run", "r.jsonl", "-o", "out.jsonl", *SOON).returncode == 0
    (batch,) = service.batches()
    (tmp_path / "mine").write_text("mine")
    for words in (("batches", "results", batch["id"]), ("files", "download", batch["output_file_id"])):
        done = overlay(*words, "-o", "mine")
        assert (done.returncode, "mine exists" in done.stderr) == (2, True)
        assert (tmp_path / "mine").read_text() == "mine"
        assert overlay(*words, "-o", "mine", "--force").returncode == 0
        assert len((tmp_path / "mine").read_text().splitlines()) == COUNT
        (tmp_path / "mine").write_text("mine")


def test_what_a_killed_command_was_writing_is_removed_by_the_next(overlay, service, tmp_path):
    assert overlay("run", "r.jsonl", "-o", "out.jsonl", *SOON).returncode == 0
    whole = (tmp_path / "out.jsonl").read_bytes()
    job_id = overlay.json("jobs", "list")["id"]
    killed = "import os\nos.replace = os.fsync = lambda *_: os.kill(os.getpid(), 9)\n" + OVERLAY[2]
    done = subprocess.run(
        [sys.executable, "-c", killed, "jobs", "results", job_id, "-o", "out.jsonl"],
        cwd=tmp_path,
        env=overlay.env,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    (left,) = tmp_path.glob(".*.part")
    assert left.stat().st_size == len(whole)
    mine = tmp_path / ".mine.part"
    mine.write_text("not theirs")
    assert overlay("jobs", "results", job_id, "-o", "out.jsonl").returncode == 0
    assert not left.exists()
    assert mine.exists()
    assert (tmp_path / "out.jsonl").read_bytes() == whole


def test_the_file_is_read_once_though_it_is_still_being_written(overlay, service, tmp_path):
    """The id is that of what is sent: run again with the file as it is then, it is another job."""
    lines = (tmp_path / "r.jsonl").read_bytes().splitlines(keepends=True)
    grows = tmp_path / "grows.jsonl"
    grows.write_bytes(b"".join(lines[:10]))
    writer = (
        "import overlay.jobs.preparing as p\n"
        "lines, counted = p.file_lines, []\n"
        "def growing(path, *rest):\n"
        "    counted.append(path)\n"
        "    yield from lines(path, *rest)\n"
        f"    open(path, 'ab').write({b''.join(lines[10:])!r})\n"
        "    print(len(counted))\n"
        "p.file_lines = growing\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", writer + OVERLAY[2], "run", "grows.jsonl", "-o", "out.jsonl", *SOON],
        cwd=tmp_path,
        env=overlay.env,
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "1\n"
    assert custom_ids((tmp_path / "out.jsonl").read_text()) == IN_ORDER[:10]
    grows.write_bytes(b"".join(lines[:10]))
    again = overlay("run", "grows.jsonl", "-o", "out.jsonl", *SOON)
    assert (again.returncode, created(service)) == (0, 1)
    assert "nothing is paid for twice" in again.stderr
