"""A batch under way, with all that belongs to it."""

import asyncio
from dataclasses import dataclass

from overlay.server.answers.batch_lines import BatchLines
from overlay.server.answers.source import Caller
from overlay.server.engine.progress import Progress
from overlay.server.objects import Batch


@dataclass
class Live:
    """A batch that is not final."""

    batch: Batch
    progress: Progress
    caller: Caller
    lines: BatchLines | None = None
    task: asyncio.Task[None] | None = None
    says: str = ""
    """What it waited for last."""
