"""The echo's texts: how many, how long, and of which tokens."""

from itertools import pairwise

import pytest
from support.asking import BODIES, CHAT, COMPLETIONS, RESPONSES, asked


def answer(url, name):
    return asked(url, **BODIES[url][name])


def test_several_choices_and_what_they_cost():
    body = answer(CHAT, "several")
    assert [each["index"] for each in body["choices"]] == [0, 1, 2]
    usage = body["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (5, 12, 17)


@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize(
    ("most", "text", "reason"),
    [
        (1, "echo:", "length"),
        (3, "echo: who is", "length"),
        (4, "echo: who is it?", "stop"),
        (9, "echo: who is it?", "stop"),
    ],
)
def test_a_chat_is_cut_at_its_limit(limit, most, text, reason):
    body = asked(CHAT, **{limit: most})
    (choice,) = body["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == (text, reason)
    assert body["usage"]["completion_tokens"] == min(most, 4)


def test_a_response_is_cut_at_its_limit():
    body, whole = answer(RESPONSES, "cut"), answer(RESPONSES, "plain")
    assert body["output"][0]["content"][0]["text"] == "echo: who"
    assert body["incomplete_details"] == {"reason": "max_output_tokens"}
    assert (body["status"], body["output"][0]["status"], body["completed_at"]) == (*["incomplete"] * 2, None)
    assert body["usage"]["output_tokens"] == 2
    assert (whole["status"], whole["output"][0]["status"]) == ("completed", "completed")
    assert whole["completed_at"] >= whole["created_at"]


@pytest.mark.parametrize(
    ("stop", "text"),
    [("is", "echo: who "), (["it", "is"], "echo: who "), ("x", "echo: who is it?"), ("", "echo: who is it?")],
)
def test_a_text_stops(stop, text):
    assert asked(CHAT, stop=stop)["choices"][0]["message"]["content"] == text
    assert asked(COMPLETIONS, prompt="who is it?", stop=stop)["choices"][0]["text"] == text


def test_log_probabilities_make_up_the_text():
    for name, alternatives in (("logprobs", 0), ("top logprobs", 5), ("cut", 0)):
        for choice in answer(CHAT, name)["choices"]:
            found = choice["logprobs"]["content"]
            assert "".join(each["token"] for each in found) == choice["message"]["content"]
            assert {len(each["top_logprobs"]) for each in found} == {alternatives}
            for each in found:
                assert bytes(each["bytes"]).decode() == each["token"]
                top = [other["logprob"] for other in each["top_logprobs"]]
                assert all(better >= worse for better, worse in pairwise(top))
    (part,) = answer(RESPONSES, "logprobs")["output"][0]["content"]
    assert "".join(each["token"] for each in part["logprobs"]) == part["text"]
    assert {len(each["top_logprobs"]) for each in part["logprobs"]} == {3}


@pytest.mark.parametrize("text", ["", " ", "a", " a ", "a\n\nb ", "\u2003wide\u2003"])
def test_tokens_are_what_usage_counts(text):
    body = asked(CHAT, messages=[{"role": "user", "content": text}], logprobs=True)
    tokens = [each["token"] for each in body["choices"][0]["logprobs"]["content"]]
    assert "".join(tokens) == f"echo: {text}" == body["choices"][0]["message"]["content"]
    assert len(tokens) == body["usage"]["completion_tokens"]


def test_a_completion_for_every_prompt():
    body = answer(COMPLETIONS, "list")
    assert [(each["index"], each["text"]) for each in body["choices"]] == [
        (0, "echo: a"),
        (1, "echo: a"),
        (2, "echo: b c"),
        (3, "echo: b c"),
    ]
    assert (body["usage"]["prompt_tokens"], body["usage"]["completion_tokens"]) == (3, 10)
    (tokens,) = answer(COMPLETIONS, "tokens")["choices"]
    assert tokens["text"] == "echo: 1 2 3"
    several = answer(COMPLETIONS, "lists of tokens")
    assert [each["text"] for each in several["choices"]] == ["echo: 1 2", "echo: 3"]
    assert several["usage"]["prompt_tokens"] == 3


def test_log_probabilities_of_completions():
    first, _ = answer(COMPLETIONS, "lists of tokens")["choices"]
    found = first["logprobs"]
    assert found["tokens"] == ["echo:", " 1", " 2"]
    assert found["text_offset"] == [0, 5, 7]
    assert [len(each) for each in found["top_logprobs"]] == [2, 2, 2]
    assert len(found["token_logprobs"]) == 3
    (cut,) = answer(COMPLETIONS, "cut")["choices"]
    assert (cut["text"], cut["finish_reason"], cut["logprobs"]["top_logprobs"]) == ("echo: a", "length", None)
    (scored,) = answer(COMPLETIONS, "scored")["choices"]
    assert (scored["text"], scored["logprobs"]["tokens"]) == ("a b c", ["a", " b", " c"])
    assert answer(COMPLETIONS, "scored")["usage"]["completion_tokens"] == 0
