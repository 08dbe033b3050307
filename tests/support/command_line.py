"""The `overlay` command as a process of its own, pointed at a service."""

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

OVERLAY = (sys.executable, "-c", "from overlay.cli import main; main()")
CANARY = "sk-canary-7f3a9c1e5b"
PATIENCE = 60
"""Seconds after which a process is taken to hang."""


class CommandLine:
    """Runs `overlay` in a folder, with an environment that holds nothing of the machine's."""

    def __init__(self, folder, base_url=None, token=CANARY):
        self.folder = folder
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "OVERLAY_HOME": str(folder / "home"),
            "TERM": "xterm",
            "PYTHONWARNINGS": "error",
        }
        if base_url is not None:
            self.env["OPENAI_BASE_URL"] = base_url
        if token is not None:
            self.env["OPENAI_API_KEY"] = token

    def __call__(self, *words, stdout=subprocess.PIPE, **env):
        """Run to the end. Whatever happens, there is no traceback and no token in what is printed."""
        done = subprocess.run(
            [*OVERLAY, *map(str, words)],
            cwd=self.folder,
            env=self.env | env,
            stdout=stdout,
            stderr=subprocess.PIPE,
            timeout=PATIENCE,
            check=False,
            text=True,
        )
        if "OVERLAY_DEBUG" not in env:
            assert "Traceback" not in done.stderr, done.stderr
        assert CANARY not in (done.stdout or "") + done.stderr
        return done

    def json(self, *words, **env):
        """The one JSON document that a command prints."""
        return json.loads(self(*words, "--json", **env).stdout)

    @contextmanager
    def start(self, *words, **options):
        """Start it, to be watched, or stopped; a test that fails does not leave it there."""
        settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
        words = [*OVERLAY, *map(str, words)]
        with subprocess.Popen(words, cwd=self.folder, env=self.env, **settings) as process:
            try:
                yield process
            except BaseException:
                process.kill()
                raise

    def shell(self, line, **env):
        """Run a line of sh in which `overlay` is the command."""
        launcher = Path(self.folder) / "bin" / "overlay"
        if not launcher.exists():
            launcher.parent.mkdir()
            launcher.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{OVERLAY[2]}" "$@"\n')
            launcher.chmod(0o755)
        path = f"{launcher.parent}:{self.env['PATH']}"
        return subprocess.run(
            ["bash", "-c", line],
            cwd=self.folder,
            env=self.env | {"PATH": path} | env,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
            text=True,
        )


def lines_until(stream, wanted):
    """Read lines until one contains the text; gives that line."""
    seen = []
    for line in stream:
        seen.append(line)
        if wanted in line:
            return line
    raise AssertionError(f"{wanted!r} was not printed, but {seen}")
