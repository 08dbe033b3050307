"""langbatch: batches of chat and of embeddings, with a client of OpenAI's and of Azure's."""

import time

import jsonlines
import pytest
from langbatch.openai import OpenAIChatCompletionBatch, OpenAIEmbeddingBatch
from openai import AzureOpenAI, OpenAI
from questions import ANSWERED, AZURE_VERSION, KEY, MODEL, QUESTIONS, REFUSED, assert_all_answered


def client(kind, service):
    if kind is AzureOpenAI:
        return AzureOpenAI(
            azure_endpoint=service.azure_endpoint, api_key=KEY, api_version=AZURE_VERSION, max_retries=0
        )
    return OpenAI(max_retries=0)


def run(batch):
    batch.start()
    while (status := batch.get_status()) != "completed":
        assert status in {"validating", "in_progress", "finalizing"}
        time.sleep(0.02)


def question_of(batch):
    with jsonlines.open(batch._file) as lines:
        return {line["custom_id"]: line["body"]["messages"][0]["content"] for line in lines}


@pytest.mark.parametrize("kind", [OpenAI, AzureOpenAI])
def test_every_question_is_answered(service, kind):
    with client(kind, service) as api:
        batch = OpenAIChatCompletionBatch.create(
            [[{"role": "user", "content": question}] for question in QUESTIONS],
            request_kwargs={"model": MODEL},
            batch_kwargs={"client": api},
        )
        run(batch)
        succeeded, failed = batch.get_results()
        asked = question_of(batch)
        texts = {asked[each["custom_id"]]: each["choices"][0]["message"]["content"] for each in succeeded}
        assert_all_answered([texts.get(question) for question in ANSWERED])
        assert [asked[each["custom_id"]] for each in failed] == [REFUSED]
        (again,) = batch.get_unsuccessful_requests()
        assert again["body"]["messages"][0]["content"] == REFUSED


def test_every_question_is_embedded(service):
    with client(OpenAI, service) as api:
        batch = OpenAIEmbeddingBatch.create(
            ANSWERED, request_kwargs={"model": "text-embedding-3-small"}, batch_kwargs={"client": api}
        )
        run(batch)
        succeeded, failed = batch.get_results()
    assert failed == []
    assert len({tuple(each["embedding"]) for each in succeeded}) == len(ANSWERED)
