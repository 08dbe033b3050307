"""The documentation, as `make docs` has built it, in a real browser: light, dark, narrow, searched.

Its screenshots are left in the folder that SCREENSHOTS names.
"""

import asyncio
import os
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from browser.devtools import chromium

SITE = Path(__file__).parents[2] / "site"
PAGES = (
    "",
    "tutorial/",
    "how-to/services/",
    "reference/services/",
    "reference/api/jobs/",
    "explanation/reliability/",
)
WIDTHS = {"wide": 1280, "narrow": 390}
FOUND = {
    "embed parquet": "how-to/embeddings",
    "azure entra": "how-to/azure",
    "tier": "how-to/limits",
    "fixture": "how-to/test",
    "ollama": "how-to/serve-models",
    "litellm": "how-to/migrate",
}
"""What somebody new looks for, and a page that one search must show."""
_SEARCH = "[...document.querySelectorAll('div')].find(each => each.shadowRoot).shadowRoot"
_LINKS = f"[...{_SEARCH}.querySelectorAll('a')].map(each => each.href)"
_WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def address():
    assert (SITE / "index.html").is_file(), "there is no site: make docs"
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=SITE))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture
def shots(tmp_path):
    folder = Path(os.environ.get("SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def browse(tmp_path, act):
    """Do something with a page; it must end without an error, and with nothing asked of another host."""

    async def run():
        async with chromium(tmp_path / "profile") as page:
            found = await act(page)
            assert not page.troubles
            return found, page.requested

    return asyncio.run(run())


def test_pages_fit_and_call_nobody(address, tmp_path, shots):
    async def look(page):
        wider = {}
        for path in PAGES:
            await page.open(address + path)
            await page.until("document.readyState == 'complete' && document.querySelector('h1')")
            for name, width in WIDTHS.items():
                for dark in (False, True):
                    await page.look(width=width, dark=dark)
                    title = (
                        f"{path.strip('/').replace('/', '-') or 'home'}-{name}-{'dark' if dark else 'light'}"
                    )
                    await page.screenshot(shots / f"{title}.png")
                    wider[title] = await page.value(_WIDER)
        return wider

    wider, requested = browse(tmp_path, look)
    assert not {title: by for title, by in wider.items() if by > 0}
    assert len(requested) > len(PAGES)
    assert all(url.startswith((address, "data:", "blob:", "about:")) for url in requested)


def test_what_somebody_new_looks_for_is_one_search_away(address, tmp_path):
    async def search(page):
        await page.open(address)
        await page.look()
        await page.until("document.querySelector('.md-search__button')")
        await page.value("document.querySelector('.md-search__button').click()")
        await page.until(f"{_SEARCH}.querySelector('input')")
        found = {}
        for words, wanted in FOUND.items():
            await page.value(f"{_SEARCH}.querySelector('input').select()")
            await page.call("Input.insertText", text=words)
            with suppress(AssertionError):  # what is shown instead says more
                await page.until(f"{_LINKS}.some(each => each.includes('{wanted}/?'))", seconds=5)
            found[words] = await page.value(_LINKS)
        return found

    found, _ = browse(tmp_path, search)
    for words, wanted in FOUND.items():
        assert any(f"/{wanted}/" in each for each in found[words]), (words, found[words])
