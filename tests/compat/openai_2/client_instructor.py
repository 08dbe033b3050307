"""instructor: its BatchProcessor, from a file and from memory, to typed results."""

import time

import pytest
from instructor.batch import BatchProcessor
from pydantic import BaseModel
from questions import ANSWERED, MODEL, QUESTIONS, assert_about


class Aspect(BaseModel):
    name: str
    praised: bool


class Review(BaseModel):
    stars: int
    summary: str
    aspects: list[Aspect]


@pytest.mark.parametrize("source", ["file", "memory"])
def test_every_question_has_a_typed_answer(service, source, tmp_path):
    processor = BatchProcessor(f"openai/{MODEL}", Review)
    lines = processor.create_batch_from_messages(
        [[{"role": "user", "content": question}] for question in QUESTIONS],
        file_path=str(tmp_path / "reviews.jsonl") if source == "file" else None,
    )
    batch_id = processor.submit_batch(lines)
    while (status := processor.get_batch_status(batch_id))["status"] != "completed":
        assert status["status"] in {"validating", "in_progress", "finalizing"}
        time.sleep(0.02)
    assert status["request_counts"] == {"total": 20, "completed": 19, "failed": 1}
    results = processor.get_results(batch_id, file_path=str(tmp_path / "results.jsonl"))
    assert [result.success for result in results] == [True] * len(ANSWERED), results
    reviews = {result.custom_id: result.result for result in results}
    for number, question in enumerate(ANSWERED):
        assert_about(question, reviews[f"request-{number}"].summary)
    (listed,) = processor.list_batches()
    assert (listed.id, listed.raw_status) == (batch_id, "completed")


def test_a_batch_refused_whole_says_so(service):
    processor = BatchProcessor(f"openai/{MODEL}", Review)
    lines = processor.create_batch_from_messages([[{"role": "user", "content": QUESTIONS[-1]}]])
    batch_id = processor.submit_batch(lines)
    while processor.get_batch_status(batch_id)["status"] != "completed":
        time.sleep(0.02)
    with pytest.raises(Exception, match="All 1 batch requests failed"):
        processor.get_results(batch_id)
