"""Bodies: what a service refuses for certain is found before it is sent; what may be wrong is warned of."""

import json
from pathlib import Path

import pytest

from overlay.errors import ConfigurationError, InvalidInputError
from overlay.jobs.checking import check_job
from overlay.requests import schema_check
from overlay.requests.checks import InputCheck
from overlay.requests.request import Request, check_requests, write_requests
from overlay.services import Limits

CASES = [json.loads(line) for line in Path(__file__).with_name("line_cases.jsonl").read_text().splitlines()]
CHAT, RESPONSES, EMBEDDINGS = "/v1/chat/completions", "/v1/responses", "/v1/embeddings"
COMPLETIONS, MODERATIONS, IMAGES = "/v1/completions", "/v1/moderations", "/v1/images/generations"
EDITS, VIDEOS = "/v1/images/edits", "/v1/videos"
PICTURE = {"image_url": "https://example.com/a.png"}
ASK = [{"role": "user", "content": "hi"}]


def verdict(line, service="openai", *, bodies=True):
    """`error`, `warning` or `fine`, and all that is said."""
    check = InputCheck(service=service, bodies=bodies)
    check.feed(line if isinstance(line, bytes) else line.encode() + b"\n")
    said = "\n".join(each.reason for each in (*check.problems, *check.warnings))
    return "error" if check.count else "warning" if check.warned else "fine", said


@pytest.mark.parametrize("case", CASES, ids=[each["case"] for each in CASES])
def test_the_cases(case):
    service = "openai" if case["service"] == "openai" else "other"
    found, said = verdict(case["line"], service)
    assert found == case["verdict"], said
    for words in case["why"].split("; "):
        assert words in said


def of(url, **body):
    return Request("a", body, url=url).to_line()


def chat(**fields):
    return of(CHAT, **{"model": "m", "messages": ASK, **fields})


def asked(**fields):
    return of(RESPONSES, **{"model": "m", "input": "hi", **fields})


def strict(schema):
    return {"type": "json_schema", "json_schema": {"name": "r", "strict": True, "schema": schema}}


def thing(**fields):
    return {
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "required": ["a"],
        "additionalProperties": False,
        **fields,
    }


