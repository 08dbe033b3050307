"""A model server for tests that does with each request what it is told: answers, refuses, hangs, breaks off.

`respond` is given the path, the body as JSON and how often that body came before, and returns a `Reply`, or a
number for one with that status. It runs in a thread of its own, on a port that stays the same when it is stopped
and started again.
"""

import asyncio
import json
import socket
import threading
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

HANG, RESET, HALF, CLOSE = "hang", "reset", "half", "close"


@dataclass
class Reply:
    """`ending`: never answer, break the connection off before or amid the answer, or close it afterwards."""

    status: int = 200
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    ending: str = ""
    after: float = 0.0
    stream: list | None = None
    """Pieces of a body, and events to wait for between them."""


def answer(body):
    text = json.dumps({"you": body, "usage": {"prompt_tokens": 3, "completion_tokens": 4}})
    return Reply(body=text.encode())


class ModelServer:
    """`asked` are the bodies that came, `keys` the keys, `key` that of the request at hand.

    `answered` counts the answers of 200 by body, and
    `left` the requests whose sender left before an answer.
    """

    def __init__(self, respond=lambda path, body, times: answer(body)):
        self.respond = respond
        self.asked, self.paths, self.keys, self.answered = [], [], [], Counter()
        self.now = self.most = 0
        self.key, self.headers = None, {}
        self.left = 0
        self._times = Counter()
        # Bound and never listened at, so that nothing else gets the port while the server is stopped.
        self._place = _bound(0)
        self._port = self._place.getsockname()[1]
        self._loop = self._thread = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self._port}/v1"

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()
        self._place.close()

    def start(self):
        ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, args=[ready], daemon=True)
        self._thread.start()
        assert ready.wait(10)

    def stop(self):
        """As a crash would: connections break."""
        if self._loop:
            self._loop.call_soon_threadsafe(self._ending.set)
            self._thread.join()
            self._loop = None

    def ids(self):
        """What the lines of `service_http.line` asked, in order; a witness is None."""
        return [_id(each) for each in self.asked]

    def _run(self, ready):
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve(ready))

    async def _serve(self, ready):
        self._ending = asyncio.Event()
        self._writers = set()
        server = await asyncio.start_server(self._connection, sock=_bound(self._port))
        ready.set()
        await self._ending.wait()
        server.close()
        for each in list(self._writers):
            each.transport.abort()
        tasks = [each for each in asyncio.all_tasks() if each is not asyncio.current_task()]
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connection(self, reader, writer):
        self._writers.add(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                first, *rest = head.strip().split("\r\n")
                headers = {
                    name.lower(): text.strip() for name, _, text in (each.partition(":") for each in rest)
                }
                content = await reader.readexactly(int(headers.get("content-length", 0)))
                self.now += 1
                self.most = max(self.most, self.now)
                try:
                    if not await self._reply(first.split(), headers, content, (reader, writer)):
                        break
                finally:
                    self.now -= 1
        self._writers.discard(writer)
        writer.close()

    async def _reply(self, first, headers, content, streams):
        reader, writer = streams
        _, path, _ = first
        body = json.loads(content) if content else None
        self.headers = headers
        self.key = headers.get("authorization", "").removeprefix("Bearer ") or None
        reply = self.respond(path, body, self._times[content])
        self._times[content] += 1
        if body is not None:
            self.asked.append(body)
            self.paths.append(path)
            self.keys.append(headers.get("authorization"))
        reply = Reply(reply) if isinstance(reply, int) else reply
        await asyncio.sleep(reply.after)
        if reply.ending == HANG:
            await self._until_gone(reader)
            return False
        if reply.ending == RESET:
            writer.transport.abort()
            return False
        if reply.stream is not None:
            await self._stream(reply, writer)
            return True
        sent = reply.body
        if sent is None:
            sent = json.dumps(
                {"error": {"message": f"status {reply.status}", "type": "x", "code": "c"}}
            ).encode()
        fields = {"Content-Type": "application/json", "Content-Length": str(len(sent))} | reply.headers
        lines = [f"HTTP/1.1 {reply.status} X", *(f"{name}: {text}" for name, text in fields.items())]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        writer.write(sent[: len(sent) // 2] if reply.ending == HALF else sent)
        await writer.drain()
        if sent.startswith(b'{"you"') and reply.ending != HALF:
            self.answered[_id(body)] += 1
        return not reply.ending

    async def _until_gone(self, reader):
        await reader.read(1)
        self.left += 1

    async def _stream(self, reply, writer):
        head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        writer.write(head.encode())
        for each in reply.stream:
            if isinstance(each, bytes):
                writer.write(b"%x\r\n%s\r\n" % (len(each), each))
                await writer.drain()
            else:
                await asyncio.to_thread(each.wait, 10)
        writer.write(b"0\r\n\r\n")


def _bound(port):
    # Named, because asyncio turns Nagle's algorithm off for this protocol only.
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(("127.0.0.1", port))
    return sock


def _id(body):
    text = str(((body or {}).get("messages") or [{}])[0].get("content", ""))
    return text.removeprefix("ask ") if text.startswith("ask ") else None
