"""The page of `overlay serve` in a real browser, while ten batches run.

Its screenshots are left in the folder that SCREENSHOTS names.
"""

import asyncio
import json
import os
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from browser.devtools import chromium
from support.command_line import CommandLine
from support.model_server import ModelServer, Reply, answer
from support.service_http import create, jsonl, line, upload

from overlay.server.engine.progress import Progress
from overlay.server.engine.store import Store
from overlay.server.objects import Batch

HOSTILE = "</script><img src=x onerror=alert(1)><b>bold</b>"
_CONTRAST = """
(() => {
  const channel = value => (value /= 255) <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const light = text => {
    const [r, g, b] = text.match(/[\\d.]+/g).map(Number);
    return 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  };
  const ground = element => {
    for (let each = element; each; each = each.parentElement) {
      const color = getComputedStyle(each).backgroundColor;
      if (!color.startsWith("rgba(0, 0, 0, 0")) return color;
    }
    return "rgb(255, 255, 255)";
  };
  let least = 21, where = "";
  for (const element of document.querySelectorAll("h1, h2, h3, dt, dd, p, span, button, summary, pre, .quiet")) {
    if (!element.innerText || !element.offsetParent) continue;
    const [one, other] = [light(getComputedStyle(element).color), light(ground(element))];
    const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (contrast < least) [least, where] = [contrast, `${element.className} ${element.innerText}`];
  }
  return [least, where];
})()
"""


