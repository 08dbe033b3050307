"""A real Chromium, driven by its DevTools protocol: https://chromedevtools.github.io/devtools-protocol/."""

import asyncio
import base64
import itertools
import json
import os
import re
import shutil
from contextlib import asynccontextmanager

import aiohttp

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--remote-debugging-port=0",
)
_LARGEST = 64 * 1024 * 1024


class Page:
    """One tab. `requested` are the URLs that it asked for, `troubles` its errors, `dialogs` what it asked."""

    def __init__(self, socket):
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers = {}
        self._session = None
        self.requested, self.troubles, self.dialogs = [], [], []

    async def call(self, method, **params):
        number = next(self._numbers)
        self._answers[number] = answer = asyncio.get_running_loop().create_future()
        asked = {"id": number, "method": method, "params": params}
        await self._socket.send_json(asked | ({"sessionId": self._session} if self._session else {}))
        return await asyncio.wait_for(answer, 30)

    async def listen(self):
        async for message in self._socket:
            said = json.loads(message.data)
            if "id" in said:
                answer = self._answers.pop(said["id"])
                if "error" in said:
                    answer.set_exception(RuntimeError(said["error"]["message"]))
                else:
                    answer.set_result(said["result"])
            else:
                await self._event(said["method"], said["params"])

    async def _event(self, method, params):
        if method == "Network.requestWillBeSent":
            self.requested.append(params["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.troubles.append(params["exceptionDetails"])
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.troubles.append(params["entry"]["text"])
        elif method == "Page.javascriptDialogOpening":
            self.dialogs.append(params["message"])
            number = next(self._numbers)
            self._answers[number] = asyncio.get_running_loop().create_future()
            accept = {"id": number, "method": "Page.handleJavaScriptDialog", "params": {"accept": True}}
            await self._socket.send_json(accept | {"sessionId": self._session})

    async def open(self, url):
        target = await self.call("Target.createTarget", url="about:blank")
        attached = await self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log", "Accessibility"):
            await self.call(f"{domain}.enable")
        await self.call("Page.navigate", url=url)

    async def value(self, expression):
        """What an expression of JavaScript comes to; a promise is awaited."""
        found = await self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    async def until(self, expression, seconds=30):
        """Wait for an expression to be true."""
        for _ in range(seconds * 20):
            # What is not there yet is an error, too.
            if await self.value(
                f"(() => {{ try {{ return !!({expression}) }} catch {{ return false }} }})()"
            ):
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"{expression} did not come true")

    async def look(self, *, dark=False, width=1280, height=900):
        """Have the page shown so."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    async def screenshot(self, path):
        shot = await self.call("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(shot["data"]))


@asynccontextmanager
async def chromium(folder):
    """A page of a browser of its own, with a new profile in the folder."""
    program = os.environ.get("CHROMIUM") or shutil.which("chromium")
    assert program, "there is no Chromium on the PATH: install the package chromium"
    browser = await asyncio.create_subprocess_exec(
        program, *_FLAGS, f"--user-data-dir={folder}", "about:blank", stderr=asyncio.subprocess.PIPE
    )
    try:
        url = None
        while url is None:
            said = await asyncio.wait_for(browser.stderr.readline(), 60)
            assert said, "Chromium ended before it could be driven"
            url = re.search(rb"DevTools listening on (ws://\S+)", said)
        drained = asyncio.create_task(browser.stderr.read())
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(url[1].decode(), max_msg_size=_LARGEST) as socket,
        ):
            page = Page(socket)
            listening = asyncio.create_task(page.listen())
            yield page
            listening.cancel()
        drained.cancel()
    finally:
        browser.kill()
        await browser.wait()
