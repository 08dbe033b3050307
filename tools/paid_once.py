"""Draw docs/assets/paid-once.svg: what becomes of a create that was sent, and whose answer nobody heard.

python -m tools.paid_once
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "assets" / "paid-once.svg"
_WIDTH, _HEIGHT = 880, 470
_STYLE = """\
.ground { fill: #ffffff; }
text { font: 14px system-ui, sans-serif; fill: #1f2430; text-anchor: middle; }
.small { font-size: 12px; fill: #5b6270; }
.step { fill: #eef1fb; stroke: #4051b5; }
.paid { fill: #fff3d6; stroke: #b7791f; }
.good { fill: #e3f5e9; stroke: #2f855a; }
.arrow { fill: none; stroke: #5b6270; stroke-width: 1.5; marker-end: url(#head); }
.crash { stroke: #c53030; stroke-dasharray: 5 4; }
.head { fill: #5b6270; }
@media (prefers-color-scheme: dark) {
  .ground { fill: #1e2129; }
  text { fill: #e6e8ee; }
  .small { fill: #a7adba; }
  .step { fill: #232a45; stroke: #8c9eff; }
  .paid { fill: #3d3115; stroke: #d69e2e; }
  .good { fill: #17352a; stroke: #48bb78; }
  .arrow { stroke: #a7adba; }
  .crash { stroke: #fc8181; }
  .head { fill: #a7adba; }
}
"""


@dataclass(frozen=True)
class Box:
    """A step, around its middle."""

    x: int
    y: int
    kind: str
    lines: tuple[str, ...]
    width: int = 190
    height: int = 62

    def svg(self) -> str:
        left, top = self.x - self.width // 2, self.y - self.height // 2
        first = self.y + 5 - 9 * (len(self.lines) - 1)
        rows = "".join(
            f'<text x="{self.x}" y="{first + 18 * row}"{" class=" + chr(34) + "small" + chr(34) if row else ""}>'
            f"{escape(text)}</text>"
            for row, text in enumerate(self.lines)
        )
        return (
            f'<rect class="{self.kind}" x="{left}" y="{top}" width="{self.width}" height="{self.height}" rx="8"/>'
            + rows
        )


BOXES = (
    Box(120, 60, "step", ("uploaded", "the file is at the service")),
    Box(350, 60, "step", ("creating", "written to the ledger, synced")),
    Box(560, 60, "paid", ("POST /batches", "sent once: this costs"), 170),
    Box(770, 60, "good", ("created", "its id is in the ledger")),
    Box(350, 200, "step", ("look for it", "in the list, by its nonce")),
    Box(770, 200, "good", ("adopt it", "nothing is sent")),
    Box(350, 320, "step", ("fence: delete the file", "a late create can only fail")),
    Box(350, 420, "step", ("look once more", "it may have been quicker")),
    Box(120, 420, "step", ("upload and create anew", "nothing was paid so far")),
)
ARROWS = (
    ("M215,60 H251", ""),
    ("M445,60 H471", ""),
    ("M645,60 H671", ""),
    ("M560,91 V130 H350 V165", "crash"),
    ("M445,200 H671", ""),
    ("M350,231 V285", ""),
    ("M350,351 V385", ""),
    ("M445,420 H770 V235", ""),
    ("M255,420 H219", ""),
    ("M120,389 V95", ""),
)
LABELS = (
    (700, 128, "no answer: killed, cut off, timed out", ""),
    (560, 192, "it is there", "small"),
    (436, 262, "not there after the grace", "small"),
    (610, 412, "it is there", "small"),
    (238, 410, "no", "small"),
)


def draw() -> str:
    """The picture."""
    arrows = "\n".join(f'<path class="{f"arrow {kind}".strip()}" d="{path}"/>' for path, kind in ARROWS)
    labels = "\n".join(
        f'<text x="{x}" y="{y}"{f" class={chr(34)}{kind}{chr(34)}" if kind else ""}>{escape(text)}</text>'
        for x, y, text, kind in LABELS
    )
    boxes = "\n".join(box.svg() for box in BOXES)
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">
<title>What becomes of a create whose answer nobody heard</title>
<style>
{_STYLE}</style>
<defs><marker id="head" viewBox="0 0 10 10" refX="8" refY="5" markerWidth="7" markerHeight="7" orient="auto">
<path class="head" d="M0,0 L10,5 L0,10 z"/></marker></defs>
<rect class="ground" width="{_WIDTH}" height="{_HEIGHT}" rx="10"/>
{boxes}
{arrows}
{labels}
</svg>
"""


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
