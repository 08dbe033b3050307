"""Write the tables that load public names on first use, from each package's one list of them.

The list is what a package imports under `TYPE_CHECKING`, which type checkers and editors read. Python does not run
that block, so the names go into `public_names.py` beside it, each with its module. `make format` writes the table;
`make check` fails if it is out of date.

    python -m tools.public_names [--check]
"""

import argparse
import ast
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
PACKAGES = (PROJECT / "overlay", PROJECT / "overlay" / "server")
_HEAD = '''"""Where each public name is defined. Written by `make format` from the imports in __init__.py."""

HOMES = {
'''


def names(source: str, package: str) -> dict[str, str]:
    """Each name imported under TYPE_CHECKING, with its module, relative to the package."""
    found: dict[str, str] = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            for each in node.body:
                if isinstance(each, ast.ImportFrom) and each.module:
                    home = each.module.removeprefix(f"{package}.")
                    found.update({alias.name: home for alias in each.names})
    return dict(sorted(found.items()))


def table(folder: Path) -> str:
    """What should be in a package's `public_names.py`."""
    package = ".".join(folder.relative_to(PROJECT).parts)
    homes = names((folder / "__init__.py").read_text(), package)
    return _HEAD + "".join(f'    "{name}": "{home}",\n' for name, home in homes.items()) + "}\n"


def main(arguments: list[str] | None = None) -> int:
    """Write the tables, or with --check report which are out of date; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a table is out of date")
    chosen = parser.parse_args(arguments)
    stale = 0
    for folder in PACKAGES:
        path, wanted = folder / "public_names.py", table(folder)
        if path.exists() and path.read_text() == wanted:
            continue
        if chosen.check:
            sys.stderr.write(f"{path.relative_to(PROJECT)} is out of date: run `make format`\n")
            stale = 1
        else:
            path.write_text(wanted)
    return stale


if __name__ == "__main__":
    sys.exit(main())
