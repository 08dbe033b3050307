"""Check the types of each block of Python in the documentation: `make check` runs it, and so would an editor.

PYTHONPATH=tests python -m support.typed_blocks
"""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from support.pages import DOCS, PROJECT, blocks

_OPTIONS = ("--ignore-missing-imports", "--disallow-untyped-defs", "--follow-imports", "silent")


def main():
    """Write each block to a file that names its page and line, and have mypy look at all of them."""
    with TemporaryDirectory() as folder:
        for path in (PROJECT / "README.md", *DOCS.rglob("*.md")):
            for block in blocks(path.read_text()):
                if (
                    block.language == "python"
                    and "def test_" not in block.text
                    and "--8<--" not in block.text
                ):
                    name = f"{path.stem.replace('-', '_')}_line_{block.line}.py"
                    (Path(folder) / name).write_text(block.text)
        files = sorted(map(str, Path(folder).iterdir()))
        config = ("--config-file", "", "--cache-dir", str(PROJECT / ".mypy_cache" / "blocks"))
        return subprocess.run(
            [sys.executable, "-m", "mypy", *config, *_OPTIONS, *files], check=False, cwd=PROJECT
        ).returncode


if __name__ == "__main__":
    sys.exit(main())
