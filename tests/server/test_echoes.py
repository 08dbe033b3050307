"""The echo has the shape of each endpoint: the official client's types take every answer, strictly, and what a
request asks of its answer is in it."""

import base64
import json
import math
import struct
import zlib
from collections import defaultdict

import msgspec
import openai.types as official
import pytest
from hypothesis import given, settings, strategies as st
from openai._models import validate_type
from openai.types.chat import ChatCompletion
from openai.types.responses import Response
from pydantic import BaseModel
from support.asking import (
    BODIES,
    CHAT,
    COMPLETIONS,
    EDITS,
    EMBEDDINGS,
    IMAGE_INPUT,
    IMAGES,
    MODERATIONS,
    RESPONSES,
    USUAL,
    VIDEOS,
    asked,
)
from support.service_http import http_to, results, run

from overlay.server import Service, echo

TYPES = {
    CHAT: ChatCompletion,
    RESPONSES: Response,
    COMPLETIONS: official.Completion,
    EMBEDDINGS: official.CreateEmbeddingResponse,
    MODERATIONS: official.ModerationCreateResponse,
    IMAGES: official.ImagesResponse,
    EDITS: official.ImagesResponse,
    VIDEOS: official.Video,
}
CASES = [(url, name) for url, bodies in BODIES.items() for name in bodies]


@pytest.fixture(scope="module")
def answers():
    """What each body of the table is answered with, through batches of a service."""
    found = defaultdict(dict)
    with Service() as service, http_to(service) as http:
        for url, bodies in BODIES.items():
            lines = [
                {
                    "custom_id": name,
                    "method": "POST",
                    "url": url,
                    "body": {"model": "gpt-4o-mini", **USUAL.get(url, {}), **body},
                }
                for name, body in bodies.items()
            ]
            batch = run(http, lines, endpoint=url)
            assert batch["request_counts"] == {"total": len(lines), "completed": len(lines), "failed": 0}
            for name, line in results(http, batch["output_file_id"]).items():
                found[url][name] = line["response"]["body"]
    return found


def unknown(value):
    """Fields that the official types do not have, however deep."""
    if isinstance(value, BaseModel):
        yield from value.model_extra or ()
        for name in type(value).model_fields:
            yield from unknown(getattr(value, name))
    elif isinstance(value, list):
        for each in value:
            yield from unknown(each)


@pytest.mark.parametrize(("url", "name"), CASES)
def test_the_official_types_take_every_answer_strictly(answers, url, name):
    body = answers[url][name]
    # What the client does with `_strict_response_validation`; and stricter still, with nothing coerced.
    validate_type(type_=TYPES[url], value=body)
    answer = TYPES[url].model_validate_json(json.dumps(body), strict=True)
    assert set(unknown(answer)) <= {"store"}  # which the API has, and the types have not
    if url not in {IMAGES, EDITS}:
        assert body["model"] == "gpt-4o-mini-2024-07-18"


@pytest.mark.parametrize("name", BODIES[RESPONSES])
def test_a_response_has_every_field(answers, name):
    body = answers[RESPONSES][name]
    assert body.keys() == Response.model_fields.keys() | {"store"}
    assert body["usage"]["input_tokens_details"] == {"cached_tokens": 0, "cache_write_tokens": 0}


def test_a_response_repeats_its_request(answers):
    sent, body = BODIES[RESPONSES]["everything"], answers[RESPONSES]["everything"]
    changed = {
        "conversation": {"id": "conv_1"},
        "prompt_cache_options": {"mode": "explicit", "ttl": "30m"},
        "reasoning": {"effort": "low", "summary": None},
        "service_tier": "default",
    }
    assert {name: body[name] for name in sent} == sent | changed
    tools = answers[RESPONSES]["tools"]["tools"]
    assert [each.get("strict") for each in tools] == [None, None, True, False]
    assert body["text"] == {"format": {"type": "text"}, "verbosity": "medium"}
    json_object = answers[RESPONSES]["json_object"]["text"]
    assert json_object == {"format": {"type": "json_object"}, "verbosity": "low"}


def test_every_answer_says_that_it_is_an_echo(answers):
    texts = [choice["message"]["content"] for choice in answers[CHAT]["several"]["choices"]]
    texts += [answers[RESPONSES][name]["output"][0]["content"][0]["text"] for name in ("plain", "items")]
    assert set(texts) == {"echo: who is it?"}
    assert answers[CHAT]["parts"]["choices"][0]["message"]["content"] == "echo: a cat"
    assert answers[RESPONSES]["parts"]["output"][0]["content"][0]["text"] == "echo: a cat"
    assert answers[COMPLETIONS]["plain"]["choices"][0]["text"] == "echo: who is it?"
    assert answers[VIDEOS]["plain"]["prompt"] == "echo: a cat"
    assert {each["revised_prompt"] for each in answers[IMAGES]["several"]["data"]} == {"echo: a cat"}
    for url in (CHAT, COMPLETIONS):
        assert {body["system_fingerprint"] for body in answers[url].values()} == {"fp_echo"}


