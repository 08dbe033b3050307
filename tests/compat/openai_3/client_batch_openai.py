"""batch-openai: a builder, a job to wait for and results to join, in both ways of waiting."""

import asyncio

import pytest
from batch_openai import BatchRequestBuilder
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel
from questions import ANSWERED, QUESTIONS, REFUSAL, assert_about, assert_all_answered


class Review(BaseModel):
    stars: int
    summary: str


def builder(questions, **options):
    builder = BatchRequestBuilder()
    for question in questions:
        builder.add([{"role": "user", "content": question}], custom_id=question, **options)
    return builder


def wait(builder):
    with OpenAI(max_retries=0) as client:
        return builder.submit(client, description="compat").wait(poll_interval=0.02)


def wait_with_asyncio(builder):
    async def run():
        async with AsyncOpenAI(max_retries=0) as client:
            job = await builder.async_submit(client)
            return await job.await_completion(poll_interval=0.02)

    return asyncio.run(run())


@pytest.mark.parametrize("wait", [wait, wait_with_asyncio])
def test_every_question_is_answered(service, wait):
    results = wait(builder(QUESTIONS))
    joined = results.join(QUESTIONS, key=str)
    assert_all_answered([each.output.content for each in joined[:-1]])
    (refused,) = results.failed
    assert (refused.custom_id, refused.error["message"]) == (QUESTIONS[-1], REFUSAL)


def test_structured_answers_fit_their_schema(service):
    schema = Review.model_json_schema() | {"additionalProperties": False}
    form = {"type": "json_schema", "json_schema": {"name": "Review", "strict": True, "schema": schema}}
    results = wait(builder(ANSWERED, response_format=form))
    reviews = results.parse(Review)
    assert len(reviews) == len(ANSWERED)
    for item, review in zip(results.succeeded, reviews, strict=True):
        assert_about(item.custom_id, review.summary)
