"""The npm package `openai`: OpenAI and AzureOpenAI, run by node."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from questions import ANSWERED, REFUSAL, assert_all_answered, chat_lines, jsonl, texts_of

SCRIPT = Path(__file__).with_name("openai.cjs")


def run(*arguments):
    node = shutil.which("node")
    assert node, "node is not on the PATH, and the npm package openai needs it: install Node.js 20 or newer"
    done = subprocess.run(
        [node, SCRIPT, *arguments], env=os.environ, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


@pytest.mark.parametrize("kind", ["OpenAI", "AzureOpenAI"])
def test_every_question_is_answered(service, kind, tmp_path):
    path = tmp_path / "questions.jsonl"
    path.write_bytes(jsonl(chat_lines()))
    told = run(kind, path)
    batch, contents = told["batch"], told["contents"]
    assert (batch["status"], batch["metadata"]) == ("completed", {"made": "here"})
    assert batch["request_counts"] == {"total": 20, "completed": 19, "failed": 1}
    assert told["listed"] == [batch["id"]]
    texts = texts_of(contents["output_file_id"].encode())
    assert_all_answered([texts[f"q{number}"] for number in range(len(ANSWERED))])
    (refused,) = (json.loads(line) for line in contents["error_file_id"].splitlines())
    assert refused["response"]["body"]["error"]["message"] == REFUSAL
