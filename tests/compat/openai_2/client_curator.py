"""curator: a data set of prompts to a data set of answers, plain and typed, at OpenAI's paths and at Azure's."""

import pytest
from bespokelabs import curator
from pydantic import BaseModel
from questions import ANSWERED, KEY, MODEL, QUESTIONS, REFUSED, assert_about, assert_all_answered


class Aspect(BaseModel):
    name: str
    praised: bool


class Review(BaseModel):
    stars: int
    summary: str
    aspects: list[Aspect]


class Plain(curator.LLM):
    def prompt(self, row):
        return row["question"]

    def parse(self, row, response):
        return {"question": row["question"], "answer": response}


class Typed(Plain):
    response_format = Review

    def parse(self, row, response):
        return {"question": row["question"], "answer": response.model_dump_json()}


def ask(kind, service, folder, questions, backend="openai", **options):
    base = service.base_url
    if backend == "azure":
        base = f"{service.azure_endpoint}/openai/v1/"
        options["azure_deployment"] = "my-deployment"
    params = {"base_url": base, "api_key": KEY, "batch_check_interval": 1, "max_retries": 2, **options}
    llm = kind(model_name=MODEL, batch=True, backend=backend, backend_params=params)
    return llm([{"question": each} for each in questions], working_dir=str(folder)).dataset


@pytest.mark.parametrize("backend", ["openai", "azure"])
def test_every_question_is_answered(service, backend, tmp_path):
    rows = ask(Plain, service, tmp_path, QUESTIONS, backend, require_all_responses=False)
    answers = {row["question"]: row["answer"] for row in rows}
    # What was refused is left out, once it has been asked for as often as was wanted.
    assert answers.keys() == set(ANSWERED)
    assert_all_answered([answers[question] for question in ANSWERED])


def test_every_question_has_a_typed_answer(service, tmp_path):
    rows = ask(Typed, service, tmp_path, ANSWERED)
    assert {row["question"] for row in rows} == set(ANSWERED)
    for row in rows:
        assert_about(row["question"], Review.model_validate_json(row["answer"], strict=True).summary)


def test_a_refusal_shows_where_all_answers_are_wanted(service, tmp_path):
    with pytest.raises(ValueError, match="Some requests do not have responses"):
        ask(Plain, service, tmp_path, [ANSWERED[0], REFUSED])
