"""Prompt tokens: counted by tiktoken where its table is on this disk, by the size of the line elsewhere."""

import base64
import hashlib
import json
import socket

import pytest
import tiktoken
from hypothesis import given, strategies as st
from support.job_steps import chat as asking
from tiktoken import registry
from tiktoken_ext import openai_public

from overlay import Client
from overlay.costs import tokens
from overlay.costs.tokens import TokenCounter, encoding_of, estimated_tokens

MODEL = "gpt-4o-mini"


def line(model=MODEL, **body):
    return json.dumps(
        {"custom_id": "r0", "url": "/v1/chat/completions", "body": {"model": model, **body}}
    ).encode()


def chat(*texts):
    return line(messages=[{"role": "user", "content": text} for text in texts])


def by_words(text):
    return text.split()


@pytest.fixture
def words():
    """A counter whose tokens are words."""
    return TokenCounter(lambda model: by_words if model == MODEL else None)


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No table is on this disk, and whoever opens a connection is noted."""
    tried = []
    monkeypatch.setattr(socket.socket, "connect", lambda _, address: tried.append(address))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *address, **_: tried.append(address) or [])
    monkeypatch.setattr(registry, "ENCODINGS", {})
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "tables"))
    return tried


def test_a_table_that_is_not_here_is_not_fetched(offline):
    read = tiktoken.load.read_file
    assert encoding_of(MODEL) is None
    assert offline == []
    assert tiktoken.load.read_file is read


def test_a_table_on_this_disk_is_used(offline, monkeypatch, tmp_path):
    """A table of single bytes and one word, where tiktoken would look for the real one."""
    ranks = [bytes([number]) for number in range(256)] + [b"ab"]
    table = b"".join(base64.b64encode(token) + b" %d\n" % rank for rank, token in enumerate(ranks))
    (tmp_path / "tables").mkdir()
    asked = []
    load = openai_public.load_tiktoken_bpe

    def load_any(address, expected_hash=None):
        asked.append(address)
        place = tmp_path / "tables" / hashlib.sha1(address.encode()).hexdigest()
        place.write_bytes(table)
        return load(address)

    monkeypatch.setattr(openai_public, "load_tiktoken_bpe", load_any)
    encode = encoding_of(MODEL)
    assert len(encode("abab")) == 2
    assert asked
    assert offline == []
    counter = TokenCounter()
    assert counter.count(chat("abab"), MODEL) == 2 + 3 + 3
    assert counter.counted_by == "tiktoken"


@pytest.mark.parametrize("model", ["llama-3-8b", "", "gpt-4o-mini\x00", "ft:mistral"])
def test_a_model_that_tiktoken_does_not_know(model, offline):
    assert encoding_of(model) is None
    assert TokenCounter().count(chat("a b c"), model) == estimated_tokens(chat("a b c"))


def test_what_becomes_the_prompt_is_counted(words):
    assert words.count(chat("one two three"), MODEL) == 3 + 3 + 3
    assert words.count(chat("one", "two"), MODEL) == 2 + 2 * 3 + 3
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 50_000}}
    content = [{"type": "text", "text": "what is it"}, picture]
    assert words.count(line(messages=[{"role": "user", "content": content}]), MODEL) == 3 + 765 + 3 + 3
    assert words.count(line(input=["one two", "three"]), MODEL) == 3
    assert words.count(line(input=[[1, 2, 3], [4]]), MODEL) == 4
    assert words.count(line(input="one two", instructions="be short"), MODEL) == 4
    assert words.count(line(temperature=1), MODEL) == 1
    assert words.counted_by == "tiktoken"


def test_one_model_that_nobody_knows_makes_it_an_estimate(words):
    words.count(chat("one"), MODEL)
    words.count(chat("one"), "llama")
    assert words.counted_by == "bytes"


def test_of_much_text_a_part_is_counted(words, monkeypatch):
    monkeypatch.setattr(tokens, "_COUNTED_BYTES", 1_000)
    counted = []
    counter = TokenCounter(lambda _: lambda text: counted.append(len(text)) or text.split())
    text = "abc " * 200
    found = [counter.count(chat(text), MODEL) for _ in range(50)]
    assert sum(counted) <= 1_000
    assert all(abs(each - 206) <= 2 for each in found)


@given(
    st.binary(max_size=60)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["messages", "input", "type", "role", "content", "body"]), inner, max_size=3
            )
        ),
    ).map(lambda value: json.dumps({"body": value}).encode())
)
def test_any_line_has_tokens(given_line):
    counter = TokenCounter(lambda _: by_words)
    assert counter.count(given_line, MODEL) >= 1


def test_a_long_text_without_spaces_is_cut_into_pieces():
    longest = []
    counter = TokenCounter(lambda _: lambda text: longest.append(len(text)) or list(text))
    assert counter.count(chat("a" * 300_000), MODEL) == 300_000 + 6
    assert max(longest) <= 2_000


def test_a_job_says_how_its_tokens_were_counted(monkeypatch, service, tmp_path):
    requests = [asking(f"r{number}", "one two three", model=MODEL) for number in range(20)]
    with Client(base_url=service.base_url, token="t", home=tmp_path) as client:
        monkeypatch.setattr(tokens, "encoding_of", lambda _: by_words)
        job = client.jobs.submit(requests, id="counted")
        assert (job.tokens_counted_by, job.estimated_tokens) == ("tiktoken", 20 * (3 + 3 + 3))
        monkeypatch.setattr(tokens, "encoding_of", lambda _: None)
        job = client.jobs.submit(requests, id="guessed")
        assert job.tokens_counted_by == "bytes"
        assert client.jobs.retrieve("counted").tokens_counted_by == "tiktoken"
