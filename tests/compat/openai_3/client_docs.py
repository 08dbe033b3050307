"""What docs/how-to/migrate.md says of litellm and pydantic-ai: each block as it stands there."""

import asyncio
import time

from support.pages import DOCS, blocks

from overlay import Request, write_requests

BLOCKS = blocks((DOCS / "how-to" / "migrate.md").read_text())
MODEL = "gpt-4o-mini"


def block_of(package):
    (block,) = (
        each.text for each in BLOCKS if f"import {package}" in each.text or f"from {package}" in each.text
    )
    return block


def run(text):
    code = {"__name__": "page"}
    exec(compile(text, "migrate.md", "exec"), code)
    return code


def test_litellm(service, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_requests("requests.jsonl", [Request.chat("a", model=MODEL, prompt="Friendly? I loved it.")])
    sleep = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: sleep(min(seconds, 0.02)))
    code = run(block_of("litellm"))
    assert b'"custom_id":"a"' in code["content"].replace(b" ", b"")


def test_pydantic_ai(service):
    quick = "BatchModelRequests(max_wait=timedelta(seconds=0.2), poll_interval=timedelta(milliseconds=20))"
    text = block_of("pydantic_ai").replace("BatchModelRequests()", quick)
    code = run(f"from datetime import timedelta\n{text}")
    answers = asyncio.run(code["ask"](["I loved it.", "Never again."]))
    assert [type(each).__name__ for each in answers] == ["Review", "Review"]
    assert len(service.batches()) == 1
