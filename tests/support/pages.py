"""What a reader does with a page of the documentation: copies each block, and compares what comes of it.

- A block with a title, such as ```json title="requests.jsonl", is a file of that name.
- `python` is run as a program of its own. A `text` block right after it is what it prints.
- `console` has commands after `$ ` and, below each, what it prints; `sh` has commands alone. Ids, times and
  addresses are other ones each time and compare as equal; `...` stands for anything. `# exit status 3` says how a
  command ends.
- `overlay serve` and `overlay hooks serve` are started, and stay until the page ends.
"""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
import time
import tomllib
from contextlib import ExitStack, redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from io import StringIO
from itertools import pairwise
from pathlib import Path
from textwrap import dedent

from support.command_line import PATIENCE, CommandLine

PROJECT = Path(__file__).resolve().parents[2]
DOCS = PROJECT / "docs"
NOT_INSTALLED = {"airflow", "dagster", "litellm", "prefect", "pydantic_ai", "ray"}
"""What the tests' environment lacks: blocks that import it are compiled, and their imports of ours looked up.
`make compat CLIENTS=docs` runs those of other libraries."""
_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<info>\w[^\n]*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)
_TITLE = re.compile(r'title="([^"]+)"')
_EXTRAS = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
_CHANGING = (
    (re.compile(r"\b[0-9a-f]{20}-[0-9a-f]{8}\b"), "JOB"),
    (re.compile(r"\b(batch|file)[-_]\w+"), r"\1"),
    (re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d\+00:00"), "TIME"),
    (re.compile(r"127\.0\.0\.1:\d+"), "HERE"),
    (re.compile(r"\d+(\.\d+)? [kM]?B\b"), "SIZE"),
    (re.compile(r" s elapsed.*"), " s elapsed"),
    (re.compile(r"\d+ s elapsed"), "TIME elapsed"),
)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    text: str
    title: str | None
    line: int
    output: str | None
    """The text block right below it."""


def blocks(source: str) -> list[Block]:
    """The blocks of a page, in their order."""
    found, text_below = [], {}
    fences = list(_FENCE.finditer(source))
    for fence, following in pairwise(fences):
        between = source[fence.end() : following.start()]
        if following["info"] == "text" and not between.strip():
            text_below[fence] = dedent(following["text"])
    for fence in fences:
        title = _TITLE.search(fence["info"])
        language = fence["info"].split()[0]
        line = source[: fence.start()].count("\n") + 1
        text = dedent(fence["text"])
        found.append(Block(language, text, title and title[1], line, text_below.get(fence)))
    return found


def commands(text: str) -> list[tuple[str, str]]:
    """The commands of a console, each with what it prints."""
    found: list[tuple[str, str]] = []
    open_ = False
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], ""))
        elif open_:
            found[-1] = (f"{found[-1][0]}\n{line}", "")
        else:
            found[-1] = (found[-1][0], f"{found[-1][1]}{line}\n")
        open_ = (line.startswith("$ ") or open_) and line.endswith("\\")
    return found


def assert_printed(expected: str, printed: str, where: str) -> None:
    """That a program printed what the page shows."""
    for pattern, name in _CHANGING:
        expected, printed = pattern.sub(name, expected), pattern.sub(name, printed)
    expected, printed = " ".join(expected.split()), " ".join(printed.split())
    pattern = re.escape(expected).replace(re.escape(" ... "), " (?:.*? )?").replace(re.escape("..."), ".*?")
    assert re.fullmatch(pattern, printed), f"{where}: expected\n{expected}\nbut it printed\n{printed}"


