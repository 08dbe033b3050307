"""A server that costs as little as possible, so that the comparison is between the clients.

It is a process of its own, with a thread for each connection: plain sockets, prepared answers, files sent by
the kernel (`sendfile`), uploads counted and discarded. Both sides of a comparison talk to it.

    python -m benchmarks.server FOLDER      serve FOLDER/NAME as the file NAME; ends when stdin does
"""

from __future__ import annotations

import json
import re
import socket
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from benchmarks.processes import started

BATCHES = 10_000
PAGE = 100
OUTPUT, INPUT = "output.jsonl", "input.jsonl"
_MIB = 1024 * 1024
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CONTENT = re.compile(r"/v1/files/([^/]+)/content")


@contextmanager
def serving(folder: Path) -> Generator[str]:
    """The base URL of a server of a folder's files, which stops when the block ends."""
    with started("benchmarks.server", str(folder)) as base_url:
        yield base_url


def batch(number: int) -> dict[str, object]:
    """A completed batch, with all the fields that OpenAI sends."""
    created = 1_700_000_000 + number
    return {
        "id": f"batch_{number:024}",
        "object": "batch",
        "endpoint": "/v1/chat/completions",
        "model": "gpt-4o-mini-2024-07-18",
        "errors": None,
        "input_file_id": INPUT,
        "completion_window": "24h",
        "status": "completed",
        "output_file_id": OUTPUT,
        "error_file_id": None,
        "created_at": created,
        "in_progress_at": created + 60,
        "expires_at": created + 86_400,
        "finalizing_at": created + 3_000,
        "completed_at": created + 3_600,
        "failed_at": None,
        "expired_at": None,
        "cancelling_at": None,
        "cancelled_at": None,
        "request_counts": {"total": 50_000, "completed": 50_000, "failed": 0},
        "usage": {
            "input_tokens": 1_500_000,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 40_000_000,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 41_500_000,
        },
        "metadata": {"run": "7", "owner": "research"},
    }


def _pages() -> dict[str, bytes]:
    """The pages of the list of batches, newest first, by the cursor that asks for them."""
    pages = {}
    cursor = ""
    for end in range(BATCHES, 0, -PAGE):
        data = [batch(number) for number in range(end - 1, end - PAGE - 1, -1)]
        page = {
            "object": "list",
            "data": data,
            "first_id": data[0]["id"],
            "last_id": data[-1]["id"],
            "has_more": end > PAGE,
        }
        pages[cursor] = _answer(page)
        cursor = str(data[-1]["id"])
    return pages


def _answer(value: object) -> bytes:
    body = json.dumps(value).encode()
    return _head(len(body), "application/json") + body


def _head(length: int, kind: str) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n".encode()


class _Server:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pages = _pages()
        self._batches = {f"/v1/batches/{batch(n)['id']}": _answer(batch(n)) for n in range(BATCHES)}

    def serve(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection:
            received = b""
            while True:
                while b"\r\n\r\n" not in received:
                    more = connection.recv(_MIB)
                    if not more:
                        return
                    received += more
                head, _, received = received.partition(b"\r\n\r\n")
                length = _LENGTH.search(head)
                size = int(length[1]) if length else 0
                received = self._drain(connection, received, size)
                method, target, _ = head.split(b" ", 2)
                self._respond(connection, method, target, size)

    def _drain(self, connection: socket.socket, received: bytes, size: int) -> bytes:
        """Skip a request's body; returns what came after it."""
        left = size - len(received)
        buffer = bytearray(_MIB)
        while left > 0:
            count = connection.recv_into(buffer, min(left, _MIB))
            if not count:
                return b""
            left -= count
        return received[size:] if left == size - len(received) else b""

    def _respond(self, connection: socket.socket, method: bytes, target: bytes, size: int) -> None:
        url = urlsplit(target.decode())
        if method == b"POST":
            connection.sendall(_answer(_file("file-upload", received=size)))
        elif url.path == "/v1/batches":
            connection.sendall(self._pages[parse_qs(url.query).get("after", [""])[0]])
        elif found := _CONTENT.fullmatch(url.path):
            with (self._folder / found[1]).open("rb") as file:
                connection.sendall(_head(file.seek(0, 2), "application/octet-stream"))
                file.seek(0)
                connection.sendfile(file)
        else:
            connection.sendall(self._batches[url.path])


def _file(file_id: str, *, received: int) -> dict[str, object]:
    # `bytes` is left out: only parsing the multipart body would tell how much of it is the file.
    return {
        "id": file_id,
        "object": "file",
        "created_at": 1_700_000_000,
        "filename": INPUT,
        "purpose": "batch",
        "status": "processed",
        "received": received,
    }


def main() -> None:
    server = _Server(Path(sys.argv[1]))
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listener.getsockname()[1]}/v1", flush=True)

    def accept() -> None:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=server.serve, args=[connection], daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
