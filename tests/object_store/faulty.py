"""A proxy before an object store, which refuses, fails, and loses answers, by chance."""

import http.client
import random
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Faulty:
    """`chance` is that of a fault of each kind, for each put."""

    def __init__(self, port: int, *, chance: float, seed: int) -> None:
        self.upstream = port
        self.counts: Counter[str] = Counter()
        self._random, self._chance, self._guard = random.Random(seed), chance, threading.Lock()

        class Handler(_Handler):
            proxy = self

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                """Drivers that are killed leave their connections."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    def fault(self, method: str) -> str | None:
        with self._guard:
            self.counts[method] += 1
            if method != "PUT" or self._random.random() >= 3 * self._chance:
                return None
            kind = self._random.choice(("412 for nothing", "500", "answer lost"))
            self.counts[kind] += 1
            return kind


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    proxy: Faulty

    def log_message(self, *_):
        pass

    def _serve(self):
        fault = self.proxy.fault(self.command)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if fault in ("412 for nothing", "500"):
            self._answer(int(fault[:3]), {}, b"<Error><Code>Injected</Code></Error>")
            return
        upstream = http.client.HTTPConnection("127.0.0.1", self.proxy.upstream, timeout=30)
        try:
            upstream.request(self.command, self.path, body, dict(self.headers))
            response = upstream.getresponse()
            data = response.read()
        finally:
            upstream.close()
        if fault == "answer lost":
            self.close_connection = True
            return
        self._answer(response.status, dict(response.headers), data)

    do_GET = do_PUT = do_DELETE = do_POST = do_HEAD = _serve  # noqa: N815 - names of the base class

    def _answer(self, status, headers, data):
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in {"content-length", "connection", "date", "server", "transfer-encoding"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
