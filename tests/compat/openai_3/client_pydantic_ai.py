"""pydantic-ai: agents whose requests go in batches, with a type for what they return."""

import asyncio
from datetime import timedelta

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, ModelHTTPError, NativeOutput, ToolOutput
from pydantic_ai.capabilities import BatchModelRequests
from pydantic_ai.models.openai import OpenAIResponsesModel
from questions import ANSWERED, MODEL, QUESTIONS, REFUSAL, REFUSED, assert_about, assert_all_answered


class Aspect(BaseModel):
    name: str
    praised: bool


class Review(BaseModel):
    stars: int
    summary: str
    aspects: list[Aspect]


def agent(**options):
    """An agent of the service, whose batches go when every question has been asked."""
    batching = BatchModelRequests(
        max_requests=len(QUESTIONS),
        max_wait=timedelta(seconds=0.2),
        poll_interval=timedelta(milliseconds=20),
        max_poll_interval=timedelta(milliseconds=50),
    )
    return Agent(OpenAIResponsesModel(MODEL), capabilities=[batching], **options)


def ask(agent, questions):
    async def run():
        return await asyncio.gather(*(agent.run(question) for question in questions), return_exceptions=True)

    return asyncio.run(run())


def test_every_question_is_answered(service):
    *answered, refused = ask(agent(), QUESTIONS)
    assert_all_answered([result.output for result in answered])
    assert isinstance(refused, ModelHTTPError)
    assert refused.status_code == 400
    assert REFUSAL in str(refused)
    (batch,) = service.batches()
    assert batch["request_counts"] == {"total": 20, "completed": 19, "failed": 1}
    assert batch["endpoint"] == "/v1/responses"


@pytest.mark.parametrize(
    "output", [Review, ToolOutput(Review), NativeOutput(Review)], ids=["default", "tool", "native"]
)
def test_answers_are_of_the_type_asked_for(service, output):
    results = ask(agent(output_type=output), ANSWERED)
    assert [type(result.output) for result in results] == [Review] * len(ANSWERED)
    for question, result in zip(ANSWERED, results, strict=True):
        assert_about(question, result.output.summary)
    (batch,) = service.batches()
    assert batch["request_counts"] == {"total": 19, "completed": 19, "failed": 0}


def test_a_refusal_shows_whatever_the_type(service):
    (refused,) = ask(agent(output_type=Review), [REFUSED])
    assert isinstance(refused, ModelHTTPError)
    assert REFUSAL in str(refused)
