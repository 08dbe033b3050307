"""Somebody else on the same key: files and batches that the client under test did not make, and sees in its lists.

They are made without HTTP, so they are not recorded as requests and meet no faults. Otherwise they are like any
other: they run, have results, and count towards the caps of the account.
"""

import msgspec

from overlay.server.engine.creation import Creation
from overlay.server.engine.engine import Engine, no_batch
from overlay.server.objects import Batch, File
from overlay.server.refusals import Refusal

_KEEP = 30 * 86400
_ENDPOINT = "/v1/chat/completions"


class Foreign(msgspec.Struct, forbid_unknown_fields=True):
    """What the neighbour is to make.

    `like` is the id of a batch to copy in all but its ids: name and content of the input file, endpoint, window,
    metadata. The other fields are ignored then.
    """

    like: str | None = None
    requests: int = 1
    """How many requests the file holds."""
    filename: str = "theirs.jsonl"
    metadata: dict[str, str] | None = None


class Neighbour:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def upload(self, foreign: Foreign) -> File:
        """Make a file, and no batch of it. Raises `Refusal` where there is nothing to copy."""
        if foreign.like is None:
            return self._add(foreign.filename, _lines(foreign))
        batch, file = self._original(foreign.like)
        source = self._engine.store.content(file.id)
        if not source.exists():
            source = self._engine.store.input_of(batch.id)
        return self._add(file.filename, source.read_bytes())

    def create(self, foreign: Foreign) -> Batch:
        """Make a file and a batch of it. Raises `Refusal` likewise."""
        asked = Creation(
            input_file_id=self.upload(foreign).id,
            endpoint=_ENDPOINT,
            completion_window="24h",
            metadata=foreign.metadata,
            keep_output=None,
        )
        if foreign.like is not None:
            origin, _ = self._original(foreign.like)
            asked.endpoint, asked.completion_window = origin.endpoint, origin.completion_window
            asked.metadata = origin.metadata
        return self._engine.create(asked, None)

    def _original(self, batch_id: str) -> tuple[Batch, File]:
        batch = self._engine.batch(batch_id)
        if batch is None:
            raise no_batch(batch_id)
        file = self._engine.store.usable_file(batch.input_file_id, self._engine.timeline.now())
        if file is None:
            raise Refusal(404, f"The input file of batch {batch_id} is gone.", param="like")
        return batch, file

    def _add(self, filename: str, content: bytes) -> File:
        engine, now = self._engine, int(self._engine.timeline.now())
        file = File(
            id=engine.new_id("file"),
            bytes=len(content),
            created_at=now,
            expires_at=now + _KEEP,
            filename=filename,
            purpose="batch",
        )
        engine.store.content(file.id).write_bytes(content)
        engine.store.add_file(file)
        return file


def _lines(foreign: Foreign) -> bytes:
    lines = (
        {
            "custom_id": f"theirs-{number}",
            "method": "POST",
            "url": _ENDPOINT,
            "body": {"model": "m", "messages": [{"role": "user", "content": f"ask {number}"}]},
        }
        for number in range(foreign.requests)
    )
    return b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
