"""A model server that costs as little as possible: the same answer to each request, after so many seconds.

python -m benchmarks.model_stub [SECONDS]       prints its address; ends when stdin does
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections import deque

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_BODY = (
    b'{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"m","choices":[{"index":0,"message":'
    b'{"role":"assistant","content":"%s"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":12,'
    b'"total_tokens":21}}'
) % (b"It is what it is. " * 20)
_ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nx-request-id: 1\r\nContent-Length: %d\r\n\r\n%s"
) % (len(_BODY), _BODY)


class _Due:
    """One timer for all answers that are due, in the order in which they were asked for."""

    def __init__(self, wait: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._wait = wait
        self._queue: deque[tuple[float, asyncio.WriteTransport]] = deque()

    def add(self, transport: asyncio.WriteTransport) -> None:
        moment = self._loop.time() + self._wait
        if not self._queue:
            self._loop.call_at(moment, self._send)
        self._queue.append((moment, transport))

    def _send(self) -> None:
        queue, now = self._queue, self._loop.time() + 0.0005
        while queue and queue[0][0] <= now:
            transport = queue.popleft()[1]
            if not transport.is_closing():
                transport.write(_ANSWER)
        if queue:
            self._loop.call_at(queue[0][0], self._send)


class _Connection(asyncio.Protocol):
    def __init__(self, due: _Due) -> None:
        self._due = due
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        received = self._received + data if self._received else data
        end = received.find(b"\r\n\r\n")
        while end >= 0:
            length = _LENGTH.search(received, 0, end + 4)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(received) < whole:
                break
            received = received[whole:]
            self._due.add(self._transport)
            end = received.find(b"\r\n\r\n")
        self._received = received


async def main() -> None:
    due = _Due(float(sys.argv[1]) if len(sys.argv) > 1 else 0.02)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(due), "127.0.0.1", 0, backlog=4096)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
