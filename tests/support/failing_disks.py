"""Disks that refuse."""

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

_NOBODY = 65534


@contextmanager
def read_only(folder):
    """A copy of the folder that cannot be written to. Root can write anywhere, so it is somebody else meanwhile."""
    above = Path(tempfile.mkdtemp())  # where others may go, which is not so of pytest's folders
    copy = shutil.copytree(folder, above / "copy")
    paths = [above, copy, *copy.rglob("*")]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    was = os.geteuid()
    if was == 0:
        os.seteuid(_NOBODY)
    try:
        yield copy
    finally:
        if was == 0:
            os.seteuid(was)
        for path in paths:
            path.chmod(0o755)
        shutil.rmtree(above)
