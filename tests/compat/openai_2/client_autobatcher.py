"""autobatcher: calls of AsyncOpenAI's shape that go in batches: responses, chat and embeddings."""

import asyncio

import pytest
from autobatcher import BatchOpenAI
from questions import ANSWERED, KEY, MODEL, QUESTIONS, assert_all_answered


def ask(service, call, questions):
    """Ask all questions at once, in one batch."""

    async def run():
        client = BatchOpenAI(
            api_key=KEY,
            base_url=service.base_url,
            batch_size=len(questions),
            batch_window_seconds=0.2,
            poll_interval_seconds=0.02,
            completion_window="24h",
        )
        try:
            return await asyncio.gather(
                *(call(client, question) for question in questions), return_exceptions=True
            )
        finally:
            await client.close()

    answers = asyncio.run(run())
    assert len(service.batches()) == 1
    return answers


def respond(client, question):
    return client.responses.create(model=MODEL, input=question)


def chat(client, question):
    return client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": question}])


def embed(client, question):
    return client.embeddings.create(model="text-embedding-3-small", input=question)


@pytest.mark.parametrize(
    ("call", "text"),
    [(respond, lambda answer: answer.output_text), (chat, lambda answer: answer.choices[0].message.content)],
    ids=["responses", "chat"],
)
def test_every_question_is_answered(service, call, text):
    *answered, refused = ask(service, call, QUESTIONS)
    assert_all_answered([text(answer) for answer in answered])
    # It reads the output file only, and so knows of a refusal that there is no answer.
    assert "No result for request" in str(refused)


def test_every_question_is_embedded(service):
    answers = ask(service, embed, ANSWERED)
    vectors = [tuple(answer.data[0].embedding) for answer in answers]
    assert len(set(vectors)) == len(ANSWERED)
