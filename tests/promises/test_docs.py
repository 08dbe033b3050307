"""The documentation, taken at its word: each block is run in the order of its page, at the embedded service."""

import anyio
import pytest
from support.pages import DOCS, Reader, impatient

from overlay.server import Service
from overlay.wire.clock import SystemClock

INSTEAD = {
    "tutorial.md": {"in_progress=6": "in_progress=0.3", "--poll 1": "--poll 0.1", "KILL 3": "KILL 1"},
}
"""What tests do not wait for."""
PAGES = ["tutorial.md"]


@pytest.fixture(scope="module")
def service():
    with Service() as service:
        yield service


@pytest.mark.parametrize("page", PAGES)
def test_each_block_does_what_the_page_says(page, service, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    monkeypatch.setenv("OPENAI_BASE_URL", service.base_url)
    monkeypatch.setenv("OVERLAY_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(SystemClock, "sleep", lambda _, seconds: impatient(seconds))
    monkeypatch.setattr(SystemClock, "asleep", lambda _, seconds: anyio.sleep(min(seconds, 0.02)))
    reader = Reader(page, tmp_path, service.base_url, monkeypatch, instead=INSTEAD.get(page))
    reader.follow((DOCS / page).read_text())
    assert reader.run