@pytest.fixture
def shots(tmp_path):
    folder = Path(os.environ.get("SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def trouble(path, body, times):
    """Answers of a moment each; some lines fail for ever, and 429 comes now and then."""
    text = json.dumps(body)
    if "bad" in text:
        return Reply(500, b'{"error": {"message": "' + HOSTILE.encode() + b'"}}')
    if "busy" in text and times == 0:
        return 429
    reply = answer(body)
    reply.after = 0.05
    return reply


@contextmanager
def serving(tmp_path, *options):
    overlay = CommandLine(tmp_path)
    with overlay.start("serve", "--port", "0", "--json", "--state", "state", *options) as process:
        url = json.loads(process.stdout.readline())["base_url"]
        with httpx.Client(base_url=url, headers={"Authorization": "Bearer any"}) as http:
            yield http, url.removesuffix("v1")
        process.terminate()
        assert process.wait(60) == 0


def start(http, number, lines=1500):
    kinds = ("fine", "busy", "bad") if number % 3 == 0 else ("fine",)
    file = upload(
        http,
        jsonl(
            line(f"{kinds[each % 40 % len(kinds)] if each % 40 < 3 else 'fine'}-{each}")
            for each in range(lines)
        ),
    )
    return create(
        http, file, metadata={"team": f"search-{number}", "note": HOSTILE if number == 3 else "nightly"}
    )


def test_the_page_while_ten_batches_run(tmp_path, shots):
    with (
        ModelServer(trouble) as model,
        serving(tmp_path, "--upstream", model.url, "--at-once", "24", "--drain", "1", "--tries", "2") as (
            http,
            root,
        ),
    ):
        batches = [start(http, number) for number in range(10)]
        asyncio.run(watch(tmp_path, root, shots, batches))


async def watch(tmp_path, root, shots, batches):
    async with chromium(tmp_path / "profile") as page:
        await page.open(root)
        await page.look()
        await page.until("document.querySelectorAll('article').length === 10")
        await page.until("document.querySelectorAll('.in_progress').length > 3")
        bar = f"+document.querySelector('[aria-label=\"Progress of {batches[1]['id']}\"]').ariaValueNow"
        before = await page.value(bar)
        await page.until(f"{bar} > {before}")  # by itself
        await page.until("document.querySelector('#figures').innerText.includes('running')")
        await page.until("/\\d lines\\/s/.test(document.querySelector('#batches').innerText)")
        assert await page.value("document.querySelector('#upstreams').innerText.includes('of 24 at once')")
        await page.until("document.querySelector('#batches').innerText.includes('500 \\u00d7')")
        assert await page.value("document.querySelectorAll('img, b').length") == 0
        assert await page.value("document.querySelector('#batches').innerText.includes('<b>bold</b>')")

        articles = "[...document.querySelectorAll('article')]"
        failing = f"{articles}.find(each => each.innerText.includes({batches[3]['id']!r}))"
        await page.until(f"!{failing}.querySelector('details').hidden")
        await page.value(f"{failing}.querySelector('summary').click()")
        await page.until(
            f"{failing}.innerText.includes('onerror=alert(1)') && {failing}.querySelector('pre')"
        )
        await page.value(f"{failing}.scrollIntoView()")
        await page.screenshot(shots / "failures.png")
        await page.value("scrollTo(0, 0)")

        for name, look in {
            "light": {},
            "dark": {"dark": True},
            "narrow": {"width": 360, "height": 800},
            "narrow-dark": {"width": 360, "height": 800, "dark": True},
        }.items():
            await page.look(**look)
            await page.screenshot(shots / f"{name}.png")
            width = await page.value("document.scrollingElement.scrollWidth - innerWidth")
            assert width <= 0, f"{name}: {width} pixels too wide"
            least, where = await page.value(_CONTRAST)
            assert least >= 4.5, f"{name}: a contrast of {least:.2f}: {where}"
        await page.look()

        tree = (await page.call("Accessibility.getFullAXTree"))["nodes"]
        for role in ("button", "progressbar"):
            found = [
                each for each in tree if each.get("role", {}).get("value") == role and not each["ignored"]
            ]
            assert found, role
            assert all(each["name"]["value"] for each in found), role

        last = batches[-1]["id"]
        await page.value(f"document.querySelector('[aria-label=\"Cancel batch {last}\"]').click()")
        await page.until(
            f"{articles}.some(each => each.innerText.includes({last!r}) && each.querySelector('.cancelled'))"
        )
        assert page.dialogs == [f"Cancel batch {last}? Lines that are not answered yet will not be."]

        assert all(url.startswith((root, "data:")) for url in page.requested)
        assert page.troubles == []


def test_the_page_asks_for_a_token_where_one_is_needed(tmp_path):
    (tmp_path / "tokens").write_text("any")

    async def enter(root):
        async with chromium(tmp_path / "profile") as page:
            await page.open(root)
            await page.until("!document.querySelector('#enter').hidden")
            assert await page.value("document.querySelector('#all').hidden")
            await page.value("document.querySelector('#token').value = 'any'")
            await page.value("document.querySelector('#enter button').click()")
            await page.until("!document.querySelector('#all').hidden")
            assert (
                await page.value("document.querySelector('#none').innerText") == "There are no batches yet."
            )

    with serving(tmp_path, "--token-file", "tokens") as (_, root):
        asyncio.run(enter(root))


def test_ten_thousand_batches_do_not_slow_the_page(tmp_path):
    async def turn(root):
        async with chromium(tmp_path / "profile") as page:
            await page.open(root)
            await page.until("document.querySelectorAll('article').length === 50")
            assert await page.value("document.querySelector('#figures').innerText.includes('10,000')")
            await page.value("document.querySelector('#older').click()")
            await page.until("!document.querySelector('#newest').hidden")
            await page.until("document.querySelectorAll('article').length === 50")
            assert await page.value("document.querySelectorAll('*').length") < 3000

    with serving(tmp_path):
        pass
    fill(tmp_path / "state")
    with serving(tmp_path) as (_, root):
        asyncio.run(turn(root))


def fill(state):
    """Put so many batches there that were completed long ago."""
    store = Store(state, str(state / "state.sqlite3"))
    with store.transaction():
        for number in range(10_000):
            batch = Batch(
                id=f"batch_{number}",
                endpoint="/v1/chat/completions",
                input_file_id="file-x",
                completion_window="24h",
                status="completed",
                created_at=1_750_000_000,
                completed_at=1_750_000_100,
                expires_at=1_750_086_400,
            )
            store.add_batch(batch, progress := Progress(born=0, entered=0, window=86400))
            store.save_batch(batch, progress)
    store.close()