MISTAKES = {
    "a message that is text": (chat(messages="hi"), "body.messages"),
    "no messages": (of(CHAT, model="m"), '"messages" is a required property'),
    "an empty list of messages": (chat(messages=[]), "body.messages"),
    "a message without a role": (chat(messages=[{"content": "hi"}]), "role"),
    "a message without content": (chat(messages=[{"role": "user"}]), "content"),
    "a misspelt role": (
        chat(messages=[{"role": "sytem", "content": "hi"}]),
        'body.messages[0].role: "sytem"',
    ),
    "the second message": (chat(messages=[*ASK, {"role": "usr", "content": "x"}]), "body.messages[1].role"),
    "content that is a number": (chat(messages=[{"role": "user", "content": 3}]), "body.messages[0].content"),
    "a part of no known type": (
        chat(messages=[{"role": "user", "content": [{"type": "txt", "text": "x"}]}]),
        "body.messages[0].content[0].type",
    ),
    "an image without its address": (
        chat(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]),
        "url",
    ),
    "temperature as text": (chat(temperature="0.2"), "body.temperature"),
    "temperature too high": (chat(temperature=2.5), "body.temperature"),
    "top_p above one": (chat(top_p=1.5), "body.top_p"),
    "n as text": (chat(n="2"), "body.n"),
    "n of zero": (chat(n=0), "body.n"),
    "max_tokens as text": (chat(max_tokens="100"), "body.max_tokens"),
    "max_completion_tokens as a fraction": (chat(max_completion_tokens=10.5), "body.max_completion_tokens"),
    "seed as text": (chat(seed="7"), "body.seed"),
    "a stream": (chat(stream=True), "a batch cannot stream"),
    "logprobs as a number": (chat(logprobs=5), "body.logprobs"),
    "too many top_logprobs": (chat(top_logprobs=50), "body.top_logprobs"),
    "stop as an object": (chat(stop={"a": 1}), "body.stop"),
    "presence_penalty too high": (chat(presence_penalty=3), "body.presence_penalty"),
    "frequency_penalty as text": (chat(frequency_penalty="1"), "body.frequency_penalty"),
    "tools as an object": (chat(tools={"type": "function"}), "body.tools"),
    "a tool without its function": (chat(tools=[{"type": "function"}]), "function"),
    "a function without a name": (chat(tools=[{"type": "function", "function": {}}]), "name"),
    "tool_choice of no known word": (chat(tool_choice="always"), "body.tool_choice"),
    "response_format as text": (chat(response_format="json"), "body.response_format"),
    "response_format of no known type": (chat(response_format={"type": "jsn"}), "body.response_format.type"),
    "a schema without a name": (
        chat(response_format={"type": "json_schema", "json_schema": {"schema": thing()}}),
        "name",
    ),
    "a strict schema that is open": (
        chat(response_format=strict(thing(additionalProperties=True))),
        "additionalProperties",
    ),
    "a strict schema with an optional field": (chat(response_format=strict(thing(required=[]))), "lacks a"),
    "a strict schema inside": (
        chat(response_format=strict(thing(properties={"a": {"type": "object", "properties": {}}}))),
        'a: "additionalProperties"',
    ),
    "a strict schema that is a list": (chat(response_format=strict({"type": "array"})), "must be an object"),
    "a strict function": (
        chat(
            tools=[
                {
                    "type": "function",
                    "function": {"name": "f", "strict": True, "parameters": thing(required=[])},
                }
            ]
        ),
        "lacks a",
    ),
    "no model": (of(CHAT, messages=ASK), "model"),
    "an empty model": (chat(model=""), '"model"'),
    "a model that is a number": (chat(model=4), '"model" is not a string'),
    "metadata as text": (chat(metadata="x"), "body.metadata"),
    "modalities of no known word": (chat(modalities=["smell"]), "body.modalities"),
    "logit_bias as a list": (chat(logit_bias=[1]), "body.logit_bias"),
    "parallel_tool_calls as text": (chat(parallel_tool_calls="yes"), "body.parallel_tool_calls"),
    "a chat body for responses": (of(RESPONSES, model="m", messages=ASK), "input"),
    "input as a number": (asked(input=3), "body.input"),
    "max_output_tokens as text": (asked(max_output_tokens="100"), "body.max_output_tokens"),
    "a stream of responses": (asked(stream=True), "a batch cannot stream"),
    "a strict format that is open": (
        asked(
            text={
                "format": {"type": "json_schema", "name": "r", "strict": True, "schema": thing(required=[])}
            }
        ),
        "lacks a",
    ),
    "a strict function that is open": (
        asked(tools=[{"type": "function", "name": "f", "strict": True, "parameters": thing(required=[])}]),
        "lacks a",
    ),
    "instructions as a number": (asked(instructions=1), "body.instructions"),
    "nothing to embed": (of(EMBEDDINGS, model="m"), "input"),
    "embedding without a model": (of(EMBEDDINGS, input="x"), "model"),
    "dimensions of zero": (of(EMBEDDINGS, model="m", input="x", dimensions=0), "body.dimensions"),
    "an encoding of no known word": (
        of(EMBEDDINGS, model="m", input="x", encoding_format="hex"),
        "body.encoding_format",
    ),
    "an object to embed": (of(EMBEDDINGS, model="m", input={"text": "x"}), "body.input"),
    "a completion without a model": (of(COMPLETIONS, prompt="x"), "model"),
    "a prompt that is an object": (of(COMPLETIONS, model="m", prompt={"a": 1}), "body.prompt"),
    "nothing to moderate": (of(MODERATIONS, model="m"), "input"),
    "an image without a prompt": (of(IMAGES, model="m"), "prompt"),
    "too many images": (of(IMAGES, model="m", prompt="x", n=50), "body.n"),
    "an edit without a picture": (of(EDITS, model="m", prompt="x"), '"images" is a required property'),
    "a picture that is text": (of(EDITS, model="m", prompt="x", images=["a.png"]), "body.images[0]"),
    "more pictures than there can be": (of(EDITS, prompt="x", images=[PICTURE], n=11), "body.n"),
    "a film without a prompt": (of(VIDEOS, model="sora-2"), '"prompt" is a required property'),
    "a film of a length that there is none": (of(VIDEOS, prompt="x", seconds=5), "body.seconds"),
    "a film of a size that there is none": (of(VIDEOS, prompt="x", size="640x480"), "body.size"),
}


def test_there_are_sixty_and_more():
    assert len(MISTAKES) == 66


@pytest.mark.parametrize("mistake", MISTAKES)
def test_typical_mistakes_are_found_with_their_place(mistake):
    line, place = MISTAKES[mistake]
    found, said = verdict(line)
    assert found == "error", said
    assert place in said


@pytest.mark.parametrize("mistake", MISTAKES)
def test_elsewhere_they_are_warnings(mistake):
    line, _ = MISTAKES[mistake]
    found, _ = verdict(line, "other")
    assert found == ("error" if mistake == "a model that is a number" else "warning")