@pytest.mark.parametrize(
    ("model", "dimensions", "size"),
    [("m", None, 8), ("text-embedding-3-small", None, 1536), ("text-embedding-3-large", 256, 256)],
)
def test_embeddings_are_as_long_as_asked_and_as_text_the_same(model, dimensions, size):
    options = {"dimensions": dimensions} if dimensions else {}
    body = asked(EMBEDDINGS, model=model, input=["a", "b", "a"], **options)
    first, second, third = [each["embedding"] for each in body["data"]]
    assert [each["index"] for each in body["data"]] == [0, 1, 2]
    assert len(first) == size
    assert first == third != second
    assert math.hypot(*first) == pytest.approx(1, abs=1e-5)
    text = asked(EMBEDDINGS, model=model, input="a", encoding_format="base64", **options)["data"][0][
        "embedding"
    ]
    assert struct.unpack(f"<{size}f", base64.b64decode(text)) == pytest.approx(first, abs=1e-7)
    assert body["usage"] == {"prompt_tokens": 3, "total_tokens": 3}


def test_moderations_look_at_texts_and_pictures(answers):
    assert [len(answers[MODERATIONS][name]["results"]) for name in ("plain", "list", "parts")] == [1, 2, 1]
    (text,) = answers[MODERATIONS]["plain"]["results"]
    assert {tuple(each) for each in text["category_applied_input_types"].values()} == {("text",)}
    (both,) = answers[MODERATIONS]["parts"]["results"]
    assert both["category_applied_input_types"]["violence"] == ["text", "image"]
    assert both["category_applied_input_types"]["hate"] == ["text"]
    (picture,) = asked(MODERATIONS, input=IMAGE_INPUT[1:])["results"]
    assert picture["category_applied_input_types"]["hate"] == []
    fields = official.Moderation.model_fields["categories"].annotation.model_fields
    assert text["categories"].keys() == {field.alias or name for name, field in fields.items()}


def test_pictures_are_real(answers):
    body = answers[IMAGES]["several"]
    assert (len(body["data"]), body["size"], body["output_format"]) == (2, "1536x1024", "png")
    picture = base64.b64decode(body["data"][0]["b64_json"])
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    chunks, rest = {}, picture[8:]
    while rest:
        length = int.from_bytes(rest[:4], "big")
        kind, content, check = rest[4:8], rest[8 : 8 + length], rest[8 + length : 12 + length]
        assert int.from_bytes(check, "big") == zlib.crc32(kind + content)
        chunks[kind], rest = content, rest[12 + length :]
    assert list(chunks) == [b"IHDR", b"tEXt", b"IDAT", b"IEND"]
    assert struct.unpack(">IIBBBBB", chunks[b"IHDR"]) == (1536, 1024, 1, 0, 0, 0, 0)
    assert len(zlib.decompress(chunks[b"IDAT"])) == 1024 * (1 + 1536 // 8)
    assert b"echo" in chunks[b"tEXt"]
    assert len(picture) < 1000
    (url,) = answers[IMAGES]["url"]["data"]
    assert url["url"].startswith("https://images.echo.invalid/")
    assert "b64_json" not in url
    assert "url" in asked(IMAGES, model="dall-e-3", prompt="x")["data"][0]


def test_a_video_is_a_job_that_has_ended(answers):
    body = answers[VIDEOS]["longer"]
    assert (body["status"], body["progress"], body["seconds"], body["size"]) == (
        "completed",
        100,
        "12",
        "1280x720",
    )


@pytest.mark.parametrize(
    ("model", "answered"),
    [("gpt-4o", "gpt-4o-2024-08-06"), ("gpt-4o-2024-05-13", "gpt-4o-2024-05-13"), ("mine", "mine")],
)
def test_the_model_is_a_dated_one(model, answered):
    for url in (CHAT, RESPONSES, COMPLETIONS, EMBEDDINGS, MODERATIONS, VIDEOS):
        assert asked(url, model=model, input="x")["model"] == answered


def test_another_endpoint_has_no_echo():
    status, body = echo({"url": "/v1/audio/speech", "body": {}})
    assert (status, body["error"]["param"]) == (400, "url")


# Of what a body may hold, and what it may not.
WORDS = st.sampled_from(["required", "function", "custom", "allowed_tools", "json_schema", "user", "text"])
NAMES = st.sampled_from(
    ["type", "role", "content", "function", "name", "schema", "parameters", "tools", "mode"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 9) | st.floats(allow_nan=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=10,
)
FIELDS = sorted({name for bodies in BODIES.values() for body in bodies.values() for name in body} | {"input"})


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([*BODIES]), st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=5))
def test_a_body_that_makes_no_sense_is_answered_or_refused(url, body):
    reply = echo({"url": url, "body": {**body, "model": "m"}})
    if isinstance(reply, tuple):
        status, refusal = reply
        assert (status, refusal["error"]["type"]) == (400, "invalid_request_error")
    else:
        assert json.loads(msgspec.json.encode(reply))


@pytest.mark.parametrize("url", sorted(BODIES))
@pytest.mark.parametrize("model", [["m"], {"m": 1}, 7, True])
def test_a_model_that_is_no_name_is_refused(url, model):
    status, body = echo({"custom_id": "x", "url": url, "body": {"model": model}})
    assert (status, body["error"]["param"], body["error"]["code"]) == (400, "model", "invalid_type")
