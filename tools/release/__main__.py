"""The steps of a release, in their order; the first that fails ends it, with exit status 1."""

import argparse
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from overlay.version import VERSION
from tools.release import pythons
from tools.release.trials import EXTRAS, TrialError, run, trials

PROJECT = Path(__file__).resolve().parents[2]
_SECTION = re.compile(r"^## (\S+?)(?:, (\d{4}-\d\d-\d\d))?$", re.MULTILINE)


class ReleaseError(Exception):
    """What keeps a release from being made; the message says what to do."""


def check_version(tag: str | None, changelog: str) -> None:
    """Raise ReleaseError unless the changelog is about this version and, for a tag, has its date."""
    found = _SECTION.search(changelog)
    if found is None or found[1] != VERSION:
        at_top = found[1] if found else "nothing"
        raise ReleaseError(f"CHANGELOG.md begins with {at_top}, and overlay/version.py says {VERSION}")
    if tag is None:
        return
    if tag != f"v{VERSION}":
        raise ReleaseError(f"the tag is {tag}, and overlay/version.py says {VERSION}")
    if found[2] is None:
        raise ReleaseError(f"CHANGELOG.md has no date for {VERSION}: write '## {VERSION}, YYYY-MM-DD'")


def build(folder: Path) -> tuple[Path, Path]:
    """The wheel and the source distribution, built in an environment of their own, and their metadata checked."""
    shutil.rmtree(folder, ignore_errors=True)
    _call("build", "--outdir", folder, PROJECT)
    _call("twine", "check", "--strict", *folder.iterdir())
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, sdist


def _call(module: str, *words: str | Path) -> None:
    done = subprocess.run(  # noqa: S603 - build and twine, of this environment
        [sys.executable, "-m", module, *words], check=False, capture_output=True, text=True, cwd=PROJECT
    )
    if done.returncode:
        raise ReleaseError(f"{module} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-4000:]}")


def release(options: argparse.Namespace) -> None:
    """All of it. Raises ReleaseError, TrialError."""
    check_version(options.tag, (PROJECT / "CHANGELOG.md").read_text())
    chosen = {pythons.version_of(each) or str(each): each for each in options.python} or pythons.found()
    if not chosen:
        raise ReleaseError(f"none of Python {', '.join(pythons.VERSIONS)} is here: name one with --python")
    if missing := [version for version in pythons.VERSIONS if version not in chosen]:
        _say(f"not tried: Python {', '.join(missing)}")
        if options.tag is not None:
            raise ReleaseError("a tagged release is tried with each of them")
    wheel, sdist = build(options.dist)
    _say(f"built, and metadata checked: {wheel.name}, {sdist.name}")
    planned = trials(
        wheel, sdist, version=VERSION, extras=options.extra, demo=PROJECT / "examples" / "demo.py"
    )
    for version, python in chosen.items():
        for trial in planned:
            began = time.monotonic()
            with TemporaryDirectory(prefix="overlay-release-") as folder:
                run(trial, python, Path(folder) / "environment")
            _say(f"Python {version}: {trial.name}: good ({time.monotonic() - began:.0f} s)")


def _say(line: str) -> None:
    print(line, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.release", description=__doc__)
    parser.add_argument("--tag", help="the tag of the release, which has to be this version's")
    parser.add_argument("--python", type=Path, nargs="*", default=[], help="by default those that are found")
    parser.add_argument(
        "--extra", nargs="*", choices=sorted(EXTRAS), default=sorted(EXTRAS), help="by default all"
    )
    parser.add_argument("--dist", type=Path, default=PROJECT / "dist", help="where the distributions go")
    try:
        release(parser.parse_args(arguments))
    except (ReleaseError, TrialError) as error:
        print(f"no release: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
