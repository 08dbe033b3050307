"""What others would write: httpx and orjson, with nothing in between and no checks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import httpx
import orjson

from benchmarks.server import OUTPUT

Read: TypeAlias = Callable[[dict[str, Any]], str]
Loop: TypeAlias = Callable[[httpx.Client, Read], Iterator[str]]


def text_of(line: dict[str, Any]) -> str:
    text: str = line["response"]["body"]["choices"][0]["message"]["content"]
    return text


def custom_id_of(line: dict[str, Any]) -> str:
    custom_id: str = line["custom_id"]
    return custom_id


def by_lines(http: httpx.Client, read: Read) -> Iterator[str]:
    """The obvious loop. (`iter_lines` also cuts lines at U+2028 and the like, which JSON allows.)"""
    with http.stream("GET", f"/files/{OUTPUT}/content") as response:
        for line in response.iter_lines():
            yield read(orjson.loads(line))


def by_bytes(http: httpx.Client, read: Read) -> Iterator[str]:
    """The fastest loop that we know how to write."""
    rest = b""
    with http.stream("GET", f"/files/{OUTPUT}/content") as response:
        for chunk in response.iter_raw():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield read(orjson.loads(line))


LOOPS: dict[str, Loop] = {
    "httpx `iter_lines` + orjson": by_lines,
    "httpx bytes split by hand + orjson": by_bytes,
}
"""The two loops over a stream."""
