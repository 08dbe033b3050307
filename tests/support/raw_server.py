"""A server for answers that no HTTP server gives: its script writes the bytes."""

import json
import socket
import struct
import threading
from dataclasses import dataclass
from typing import Any


class Reset(Exception):  # noqa: N818 - an order, not an error
    """Raised by a script to reset the connection."""


@dataclass
class Received:
    """One request, as it came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int
    """Which connection it came on, from 0."""


class RawServer:
    """Gives each request to `script`, which returns bytes or yields them in pieces; None ends the connection.

    A connection stays open after an answer that says so with `keep-alive`.
    """

    def __init__(self, script):
        self.script = script
        self.received = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._threads = []
        self._open = set()
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    @property
    def base_url(self):
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"

    def requests(self):
        """What was asked, in short."""
        return [f"{each.method} {each.path.removeprefix('/v1')}" for each in self.received]

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        for thread in self._threads:
            thread.join()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection, len(self._threads)))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection, number):
        self._open.add(connection)
        with connection, connection.makefile("rb") as reader:
            try:
                while self._answer(connection, reader, number):
                    pass
            except Reset:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            except OSError:
                pass
        self._open.discard(connection)

    def _answer(self, connection, reader, number):
        request = _read(reader, number)
        if request is None:
            return False
        self.received.append(request)
        answer = self.script(request)
        kept = b""
        for piece in [answer] if isinstance(answer, bytes) else answer or ():
            kept += piece[:1000]
            connection.sendall(piece)
        return b"keep-alive" in kept


def _read(reader, number):
    first = reader.readline()
    if not first:
        return None
    method, path, _ = first.decode().split()
    headers = {}
    while (line := reader.readline().strip()) != b"":
        name, _, value = line.decode().partition(":")
        headers[name.lower()] = value.strip()
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while size := int(reader.readline(), 16):
            body += reader.read(size)
            reader.readline()
        reader.readline()
    else:
        body = reader.read(int(headers.get("content-length", 0)))
    return Received(method, path, headers, body, number)


def answer(content: Any = b"", status: int = 200, **headers: object) -> bytes:
    """An answer with a body of bytes, text, or whatever JSON can say; underscores in names stand for dashes."""
    body = content if isinstance(content, bytes) else content.encode() if isinstance(content, str) else None
    if body is None:
        body = json.dumps(content).encode()
        headers = {"content_type": "application/json"} | headers
    headers = {"content_length": len(body), "connection": "close"} | headers
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join([f"HTTP/1.1 {status} X", *lines, "", ""]).encode() + body
