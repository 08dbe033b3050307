"""An object store on loopback that does what S3 does for conditional puts, and fails where a test wants it to.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
"""

import hashlib
import re
import threading
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape, unescape

from overlay.jobs.object_store import lease
from overlay.wire.clock import SystemClock
from support.ledgers import JOB, unit

Fault = Literal["refused", "failed", "answer lost"]
"""A 412 that has no reason; a 500, with nothing done; a connection that closes once it was done."""


class ObjectStore:
    """Objects by their key; the bucket is the first part of it. `fault` is asked about each request."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.guard = threading.Lock()
        self.fault: Callable[[str, str], Fault | None] = lambda method, key: None
        self.calls: list[tuple[str, str]] = []

    @contextmanager
    def serving(self):
        store = self

        class Handler(_Handler):
            objects = store

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def _tag(data: bytes) -> str:
    return f'"{hashlib.md5(data).hexdigest()}"'


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = (
        -1
    )  # head and body in one segment: a client would wait 40 ms for the second (RFC 1122, 4.2.3.2)
    objects: ObjectStore

    def log_message(self, *_):
        pass

    def _serve(self):
        store, parts = self.objects, urlsplit(self.path)
        key = unquote(parts.path).lstrip("/")
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with store.guard:
            store.calls.append((self.command, key))
            fault = store.fault(self.command, key)
            if fault == "failed":
                self._answer(500, b"<Error><Code>InternalError</Code></Error>")
                return
            if fault == "refused":
                self._answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
                return
            status, body, tag = self._done(key, parse_qs(parts.query, keep_blank_values=True), data)
        if fault == "answer lost":
            self.close_connection = True
            return
        self._answer(status, body, tag)

    do_GET = do_PUT = do_DELETE = do_POST = do_HEAD = _serve  # noqa: N815 - names of the base class

    def _done(self, key, query, data):
        objects = self.objects.objects
        if self.command == "PUT":
            return self._put(key, data)
        if self.command == "DELETE":
            objects.pop(key, None)
            return 204, b"", None
        if self.command == "POST":  # DeleteObjects
            names = re.findall(r"<Key>(.*?)</Key>", data.decode())
            for name in names:
                objects.pop(key.rstrip("/") + "/" + unescape(name), None)
            deleted = "".join(f"<Deleted><Key>{name}</Key></Deleted>" for name in names)
            return 200, f"<DeleteResult>{deleted}</DeleteResult>".encode(), None
        if "list-type" in query:
            return 200, self._listed(key, {name: values[0] for name, values in query.items()}), None
        if key not in objects:
            return 404, b"<Error><Code>NoSuchKey</Code></Error>", None
        return 200, objects[key], _tag(objects[key])

    def _put(self, key, data):
        objects, wanted = self.objects.objects, self.headers.get("If-Match")
        if self.headers.get("If-None-Match") == "*" and key in objects:
            return 412, b"<Error><Code>PreconditionFailed</Code></Error>", None
        if wanted is not None and key not in objects:
            return 404, b"<Error><Code>NoSuchKey</Code></Error>", None
        if wanted is not None and _tag(objects[key]) != wanted:
            return 412, b"<Error><Code>PreconditionFailed</Code></Error>", None
        objects[key] = data
        return 200, b"", _tag(data)

    def _listed(self, bucket, query):
        bucket = bucket.rstrip("/") + "/"
        prefix, after = query.get("prefix", ""), query.get("start-after", "")
        names = [key.removeprefix(bucket) for key in sorted(self.objects.objects) if key.startswith(bucket)]
        names = [name for name in names if name.startswith(prefix) and name > after]
        folders = set()
        if delimiter := query.get("delimiter"):
            inner = {name: name[len(prefix) :] for name in names}
            folders = {
                prefix + rest.split(delimiter)[0] + delimiter for rest in inner.values() if delimiter in rest
            }
            names = [name for name, rest in inner.items() if delimiter not in rest]
        contents = "".join(
            f"<Contents><Key>{escape(name)}</Key><Size>{len(self.objects.objects[bucket + name])}</Size>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>x</ETag></Contents>"
            for name in names
        )
        common = "".join(
            f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>" for name in sorted(folders)
        )
        return f"<ListBucketResult><IsTruncated>false</IsTruncated>{contents}{common}</ListBucketResult>".encode()

    def _answer(self, status, body, tag=None):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        if tag is not None:
            self.send_header("ETag", tag)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def opened(home, stack, job_id=JOB.id, clock=None):
    """The ledger of a job, taken over until the stack is closed."""
    return home.open(job_id, stack, clock or SystemClock())[1]


def begun(home, *, commits):
    """Begin a job with a commit for each of so many units, and give them."""
    home.create(JOB)
    with ExitStack() as stack:
        ledger = opened(home, stack)
        for number in range(commits):
            ledger.save(unit(number, 0))
        return ledger.units()


def nobody_renews(monkeypatch):
    """From now on no lease is renewed, as if its owner were paused."""
    monkeypatch.setattr(lease.Lease, "_keep_renewing", lambda self: None)
