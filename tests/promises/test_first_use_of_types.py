"""Threads that meet a type at the same moment: msgspec alone crashes the process there, as 0.22 does."""

import ast
import subprocess
import sys
from pathlib import Path

import overlay

_RACE = """
import importlib, sys, threading
from typing import Optional
import attrs, msgspec
from overlay.results.parsing import parse_text
from overlay.wire import documented

sys.setswitchinterval(1e-6)

def race(call):
    start = threading.Barrier(4)
    def once():
        start.wait()
        call()
    threads = [threading.Thread(target=once) for _ in range(4)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()

batch = {"id": "batch_1", "request_counts": {"total": 1, "completed": 1, "failed": 0}}
for number in range(ROUNDS):
    inner = msgspec.defstruct("Inner", [("x", int)])
    outer = msgspec.defstruct("Outer", [("inner", Optional[inner]), ("number", int)])
    race(lambda: parse_text('{"inner": {"x": 1}, "number": 2}', outer))
    kept = attrs.make_class("Kept", {"inner": attrs.field(type=inner), "number": attrs.field(type=int)})
    race(lambda: parse_text('{"inner": {"x": 1}, "number": 2}', kept))
    importlib.reload(documented)
    race(lambda: documented.is_documented(batch))
print("no crash")
"""


def _run(rounds: int) -> subprocess.CompletedProcess[str]:
    script = _RACE.replace("ROUNDS", str(rounds))
    return subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)


def test_threads_meet_a_type_at_the_same_moment():
    done = _run(150)
    assert (done.returncode, done.stdout) == (0, "no crash\n"), done.stderr


def test_every_other_type_of_ours_is_met_at_import():
    """By a decoder at the level of a module, which is made while one thread imports it."""
    root = Path(overlay.__file__).parent
    raced_above = {root / "results" / "parsing.py", root / "wire" / "documented.py"}
    faults = [
        f"{path.relative_to(root)}:{call.lineno}: {ast.unparse(call)}"
        for path in sorted(set(root.rglob("*.py")) - raced_above)
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and _names_a_type_of_its_own(call)
    ]
    assert not faults


def _names_a_type_of_its_own(call: ast.Call) -> bool:
    called = ast.unparse(call.func)
    if called == "msgspec.convert":
        named = call.args[1:2] + [each.value for each in call.keywords if each.arg == "type"]
    elif called == "msgspec.json.decode":
        named = [each.value for each in call.keywords if each.arg == "type"]
    else:
        return False
    return any(isinstance(each, ast.Name) and each.id not in {"str", "int", "dict", "list"} for each in named)
