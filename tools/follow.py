"""Follow the published document: one command from its address to a commit on a branch of its own.

The change is made in a worktree, so that the tree of whoever calls is untouched: `tools.spec`, `tools.generate`,
and a commit on `spec/<date>` with the report as its message. It stops before the commit where a promise of the
overlay breaks: then somebody must decide.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from tools.spec import CHANGED, UNCHANGED, UNDECIDED

PROJECT = Path(__file__).resolve().parents[1]
BREAKS = 3
_EXIT_CODES = """\
exit codes:
  0  nothing has changed, or the change is on the branch
  2  the document was refused, or something failed; there is no branch
  3  a promise of the overlay breaks: the report says which; there is no branch
"""
_SPEC = ("--local", "openapi.local.yaml", "--bodies", "overlay/requests/schemas.json")


class FollowError(Exception):
    """A step failed; the message is what it said."""


def follow(address: str, *, project: Path = PROJECT, branch: str | None = None) -> int:
    """Make the change that the document at *address* leads to; returns the exit code.

    Raises:
        FollowError: A step failed, and nothing is left behind.

    """
    branch = branch or f"spec/{datetime.now(UTC).date().isoformat()}"
    with tempfile.TemporaryDirectory(prefix="spec-") as folder:
        tree = Path(folder) / "tree"
        _git(project, "worktree", "add", "--quiet", "-b", branch, str(tree), "HEAD")
        keep = False
        try:
            done = _python(tree, "tools.spec", address, *_SPEC)
            sys.stdout.write(done.stdout)
            if done.returncode == UNCHANGED:
                return 0
            if done.returncode != CHANGED:
                raise FollowError(done.stderr.strip())
            report, _, _ = done.stdout.partition(UNDECIDED)  # what was there before stops nobody
            if "BREAKING:" in report:
                print(
                    "stopped: a promise of the overlay breaks; decide, and run `make spec` by hand",
                    file=sys.stderr,
                )
                return BREAKS
            made = _python(tree, "tools.generate")
            if made.returncode != 0:
                raise FollowError(made.stderr.strip())
            _git(tree, "add", "--all")
            _git(
                tree,
                "commit",
                "--quiet",
                "--message",
                f"The published document of {address}\n\n{done.stdout}",
            )
            keep = True
            print(f"committed to {branch}")
            return 0
        finally:
            _git(project, "worktree", "remove", "--force", str(tree))
            if not keep:
                _git(project, "branch", "--quiet", "-D", branch)


def _python(tree: Path, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - the command is built here
        [sys.executable, "-B", "-m", module, *arguments],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
        check=False,
    )


def _git(folder: Path, *arguments: str) -> None:
    done = subprocess.run(  # noqa: S603 - the command is built here
        ["git", "-C", str(folder), *arguments],  # noqa: S607 - whichever git the caller has
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise FollowError(done.stderr.strip() or f"git {arguments[0]} failed")


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.follow",
        description=__doc__,
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("address", help="the document: an https URL, or a path")
    parser.add_argument("--branch", help="the branch to make (default: spec/ and the date)")
    chosen = parser.parse_args(arguments)
    address = chosen.address if "://" in chosen.address else str(Path(chosen.address).resolve())
    try:
        return follow(address, branch=chosen.branch)
    except FollowError as error:
        print(f"nothing was done: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
