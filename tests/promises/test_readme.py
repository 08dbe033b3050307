"""The README, taken at its word: it is short, its links lead somewhere, and what it shows works."""

import re

import polars as pl
from support.pages import PROJECT, Reader

from overlay.server import Service

README = (PROJECT / "README.md").read_text(encoding="utf-8")
FRIENDLY = '{"friendly": true, "topic": "price"}'


def test_it_is_one_screen_of_use():
    assert README.count("\n") < 90


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)]+)\)", README):
        if not target.startswith("https://"):
            assert (PROJECT / target).is_file(), target


def test_its_blocks_work(tmp_path, monkeypatch):
    (tmp_path / "reviews.csv").write_text('review_id,text\nreview-1,"Oh, I\nloved it. 🙂"\nreview-2,No.\n')
    (tmp_path / "review.schema.json").write_text(
        '{"type": "object", "properties": {"friendly": {"type": "boolean"}, "topic": {"type": "string"}}}'
    )
    (tmp_path / "requests.jsonl").write_text(
        '{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions",'
        ' "body": {"model": "m", "messages": [{"role": "user", "content": "hi"}]}}\n'
    )
    monkeypatch.chdir(tmp_path)
    with Service(lambda _: {"choices": [{"message": {"content": FRIENDLY}}]}) as service:
        monkeypatch.setenv("OPENAI_API_KEY", "any")
        monkeypatch.setenv("OPENAI_BASE_URL", service.base_url)
        monkeypatch.setenv("OVERLAY_HOME", str(tmp_path / "home"))
        reader = Reader("README.md", tmp_path, service.base_url, monkeypatch)
        reader.instead = {f"overlay {name} ": f"overlay {name} --poll 0.1 " for name in ("run", "map")}
        reader.follow(README)
    for name in ("answers", "answers-2"):
        answers = pl.read_parquet(tmp_path / f"{name}.parquet")
        assert answers["topic"].cast(pl.String).to_list() == ["price"] * 2
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == 1
