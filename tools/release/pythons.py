"""The Pythons on this machine that a release is for."""

import os
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

VERSIONS = ("3.11", "3.12", "3.13")


def candidates(version: str) -> list[Path]:
    """Where a Python may be: on the path, and where pyenv keeps its own."""
    folders = [Path(each) for each in os.environ.get("PATH", "").split(os.pathsep) if each]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    return [folder / f"python{version}" for folder in (*folders, *sorted(pyenv.glob(f"{version}.*/bin")))]


def found(versions: Iterable[str] = VERSIONS) -> dict[str, Path]:
    """The first Python of each version that can make environments; a pyenv shim may be there and start nothing."""
    pythons: dict[str, Path] = {}
    for version in versions:
        for path in candidates(version):
            if path.is_file() and version_of(path) == version:
                pythons[version] = path
                break
    return pythons


def version_of(python: Path) -> str | None:
    """Which Python it is, as `3.12`; None if it does not start, or has no venv."""
    code = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run(  # noqa: S603 - a Python that was found, or named
            [python, "-c", code], check=True, capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError):
        return None
    said = done.stdout.strip()
    return said if re.fullmatch(r"\d\.\d+", said) else None
