"""What others would write to send a file of lines to a server: one process for each, which prints its figures.

python -m benchmarks.forwarding_peers aiohttp|httpx|litellm URL INPUT OUTPUT AT_ONCE
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import orjson

Ask = Callable[[dict[str, Any]], Awaitable[Any]]


@asynccontextmanager
async def by_aiohttp(url: str, at_once: int):
    import aiohttp  # noqa: PLC0415  each peer in a process of its own

    connector = aiohttp.TCPConnector(limit=at_once)
    headers = {"Content-Type": "application/json", "Authorization": "Bearer k"}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

        async def ask(line: dict[str, Any]) -> Any:
            async with session.post(url + line["url"], data=orjson.dumps(line["body"])) as response:
                return orjson.loads(await response.read())

        yield ask


@asynccontextmanager
async def by_httpx(url: str, at_once: int):
    import httpx  # noqa: PLC0415  each peer in a process of its own

    limits = httpx.Limits(max_connections=at_once, max_keepalive_connections=at_once)
    headers = {"Content-Type": "application/json", "Authorization": "Bearer k"}
    async with httpx.AsyncClient(limits=limits, headers=headers, timeout=600) as client:

        async def ask(line: dict[str, Any]) -> Any:
            return orjson.loads(
                (await client.post(url + line["url"], content=orjson.dumps(line["body"]))).content
            )

        yield ask


@asynccontextmanager
async def by_litellm(url: str, at_once: int):
    import litellm  # noqa: PLC0415  each peer in a process of its own

    del at_once
    litellm.suppress_debug_info = True

    async def ask(line: dict[str, Any]) -> Any:
        body = line["body"]
        answer = await litellm.acompletion(
            model=f"openai/{body['model']}", messages=body["messages"], api_base=f"{url}/v1", api_key="k"
        )
        return answer.model_dump()

    yield ask


PEERS: dict[str, Callable[[str, int], AbstractAsyncContextManager[Ask]]] = {
    "aiohttp": by_aiohttp,
    "httpx": by_httpx,
    "litellm": by_litellm,
}


async def run(peer: str, url: str, source: Path, target: Path, at_once: int) -> int:
    done = 0
    with source.open("rb") as lines, target.open("wb") as output:

        async def work(ask: Ask, left: Iterator[bytes]) -> None:
            nonlocal done
            for text in left:
                line = orjson.loads(text)
                body = await ask(line)
                answered = {"custom_id": line["custom_id"], "response": {"status_code": 200, "body": body}}
                output.write(orjson.dumps(answered) + b"\n")
                done += 1

        async with PEERS[peer](url, at_once) as ask:
            left = iter(lines)
            await asyncio.gather(*(work(ask, left) for _ in range(at_once)))
    return done


def main() -> None:
    peer, url, source, target, at_once = sys.argv[1:]
    PEERS[peer](url, int(at_once))
    before, began = _cpu(), time.perf_counter()
    done = asyncio.run(run(peer, url, Path(source), Path(target), int(at_once)))
    print(json.dumps({"lines": done, "seconds": time.perf_counter() - began, "cpu": _cpu() - before}))


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
