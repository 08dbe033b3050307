"""Pairs of runs, the median of their ratios, and how they are shown.

A single time mostly shows what else the machine was doing. So the two sides of a comparison run one after the
other, taking turns at going first, and the median of the pairs' ratios counts.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

_MIB = 1024 * 1024


@dataclass(frozen=True)
class Side:
    """One side of a comparison. `run` returns what it found, which must equal what the other side finds."""

    name: str
    run: Callable[[], object]


@dataclass(frozen=True)
class Comparison:
    """How two sides compare: the median of their ratios, and of their times in seconds."""

    what: str
    peer: str
    ratio: float
    target: float | None
    our_seconds: float
    peer_seconds: float
    rounds: int

    def row(self) -> str:
        target = "" if self.target is None else f"≤ {self.target:.2f}"
        times = f"{_shown(self.our_seconds)} / {_shown(self.peer_seconds)}"
        return f"| {self.what} | {self.peer} | {self.ratio:.2f} | {target} | {_verdict(self)} | {times} |"

    @property
    def met(self) -> bool | None:
        return None if self.target is None else self.ratio <= self.target


@dataclass(frozen=True)
class Growth:
    """How many bytes the memory of a process grew above its size at rest."""

    what: str
    size: int
    target: int

    def row(self) -> str:
        grown, most = self.size / _MIB, self.target // _MIB
        return f"| {self.what} | memory at rest | +{grown:.1f} MiB | ≤ +{most} MiB | {_verdict(self)} | |"

    @property
    def met(self) -> bool:
        return self.size <= self.target


Figure = Comparison | Growth
HEADING = "| what | against | ratio | target | | times: ours / theirs |\n|---|---|---|---|---|---|"


def compare(what: str, ours: Side, peer: Side, *, rounds: int, target: float | None = None) -> Comparison:
    """Run two sides in pairs, after one warm-up run each.

    Raises AssertionError if they find different things: then they do not do the same work.
    """
    found, expected = ours.run(), peer.run()
    assert found == expected, f"{what}: {ours.name} found {found!r:.200}, {peer.name} {expected!r:.200}"
    times: list[tuple[float, float]] = []
    for number in range(rounds):
        if number % 2:
            theirs = _timed(peer)
            times.append((_timed(ours), theirs))
        else:
            mine = _timed(ours)
            times.append((mine, _timed(peer)))
    return Comparison(
        what=what,
        peer=peer.name,
        ratio=median(mine / theirs for mine, theirs in times),
        target=target,
        our_seconds=median(mine for mine, _ in times),
        peer_seconds=median(theirs for _, theirs in times),
        rounds=rounds,
    )


def _timed(side: Side) -> float:
    gc.collect()  # neither side pays for the other's garbage
    began = time.perf_counter()
    side.run()
    return time.perf_counter() - began


def _shown(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _verdict(figure: Figure) -> str:
    return {None: "", True: "met", False: "missed"}[figure.met]


def table(figures: Sequence[Figure]) -> str:
    """The figures as a table in Markdown."""
    return "\n".join([HEADING, *(figure.row() for figure in figures)])


def machine() -> str:
    """What a reader of the figures must know about the machine."""
    one, _, _ = os.getloadavg()
    return f"{os.cpu_count()} cores, load {one:.1f} at the start"
