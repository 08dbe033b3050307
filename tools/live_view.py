"""Draw docs/assets/live-view.svg: what a terminal shows half way through a real job, at the embedded service.

python -m tools.live_view
"""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from overlay import Client, Limits, Request
from overlay.progress.displays import picture
from overlay.progress.figures import Figures
from overlay.progress.showing import Progress
from overlay.server import Pace, Service

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "assets" / "live-view.svg"
_COMMAND = "$ overlay run requests.jsonl -o results.jsonl"
_FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
"""Rich's picture asks another site for a font; without, it has the reader's own."""


class Painter:
    """A display that keeps the last picture from before a job was so far done."""

    def __init__(self, until: float) -> None:
        self.until, self.svg = until, ""

    def start(self, figures: Figures) -> None: ...

    def changed(self, figures: Figures) -> None:
        """Draw it, unless the job is further."""
        if figures.event is None or figures.event.job.progress > self.until:
            return
        console = Console(
            record=True, width=96, file=StringIO(), force_terminal=True, color_system="truecolor"
        )
        console.print(_COMMAND, style="bold", highlight=False)
        console.print(picture(figures))
        self.svg = _FONTS.sub("", console.export_svg(title="overlay", unique_id="live-view"))

    def stop(self, figures: Figures) -> None: ...


def draw(requests: int = 30_000, *, seconds: float = 6.0, batches: int = 6) -> str:
    """The picture of a job of so many requests, whose batches take so long."""
    painter = Painter(until=0.7)
    asked = (
        Request.chat(f"review-{number}", model="gpt-4o-mini", prompt=f"Is review {number} friendly?")
        for number in range(requests)
    )
    pace = Pace(in_progress=seconds / 2, finalizing=0.1)
    with (
        Service(pace=pace) as service,
        TemporaryDirectory() as home,
        Client(token="any", base_url=service.base_url, home=home) as client,  # noqa: S106 - it takes any
    ):
        submitted = client.jobs.submit(
            asked,
            limits=Limits(requests=-(-requests // batches)),
            max_batches=batches // 2,
            poll=seconds / 20,
            progress=Progress(painter),
        )
        client.jobs.wait(submitted.id, progress=Progress(painter))
    return painter.svg


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
