"""Airflow's provider for OpenAI: its hook and its trigger, called as a worker and a triggerer call them."""

import asyncio
import json

import pytest
from airflow.providers.openai.exceptions import OpenAIBatchJobException
from airflow.providers.openai.hooks.openai import OpenAIHook
from airflow.providers.openai.triggers.openai import OpenAIBatchTrigger
from questions import ANSWERED, KEY, REFUSAL, assert_all_answered, chat_lines, jsonl, texts_of


@pytest.fixture
def hook(service, monkeypatch):
    connection = {"conn_type": "openai", "password": KEY, "host": service.base_url}
    monkeypatch.setenv("AIRFLOW_CONN_OPENAI_DEFAULT", json.dumps(connection))
    return OpenAIHook()


@pytest.fixture
def created(hook, tmp_path):
    """Creates the batch of a file of lines."""

    def create(lines):
        path = tmp_path / "questions.jsonl"
        path.write_bytes(jsonl(lines))
        file = hook.upload_file(str(path), purpose="batch")
        return hook.create_batch(file.id, endpoint="/v1/chat/completions", metadata={"dag": "compat"})

    return create


def events(batch_id):
    """What the trigger tells the task."""
    trigger = OpenAIBatchTrigger("openai_default", batch_id, poll_interval=0.02, timeout=60)

    async def run():
        return [event.payload async for event in trigger.run()]

    return asyncio.run(run())


def test_the_connection_is_good(hook):
    assert hook.test_connection() == (True, "Connection established!")


def test_the_hook_waits_and_every_question_is_answered(hook, created):
    batch = created(chat_lines())
    hook.wait_for_batch(batch.id, wait_seconds=0.02, timeout=60)
    assert_right(hook, batch.id)


def test_the_trigger_tells_when_every_question_is_answered(hook, created):
    batch = created(chat_lines())
    (event,) = events(batch.id)
    assert (event["status"], event["batch_id"]) == ("success", batch.id)
    assert_right(hook, batch.id)


def assert_right(hook, batch_id):
    batch = hook.get_batch(batch_id)
    assert batch.metadata == {"dag": "compat"}
    texts = texts_of(hook.conn.files.content(batch.output_file_id).content)
    assert_all_answered([texts[f"q{number}"] for number in range(len(ANSWERED))])
    (refused,) = map(json.loads, hook.conn.files.content(batch.error_file_id).content.splitlines())
    assert refused["response"]["body"]["error"]["message"] == REFUSAL


def test_a_batch_that_fails_validation_shows(hook, created):
    twice = [chat_lines()[0]] * 2
    batch = created(twice)
    (event,) = events(batch.id)
    assert (event["status"], event["termination_reason"]) == ("error", "failed")
    with pytest.raises(OpenAIBatchJobException, match="Batch failed"):
        hook.wait_for_batch(batch.id, wait_seconds=0.02, timeout=60)
