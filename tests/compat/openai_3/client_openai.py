"""The official package: OpenAI and AzureOpenAI, each with and without asyncio."""

import asyncio
import json
import time

import openai
import pytest
from pydantic import BaseModel
from questions import (
    ANSWERED,
    AZURE_VERSION,
    KEY,
    QUESTIONS,
    REFUSAL,
    assert_about,
    assert_all_answered,
    chat_lines,
    jsonl,
    texts_of,
)


class Review(BaseModel):
    stars: int
    summary: str


def clients(kind, service):
    """A client of the service as each of the package's classes is made."""
    if kind in {openai.AzureOpenAI, openai.AsyncAzureOpenAI}:
        return kind(
            azure_endpoint=service.azure_endpoint, api_key=KEY, api_version=AZURE_VERSION, max_retries=0
        )
    return kind(max_retries=0)


@pytest.mark.parametrize("kind", [openai.OpenAI, openai.AzureOpenAI])
def test_every_question_is_answered(service, kind):
    with clients(kind, service) as client:
        file = client.files.create(file=("questions.jsonl", jsonl(chat_lines())), purpose="batch")
        file = client.files.wait_for_processing(file.id, poll_interval=0.02)
        batch = client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        while batch.status not in {"completed", "failed", "expired", "cancelled"}:
            time.sleep(0.02)
            batch = client.batches.retrieve(batch.id)
        assert_right(batch, lambda id_: client.files.content(id_).content)
        assert [each.id for each in client.batches.list()] == [batch.id]


@pytest.mark.parametrize("kind", [openai.AsyncOpenAI, openai.AsyncAzureOpenAI])
def test_every_question_is_answered_with_asyncio(service, kind):
    async def run():
        async with clients(kind, service) as client:
            file = await client.files.create(file=("questions.jsonl", jsonl(chat_lines())), purpose="batch")
            batch = await client.batches.create(
                input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
            )
            while batch.status not in {"completed", "failed", "expired", "cancelled"}:
                await asyncio.sleep(0.02)
                batch = await client.batches.retrieve(batch.id)
            ids = batch.output_file_id, batch.error_file_id
            contents = {id_: (await client.files.content(id_)).content for id_ in ids}
            assert_right(batch, contents.__getitem__)

    asyncio.run(run())


def assert_right(batch, content):
    counts = batch.request_counts
    assert (batch.status, counts.total, counts.completed, counts.failed) == ("completed", 20, 19, 1)
    texts = texts_of(content(batch.output_file_id))
    assert_all_answered([texts[f"q{number}"] for number in range(len(ANSWERED))])
    (refused,) = map(json.loads, content(batch.error_file_id).splitlines())
    assert refused["custom_id"] == f"q{len(QUESTIONS) - 1}"
    assert refused["response"]["status_code"] == 400
    assert refused["response"]["body"]["error"]["message"] == REFUSAL


def test_azure_knows_endpoints_without_the_version(service):
    lines = [line | {"url": "/chat/completions"} for line in chat_lines(ANSWERED)]
    with clients(openai.AzureOpenAI, service) as client:
        file = client.files.create(file=("questions.jsonl", jsonl(lines)), purpose="batch")
        batch = client.batches.create(
            input_file_id=file.id, endpoint="/chat/completions", completion_window="24h"
        )
        while batch.status != "completed":
            assert batch.status in {"validating", "in_progress", "finalizing"}, batch.errors
            time.sleep(0.02)
            batch = client.batches.retrieve(batch.id)
        texts = texts_of(client.files.content(batch.output_file_id).content)
    assert_all_answered([texts[f"q{number}"] for number in range(len(ANSWERED))])


def test_structured_answers_fit_their_schema(service):
    schema = openai.lib._pydantic.to_strict_json_schema(Review)
    form = {"type": "json_schema", "json_schema": {"name": "Review", "strict": True, "schema": schema}}
    with clients(openai.OpenAI, service) as client:
        file = client.files.create(
            file=("reviews.jsonl", jsonl(chat_lines(ANSWERED, response_format=form))), purpose="batch"
        )
        batch = client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        while batch.status != "completed":
            assert batch.status in {"validating", "in_progress", "finalizing"}, batch.errors
            time.sleep(0.02)
            batch = client.batches.retrieve(batch.id)
        texts = texts_of(client.files.content(batch.output_file_id).content)
    assert len(texts) == len(ANSWERED)
    for number, question in enumerate(ANSWERED):
        assert_about(question, Review.model_validate_json(texts[f"q{number}"], strict=True).summary)


def test_a_large_file_goes_up_in_parts(service):
    content = jsonl(chat_lines(ANSWERED * 200))
    with clients(openai.OpenAI, service) as client:
        upload = client.uploads.upload_file_chunked(
            file=content,
            filename="large.jsonl",
            bytes=len(content),
            mime_type="application/jsonl",
            purpose="batch",
            part_size=1 << 16,
        )
        assert upload.status == "completed"
        assert client.files.content(upload.file.id).content == content
        assert client.files.retrieve(upload.file.id).bytes == len(content)


def test_models_are_listed(service):
    with clients(openai.OpenAI, service) as client:
        ids = [model.id for model in client.models.list()]
        assert ids
        assert client.models.retrieve(ids[0]).id == ids[0]


@pytest.mark.parametrize(
    "name",
    ["openai", "groq", "nebius", "doubleword", "dashscope", "parasail", "deepinfra", "ovh", "ogx", "litellm"],
)
def test_services_that_document_it_are_used_by_it(speaking, name):
    service = speaking(name)
    window = "48h" if name == "ovh" else "24h"
    with openai.OpenAI(base_url=service.base_url, api_key=KEY, max_retries=0) as client:
        file = client.files.create(file=("questions.jsonl", jsonl(chat_lines())), purpose="batch")
        made = client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window=window
        )
        batch = made
        while batch.status not in {"completed", "failed", "expired", "cancelled"}:
            time.sleep(0.02)
            batch = client.batches.retrieve(made.id)
        assert_right(batch, lambda id_: client.files.content(id_).content)
        assert [each.id for each in client.batches.list()] == [made.id]


def test_azure_takes_a_file_in_before_it_is_used(speaking):
    with openai.AzureOpenAI(
        azure_endpoint=speaking("azure").azure_endpoint, api_key=KEY, api_version=AZURE_VERSION, max_retries=0
    ) as client:
        file = client.files.create(file=("questions.jsonl", jsonl(chat_lines())), purpose="batch")
        assert file.status == "pending"
        asked = {"input_file_id": file.id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
        with pytest.raises(openai.BadRequestError, match="pending"):
            client.batches.create(**asked)
        file = client.files.wait_for_processing(file.id, poll_interval=0.02)
        batch = client.batches.create(**asked)
        while batch.status not in {"completed", "failed", "expired", "cancelled"}:
            time.sleep(0.02)
            batch = client.batches.retrieve(batch.id)
        assert_right(batch, lambda id_: client.files.content(id_).content)
