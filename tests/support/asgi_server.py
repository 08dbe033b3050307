"""An ASGI application on loopback, in a thread of its own."""

import asyncio
import threading

import uvicorn

from overlay.server.running import listen


class AsgiServer:
    """`url` is where it is, for as long as the `with` block lasts."""

    def __init__(self, app, lifespan="on"):
        self._listener = listen("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/"
        ready = self._ready = threading.Event()

        class Server(uvicorn.Server):
            async def startup(self, sockets=None):
                await super().startup(sockets)
                ready.set()

        self._server = Server(
            uvicorn.Config(app, ws="none", lifespan=lifespan, log_config=None, access_log=False)
        )
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        asyncio.run(self._server.serve(sockets=[self._listener]))

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_):
        self._server.should_exit = True
        self._thread.join(10)
        self._listener.close()