def check_imports(tree: ast.AST) -> set[str]:
    """The packages that a program imports, and that the names it imports of ours exist."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            found.add(node.module.partition(".")[0])
            if node.module.startswith("overlay"):
                home = import_module(node.module)
                for each in node.names:
                    assert hasattr(home, each.name) or find_spec(f"{node.module}.{each.name}"), each.name
        elif isinstance(node, ast.Import):
            found |= {each.name.partition(".")[0] for each in node.names}
    return found


class Reader:
    """Follows one page in a folder of its own, at a service that is there already."""

    def __init__(self, page, folder, base_url, monkeypatch, *, instead=None):
        self.page, self.folder, self.instead = page, folder, instead or {}
        self.command_line = CommandLine(folder, base_url, token="any")
        self.patch = monkeypatch
        self.env = {}
        self.ports = {}
        self.run = 0
        """How many blocks were run."""
        self.of_a_checkout = []
        """Commands for those who work on the project."""

    def follow(self, source):
        with ExitStack() as self.stack:
            for block in blocks(source):
                where = f"{self.page}:{block.line}"
                if block.title:
                    (self.folder / block.title).write_text(block.text)
                elif block.text.startswith("--8<--"):
                    continue  # a file of the project, with tests of its own
                elif block.language == "python":
                    self._python(block, where)
                elif block.language == "console":
                    for command, printed in commands(block.text):
                        self._shell(command, printed, where)
                elif block.language == "sh":
                    self._shell(block.text, "", where)
                else:
                    continue
                self.run += 1

    def _here(self, text):
        """The text with what the reader has in place of what the page names."""
        for named, had in self.instead.items():
            text = text.replace(named, had)
        for named, had in self.ports.items():
            text = text.replace(f":{named}", f":{had}")
        return text

    def _python(self, block, where):
        text = self._here(block.text)
        if "def test_" in text:
            self._pytest(text, where)
            return
        if NOT_INSTALLED & check_imports(compile(text, where, "exec", ast.PyCF_ONLY_AST)):
            return
        with StringIO() as stream, redirect_stdout(stream):
            exec(compile(text, where, "exec", dont_inherit=True), {"__name__": "__main__"})
            printed = stream.getvalue()
        if block.output is not None:
            assert_printed(block.output, printed, where)

    def _pytest(self, text, where):
        (self.folder / "test_page.py").write_text(text)
        words = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "--strict-markers",
            "test_page.py",
        ]
        done = subprocess.run(
            words, check=False, cwd=self.folder, capture_output=True, text=True, timeout=PATIENCE
        )
        assert done.returncode == 0, f"{where}: {done.stdout}"

    def _shell(self, command, printed, where):
        if command.startswith("pip install"):
            extras = re.findall(r"\[([\w,]+)\]", command)
            assert all(each in _EXTRAS for names in extras for each in names.split(",")), where
            return
        if command.startswith(("make ", "python -m benchmarks")):
            self.of_a_checkout.append(command)
            return
        if exported := re.fullmatch(r"export (\w+=\S+(?: \w+=\S+)*)", command):
            for name, value in (each.split("=", 1) for each in shlex.split(exported[1])):
                self.env[name] = self._here(value)
                self.patch.setenv(name, self.env[name])
            return
        if assigned := re.fullmatch(r"(\w+)=\$\((.+)\)", command):
            done = self.command_line.shell(self._here(assigned[2]), **self.env)
            assert done.returncode == 0, f"{where}: {command}: {done.stderr}"
            self.env[assigned[1]] = done.stdout.strip()
            return
        if command.startswith(("overlay serve", "overlay hooks serve")):
            self._serve(self._here(command), where)
            return
        status = re.search(r"# exit status (\d+)", command)
        done = self.command_line.shell(f"set -e\n{{\n{self._here(command)}\n}} 2>&1", **self.env)
        assert done.returncode == int(status[1] if status else 0), f"{where}: {command}: {done.stdout}"
        assert "Traceback" not in done.stdout
        if printed:
            assert_printed(printed, done.stdout, f"{where}: {command}")

    def _serve(self, command, where):
        """Start it on a free port: what the page says of its port is said of that one."""
        _, *words = shlex.split(command.replace("\\\n", " "))
        named = words[words.index("--port") + 1] if "--port" in words else "8080"
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        server = self.stack.enter_context(self.command_line.start(*words, "--port", "0", **options))
        self.stack.callback(server.kill)
        for line in server.stdout:
            if found := re.search(r"(?:serving|receiving webhooks) at http://127\.0\.0\.1:(\d+)", line):
                self.ports[named] = found[1]
                return
        raise AssertionError(f"{where}: it does not serve")


def impatient(seconds):
    """A pause that is short enough for tests."""
    time.sleep(min(seconds, 0.02))
