"""litellm: create_file, create_batch, retrieve_batch, file_content, of OpenAI's shape and of Azure's."""

import asyncio
import json
import time

import litellm
import pytest
from questions import ANSWERED, AZURE_VERSION, KEY, REFUSAL, assert_all_answered, chat_lines, jsonl, texts_of


def of(provider, service):
    """What every call is told about the service."""
    if provider == "azure":
        return {
            "custom_llm_provider": "azure",
            "api_base": service.azure_endpoint,
            "api_key": KEY,
            "api_version": AZURE_VERSION,
        }
    return {"custom_llm_provider": "openai", "api_base": service.base_url, "api_key": KEY}


@pytest.mark.parametrize("provider", ["openai", "azure"])
def test_every_question_is_answered(service, provider):
    where = of(provider, service)
    file = litellm.create_file(file=("questions.jsonl", jsonl(chat_lines())), purpose="batch", **where)
    batch = litellm.create_batch(
        completion_window="24h",
        endpoint="/v1/chat/completions",
        input_file_id=file.id,
        metadata={"made": "here"},
        **where,
    )
    while batch.status not in {"completed", "failed", "expired", "cancelled"}:
        time.sleep(0.02)
        batch = litellm.retrieve_batch(batch_id=batch.id, **where)
    assert batch.metadata == {"made": "here"}
    assert_right(batch, lambda id_: litellm.file_content(file_id=id_, **where).content)
    assert [each.id for each in litellm.list_batches(**where)] == [batch.id]


def test_every_question_is_answered_with_asyncio(service):
    async def run():
        where = of("openai", service)
        file = await litellm.acreate_file(
            file=("questions.jsonl", jsonl(chat_lines())), purpose="batch", **where
        )
        batch = await litellm.acreate_batch(
            completion_window="24h", endpoint="/v1/chat/completions", input_file_id=file.id, **where
        )
        while batch.status not in {"completed", "failed", "expired", "cancelled"}:
            await asyncio.sleep(0.02)
            batch = await litellm.aretrieve_batch(batch_id=batch.id, **where)
        ids = batch.output_file_id, batch.error_file_id
        contents = {id_: (await litellm.afile_content(file_id=id_, **where)).content for id_ in ids}
        assert_right(batch, contents.__getitem__)

    asyncio.run(run())


def assert_right(batch, content):
    counts = batch.request_counts
    assert (batch.status, counts.total, counts.completed, counts.failed) == ("completed", 20, 19, 1)
    texts = texts_of(content(batch.output_file_id))
    assert_all_answered([texts[f"q{number}"] for number in range(len(ANSWERED))])
    (refused,) = map(json.loads, content(batch.error_file_id).splitlines())
    assert refused["response"]["body"]["error"]["message"] == REFUSAL


@pytest.mark.parametrize("name", ["openai", "litellm", "groq", "deepinfra"])
def test_services_that_document_it_are_used_by_it(speaking, name):
    service = speaking(name)
    where = {"custom_llm_provider": "openai", "api_base": service.base_url, "api_key": KEY}
    file = litellm.create_file(file=("questions.jsonl", jsonl(chat_lines())), purpose="batch", **where)
    made = litellm.create_batch(
        completion_window="24h", endpoint="/v1/chat/completions", input_file_id=file.id, **where
    )
    batch = made
    while batch.status not in {"completed", "failed", "expired", "cancelled"}:
        time.sleep(0.02)
        batch = litellm.retrieve_batch(batch_id=made.id, **where)
    assert_right(batch, lambda id_: litellm.file_content(file_id=id_, **where).content)
