"""`overlay map` and `overlay embed`, as processes, against the embedded service."""

import json
import signal

import polars as pl
import pytest
from support.command_line import CommandLine, lines_until

from overlay.server import Pace, Service

SOON = ("--poll", "0.1")
SCHEMA = {
    "type": "object",
    "properties": {"friendly": {"type": "boolean"}, "topic": {"enum": ["price", "quality"]}},
}
ASK = ("--model", "m", "--prompt", "Friendly? {text}", "--schema", "review.schema.json", "--key", "review_id")
WRITTEN = [
    "review_id",
    "text",
    "friendly",
    "topic",
    "error_code",
    "error_message",
    "input_tokens",
    "output_tokens",
]


def answer(line):
    asked = line["body"]["messages"][-1]["content"]
    if asked.endswith("fail"):
        return 400, {"error": {"message": "no", "code": "nope"}}
    if asked.endswith("odd"):
        return {"choices": [{"message": {"content": "I'm sorry"}}]}
    text = json.dumps({"friendly": True, "topic": "price"})
    return {"choices": [{"message": {"content": text}}]}


@pytest.fixture
def service():
    with Service(answer) as service:
        yield service


@pytest.fixture
def overlay(tmp_path, service):
    (tmp_path / "review.schema.json").write_text(json.dumps(SCHEMA))
    pl.DataFrame({"review_id": ["007", "b"], "text": ["I loved it,\n🙂", "Never again."]}).write_csv(
        tmp_path / "reviews.csv"
    )
    return CommandLine(tmp_path, service.base_url)


def test_a_table_is_mapped_to_a_table(overlay, service, tmp_path):
    done = overlay("map", "reviews.csv", *ASK, "-o", "answers.parquet", *SOON)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert "answers.parquet: 2 rows, 2 ok, 0 failed" in done.stderr
    frame = pl.read_parquet(tmp_path / "answers.parquet")
    assert frame.columns == WRITTEN
    assert frame["review_id"].to_list() == ["007", "b"]
    assert frame["friendly"].to_list() == [True, True]
    again = overlay("map", "reviews.csv", *ASK, "-o", "answers.parquet", *SOON)
    assert again.returncode == 0
    assert "nothing is paid for twice" in again.stderr
    shown = overlay("map", "reviews.csv", *ASK, "-o", "-", *SOON)
    assert [json.loads(line)["topic"] for line in shown.stdout.splitlines()] == ["price"] * 2
    counts = overlay.json("map", "reviews.csv", *ASK, "-o", "answers.csv", *SOON)
    assert counts["rows"] == {"total": 2, "ok": 2, "failed": 0, "failed_by_code": {}}
    assert service.count("POST", "/batches") == 1


def test_rows_that_fail_exit_1(overlay, tmp_path):
    (tmp_path / "more.csv").write_text('review_id;text\n1;"good; really"\n2;fail\n')
    done = overlay("map", "more.csv", *ASK, "--csv", "delimiter=;", "-o", "out.jsonl", *SOON)
    assert done.returncode == 1
    assert "2 rows, 1 ok, 1 failed" in done.stderr
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["review_id"] for row in rows] == [1, 2]
    assert [row["error_code"] for row in rows] == [None, "nope"]
    assert rows[0]["text"] == "good; really"


def test_what_was_spared_and_what_does_not_fit_is_said_at_the_end(overlay, service, tmp_path):
    (tmp_path / "more.csv").write_text("review_id,text\n1,odd\n2,fail\n3,good\n4,good\n")
    done = overlay("map", "more.csv", *ASK, "--dedupe", "-o", "out.csv", *SOON)
    assert done.returncode == 1
    assert "out.csv: 4 rows, 2 ok, 2 failed" in done.stderr
    assert "not sent: 1 the same as others of the job" in done.stderr
    (misfit,) = [line for line in done.stderr.splitlines() if "do not fit" in line]
    (row,) = pl.read_csv(tmp_path / "out.csv").filter(pl.col("review_id") == 1).to_dicts()
    assert misfit.startswith(f"failed: 1 answers, {row['error_code']}: ")
    assert "failed: 1 nope, such as 2: no" in done.stderr


def test_texts_are_embedded(tmp_path):
    pl.DataFrame({"text": ["a", "b"]}).write_parquet(tmp_path / "texts.parquet")
    with Service() as service:
        overlay = CommandLine(tmp_path, service.base_url)
        words = ("embed", "texts.parquet", "--model", "m", "--column", "text", "--dimensions", "8")
        done = overlay(*words, "-o", "vectors.parquet", *SOON)
    assert done.returncode == 0, done.stderr
    assert pl.read_parquet(tmp_path / "vectors.parquet").schema["embedding"] == pl.Array(pl.Float32, 8)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_stopped_and_typed_again_it_goes_on(overlay, tmp_path, number):
    with Service(answer, pace=Pace(in_progress=3600)) as service:
        overlay = CommandLine(tmp_path, service.base_url)
        words = ("map", "reviews.csv", *ASK, "-o", "answers.parquet", *SOON)
        with overlay.start(*words) as process:
            lines_until(process.stderr, "created")
            process.send_signal(number)
            said = process.communicate(timeout=30)[1]
        if number == signal.SIGINT:
            assert process.returncode == 130
            assert "overlay map reviews.csv --model m --prompt 'Friendly? {text}'" in said
        assert not (tmp_path / "answers.parquet").exists()
        service.advance(3600)
        done = overlay(*words)
        assert done.returncode == 0, done.stderr
        assert service.count("POST", "/batches") == 1
    assert pl.read_parquet(tmp_path / "answers.parquet").height == 2


def test_what_cannot_work_is_said_in_a_sentence_and_nothing_is_sent(overlay, service, tmp_path):
    (tmp_path / "twice.csv").write_text("review_id,text\nx,a\ny,b\nx,c\n")
    (tmp_path / "taken.parquet").write_text("somebody's")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "r.csv").write_bytes((tmp_path / "reviews.csv").read_bytes())
    out = ("-o", "out.parquet")
    ask = (*ASK[:4], "--key", "review_id")
    for words, told in [
        (("map", "twice.csv", *ask, *out), "twice.csv, row 3: the key review_id is the same as in row 1"),
        (("map", "reviews.csv", *ask, "-o", "taken.parquet"), "taken.parquet exists"),
        (("map", "reviews.csv", *ask, "-o", "out.xlsx"), "--format"),
        (("map", "folder", *ask, "-o", "folder/out.csv"), "is in the folder that is read"),
        (("map", "reviews.csv", *ask, "--schema", "reviews.csv", *out), "not JSON"),
    ]:
        done = overlay(*words)
        assert done.returncode == 2, words
        assert told in done.stderr.replace("\n", " "), (words, done.stderr)
        assert not (tmp_path / "out.parquet").exists()
    assert service.requests == []
