"""The output and error files of a batch, while they grow and when they are whole."""

from overlay.server.clock import Timeline
from overlay.server.engine.live import Live
from overlay.server.engine.store import Store
from overlay.server.objects import Batch, File


class ResultFiles:
    """`names_empty` says that an error file without lines is one, too, once the batch ends."""

    def __init__(self, store: Store, timeline: Timeline, *, names_empty: bool) -> None:
        self._store = store
        self._timeline = timeline
        self._names_empty = names_empty

    def put(self, live: Live, *, expires: int | None) -> None:
        """Make files of what is written by now; one that is empty is none."""
        batch, now = live.batch, self._timeline.now()
        for field, kind, file_id in (
            ("output_file_id", "output", live.progress.output_id),
            ("error_file_id", "error", live.progress.error_id),
        ):
            size = self.size(file_id)
            if not size and not (kind == "error" and self._is_named_empty(batch)):
                continue
            begun = self._store.file(file_id, now)
            self._store.grow_file(
                File(
                    id=file_id,
                    bytes=size,
                    created_at=begun.created_at if begun else int(now),
                    expires_at=expires,
                    filename=f"{batch.id}_{kind}.jsonl",
                    purpose="batch_output",
                )
            )
            setattr(batch, field, file_id)

    def _is_named_empty(self, batch: Batch) -> bool:
        """Whether an error file without lines is one, now that the batch ends."""
        return self._names_empty and batch.status in {"finalizing", "cancelling"}

    def size(self, file_id: str) -> int:
        """Of a content, or 0: a client may delete a file that is still being written."""
        path = self._store.content(file_id)
        return path.stat().st_size if path.exists() else 0
