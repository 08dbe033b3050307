"""A copy of the project with an environment of its own, for experiments that must not touch the project.

The environment borrows the packages of the present one and puts the copy before them on the path, so that the
project under test is the copy even in the subprocesses of its tests, although the present environment has the
project installed as editable. Nothing is downloaded.
"""

import shutil
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
_LEFT_OUT = shutil.ignore_patterns(
    *(
        ".git",
        ".venv*",
        ".*_cache",
        "__pycache__",
        ".hypothesis",
        "*.egg-info",
        "dist",
        "build",
        "demo-output",
    )
)


@dataclass(frozen=True)
class ProjectCopy:
    """Where the copy is, and the interpreter to run it with."""

    path: Path
    python: Path


def copy_project(folder: Path) -> ProjectCopy:
    """Copy the project into *folder*, which must exist, and make an environment for it there."""
    project = folder / "project"
    shutil.copytree(PROJECT, project, symlinks=True, ignore=_LEFT_OUT)
    environment = folder / "environment"
    venv.create(environment, symlinks=True)
    python = environment / "bin" / "python"
    places = {"base": str(environment), "platbase": str(environment)}
    packages = Path(sysconfig.get_path("purelib", vars=places))
    borrowed = sysconfig.get_path("purelib")
    # Lines of a .pth file are processed in order: https://docs.python.org/3/library/site.html
    (packages / "project_copy.pth").write_text(f"{project}\nimport site; site.addsitedir({borrowed!r})\n")
    for script in Path(sys.executable).parent.iterdir():
        _borrow(script, environment / "bin" / script.name, python)
    return ProjectCopy(project, python)


def _borrow(script: Path, target: Path, python: Path) -> None:
    """Put a command into another environment; a Python script runs with that environment's interpreter."""
    if target.exists() or not script.is_file():
        return
    first, _, rest = script.read_bytes().partition(b"\n")
    if first.startswith(b"#!") and first.endswith((b"python", b"python3")):
        target.write_bytes(f"#!{python}\n".encode() + rest)
        target.chmod(0o755)
    else:
        target.symlink_to(script)
