"""How many tokens a prompt has: counted where tiktoken knows the model, else four bytes for one.

tiktoken counts some megabytes a second, and a job may have gigabytes. So the first megabytes of a model's prompts
are counted, and the others estimated by the ratio that was found in them. Its tables are used where they are on
this disk already: nothing is ever downloaded.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any, Literal, TypeAlias

import attrs

from overlay.lines import MIB, decode_loosely, is_array, is_object

CountedBy: TypeAlias = Literal["tiktoken", "bytes"]
"""How prompt tokens were estimated: by tiktoken, or four bytes for one."""
Encode: TypeAlias = Callable[[str], list[int]]

_BYTES_PER_TOKEN = 4
"""A rule of thumb for English text; what matters is that it is the same for every shard."""
_COUNTED_BYTES = 4 * MIB
"""Of each model's prompts: a second of work."""
_PIECE = 2_000
"""Characters encoded at once: the time that tiktoken takes for a text without spaces grows with its square."""
_PER_MESSAGE, _PER_PROMPT = 3, 3
"""What the chat format adds: https://cookbook.openai.com/examples/how_to_count_tokens_with_tiktoken"""
_PER_PICTURE = 765
"""A square of 1,024 pixels in high detail, by OpenAI's guide to vision. Its bytes say nothing."""
_PROMPTS = ("messages", "input", "prompt", "instructions", "tools", "functions", "response_format", "text")
"""The fields of a body that become the prompt."""
_PICTURES = ("image_url", "input_image", "input_audio", "input_file", "file")
"""The types of parts whose data is no text."""
_WORDLESS = ("type", "role", "detail")


def estimated_tokens(line: bytes) -> int:
    """The prompt tokens of a request's line by the rule of thumb."""
    return len(line) // _BYTES_PER_TOKEN + 1


@attrs.define
class _Model:
    """One model's prompts, as far as they were counted."""

    encode: Encode
    bytes: int = 0
    tokens: int = 0

    def count(self, text: str) -> int:
        size = len(text.encode("utf-8", "replace"))
        if self.bytes >= _COUNTED_BYTES:
            return round(size * self.tokens / self.bytes)
        left = _COUNTED_BYTES - self.bytes
        counted = text if size <= left else text[:left]
        tokens = sum(len(self.encode(counted[at : at + _PIECE])) for at in range(0, len(counted), _PIECE))
        read = size if counted is text else len(counted.encode("utf-8", "replace"))
        self.bytes += read
        self.tokens += tokens
        return tokens if counted is text else round(size * tokens / read)


class TokenCounter:
    """Counts the prompts of a job. Not for several threads at once."""

    def __init__(self, encoding: Callable[[str], Encode | None] | None = None) -> None:
        self._encoding = encoding or encoding_of
        self._models: dict[str, _Model | None] = {}

    @property
    def counted_by(self) -> CountedBy:
        """`tiktoken` if it knew each model so far, else `bytes`."""
        known = self._models.values()
        return "tiktoken" if known and all(known) else "bytes"

    def count(self, line: bytes, model: str | None) -> int:
        """The prompt tokens of a request, given as its line of JSON. At least 1."""
        name = model or ""
        if name not in self._models:
            encode = self._encoding(name) if name else None
            self._models[name] = None if encode is None else _Model(encode)
        found = self._models[name]
        if found is None:
            return estimated_tokens(line)
        request = decode_loosely(line)
        body = request.get("body") if request is not None else None
        if not is_object(body):
            return estimated_tokens(line)
        return max(1, _count_body(body, found))


def _count_body(body: dict[str, Any], model: _Model) -> int:
    tokens = _PER_PROMPT if "messages" in body else 0
    texts: list[str] = []
    for name in _PROMPTS:
        for found in _words(body.get(name)):
            if isinstance(found, int):
                tokens += found
            else:
                texts.append(found)
    return tokens + model.count("\n".join(texts))


def _words(value: Any) -> Iterator[str | int]:
    """The texts of a prompt, and numbers of tokens for what is no text."""
    stack = [value]
    while stack:
        value = stack.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, int) and not isinstance(value, bool):
            yield 1  # a token's number, as embeddings take them
        elif is_array(value):
            stack.extend(reversed(value))
        elif is_object(value):
            if value.get("type") in _PICTURES:
                yield _PER_PICTURE
                continue
            if "role" in value:
                yield _PER_MESSAGE
            stack.extend(each for name, each in reversed(value.items()) if name not in _WORDLESS)


def encoding_of(model: str) -> Encode | None:
    """How tiktoken encodes a model's prompts; None where it is not installed, does not know the model, or has not
    its table on this disk.
    """
    try:
        import tiktoken  # noqa: PLC0415 - optional
    except ImportError:
        return None
    try:
        with _no_downloads():
            encoding = tiktoken.encoding_for_model(model)
    except Exception:  # noqa: BLE001 - whatever ails an optional library, there is a rule of thumb
        return None
    return encoding.encode_ordinary


class _NotOnDiskError(Exception):
    pass


_guard = threading.Lock()


@contextmanager
def _no_downloads() -> Generator[None]:
    """In this thread, tiktoken reads its tables from its cache only, and not from the network."""
    from tiktoken import load  # noqa: PLC0415 - optional

    ours = threading.get_ident()
    with _guard:
        read = load.read_file

        def read_here(blobpath: str) -> bytes:
            if threading.get_ident() == ours and "://" in blobpath:
                raise _NotOnDiskError(blobpath)
            return read(blobpath)

        module: Any = load
        module.read_file = read_here
        try:
            yield
        finally:
            module.read_file = read
