"""Startup: `import overlay` against `import httpx`, each in a fresh interpreter, whose own startup counts for both.

If click is installed, as it is with our command line, httpx loads its own command line and rich with it. A plain
install has none of that, and is measured too.
"""

from __future__ import annotations

import subprocess
import sys
from functools import partial

from benchmarks.measuring import Figure, Side, compare
from benchmarks.setting import Setting

HEAVY = frozenset({"typer", "rich", "starlette", "uvicorn", "sqlite3", "anyio"})
_PLAIN = "import sys; sys.modules['httpx._main'] = None; "
_ROUNDS = 3
"""A multiple of the usual rounds, since each is short."""


def loaded(code: str) -> set[str]:
    """The packages that are loaded once this code has run."""
    return set(_run(f"{code}; import sys; print(*(name.split('.')[0] for name in sys.modules))").split())


def importing(setting: Setting) -> list[Figure]:
    """`import overlay`, and `from overlay import Client`, against `import httpx`."""
    brought = (loaded("from overlay import Client; Client(token='t')") - loaded("import httpx")) & HEAVY
    assert not brought, f"loaded by us: {brought}"
    figures: list[Figure] = []
    for place, begin in (("", ""), (" (plain install)", _PLAIN)):
        for code in ("import overlay", "from overlay import Client"):
            ours = Side("ours", partial(_run, begin + code))
            peer = Side("`import httpx`", partial(_run, f"{begin}import httpx"))
            rounds = _ROUNDS * setting.rounds
            figures.append(compare(f"`{code}`{place}", ours, peer, rounds=rounds, target=1.5))
    return figures


def _run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
