"""The same verbs from a shell: `overlay check`, `run`, `batches …`, `files …`, `serve`.

Data goes to stdout, progress and messages to stderr. No command ends in a traceback, unless OVERLAY_DEBUG is set.
The exit status says how a command ended: see `overlay.cli.endings`.
"""

import sys
from importlib import import_module
from typing import NoReturn

from overlay.cli.signals import Stopping


def main() -> NoReturn:
    """The entry point of the `overlay` command."""
    stopping = Stopping()
    try:
        for name in ("rich", "typer"):
            import_module(name)
    except ImportError as error:
        sys.stderr.write(f"error: {error.name} is missing: pip install 'openai-batch-overlay[cli]'\n")
        sys.exit(1)
    from overlay.cli.app import run  # noqa: PLC0415 - needs them

    sys.exit(run(stopping))