RIGHT = {
    "chat": chat(),
    "everything usual": chat(temperature=0, max_tokens=10, n=2, stop=["a"], seed=1, user="u", logprobs=True),
    "several parts": chat(
        messages=[
            {"role": "system", "content": "x"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "what is it?"},
                    {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
                ],
            },
        ]
    ),
    "tool calls": chat(
        messages=[
            *ASK,
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            },
            {"role": "tool", "tool_call_id": "c", "content": "3"},
        ],
        tools=[{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
        tool_choice={"type": "function", "function": {"name": "f"}},
    ),
    "structured": chat(response_format=strict(thing())),
    "a schema that is not strict": chat(
        response_format={"type": "json_schema", "json_schema": {"name": "r", "schema": {"type": "object"}}}
    ),
    "json_object": chat(response_format={"type": "json_object"}),
    "no stream": chat(stream=False),
    "responses": asked(max_output_tokens=16, instructions="short", temperature=0.5),
    "responses with messages": asked(input=ASK),
    "responses with a function": asked(
        tools=[{"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}]
    ),
    "responses of a stored prompt": of(RESPONSES, prompt={"id": "pmpt_1"}),
    "embeddings": of(EMBEDDINGS, model="m", input=["a", "b"], dimensions=256, encoding_format="base64"),
    "tokens to embed": of(EMBEDDINGS, model="m", input=[[1, 2], [3]]),
    "completions": of(COMPLETIONS, model="m", prompt=["a", "b"], max_tokens=3),
    "moderations": of(MODERATIONS, input="x"),
    "images": of(IMAGES, model="m", prompt="x", n=2, size="1024x1024"),
    "an edit": of(EDITS, model="m", prompt="x", images=[PICTURE, {"file_id": "file-1"}], n=2),
    "a film": of(VIDEOS, model="sora-2", prompt="x", seconds="8", size="1280x720"),
    "an endpoint that is new": of("/v1/something/new", anything=1),
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_is_fine(name):
    assert verdict(RIGHT[name]) == ("fine", "")


@pytest.mark.parametrize(
    ("field", "near"),
    [
        ("max_token", "did you mean max_tokens?"),
        ("temprature", "did you mean temperature?"),
        ("responseFormat", "did you mean response_format?"),
        ("top_k", "did you mean top_p?"),
        ("zzz", "not documented"),
    ],
)
def test_unknown_fields_are_warned_of_with_the_nearest(field, near):
    found, said = verdict(chat(**{field: 1}))
    assert found == "warning"
    assert f"body.{field}" in said
    assert near in said
    assert verdict(chat(**{field: 1}), "other") == ("fine", "")  # vLLM has fields of its own


def test_without_schemas_the_certain_rules_hold_all_the_same():
    assert verdict(chat(stream=True), bodies=False)[0] == "error"
    assert verdict(chat(temperature="hot"), bodies=False)[0] == "fine"


def test_whoever_writes_a_file_is_told_at_once(tmp_path):
    bad = Request("a", {"model": "m", "messages": "hi"})
    with pytest.raises(InvalidInputError, match=r"body\.messages"):
        write_requests(tmp_path / "in.jsonl", [bad], bodies=True)
    write_requests(tmp_path / "in.jsonl", [bad])
    with pytest.raises(InvalidInputError, match=r"body\.messages"):
        check_requests(tmp_path / "in.jsonl", bodies=True)
    summary = check_requests(tmp_path / "in.jsonl", bodies=True, service="other")
    assert summary.warned == 1
    assert summary.warnings[0].line == 1


def test_without_the_extra_it_is_said_how_to_get_it(monkeypatch):
    schema_check._endpoint.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "jsonschema_rs", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'openai-batch-overlay\[check\]'"):
        verdict(chat())


def test_a_job_takes_several_models_and_endpoints_and_says_into_how_many_batches(tmp_path):
    path = tmp_path / "in.jsonl"
    lines = [
        Request(f"c{number}", {"model": f"m{number % 2}", "messages": ASK}).to_line() for number in range(10)
    ]
    lines.append(Request("e", {"model": "e", "input": "x"}, url=EMBEDDINGS).to_line())
    path.write_bytes(b"".join(lines))
    found = check_job(path, limits=Limits(requests=2), bodies=True)
    assert (found.requests, found.batches) == (11, 7)
    assert found.models == ("m0", "m1", "e")
    assert found.endpoints == (CHAT, EMBEDDINGS)
    assert found.bytes == path.stat().st_size
    with pytest.raises(InvalidInputError):
        check_requests(path)


def test_a_duplicate_is_found_where_the_first_of_the_pair_has_another_problem(tmp_path):
    path = tmp_path / "in.jsonl"
    bad = Request("a", {"model": "m"}, method="GET").to_line()
    path.write_bytes(bad + chat())
    for check in (check_requests, check_job):
        with pytest.raises(InvalidInputError) as caught:
            check(path)
        assert [each.line for each in caught.value.problems] == [1, 2]
        assert "already used by" in caught.value.problems[1].reason
