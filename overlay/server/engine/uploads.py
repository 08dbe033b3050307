"""Files that arrive in parts, as https://platform.openai.com/docs/api-reference/uploads has them.

    pending ─→ completed | cancelled | expired

A part is a file of its own until the parts are joined, in the order that the client names, to the content of a new
File. An upload that is over holds no parts. All this outlives a restart.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import msgspec

from overlay.server.clock import Timeline
from overlay.server.disk import Disk, write_whole
from overlay.server.engine.filing import described
from overlay.server.engine.input_files import check_input_file
from overlay.server.engine.store import Store
from overlay.server.engine.upload_requests import Announced, Completion, decode_announced
from overlay.server.objects import File, Upload, UploadPart, decode_upload, new_id
from overlay.server.refusals import Refusal
from overlay.server.settings import Kind, Limits

# "expires after an hour after you create it": POST /uploads.
_LIFETIME = 3600
_PIECE = 1 << 20

# What is added to the tables of the store changes none of them, so a state folder keeps its version.
_TABLES = (
    """CREATE TABLE IF NOT EXISTS uploads (
        id TEXT PRIMARY KEY,
        pending INTEGER NOT NULL,
        announced BLOB NOT NULL, -- the file to come, as the client described it
        document BLOB NOT NULL
    )""",
    """CREATE TABLE IF NOT EXISTS upload_parts (
        id TEXT PRIMARY KEY,
        upload_id TEXT NOT NULL,
        bytes INTEGER NOT NULL
    )""",
    "CREATE INDEX IF NOT EXISTS upload_parts_by_upload ON upload_parts (upload_id)",
)


class Uploads:
    """Belongs to one event loop."""

    def __init__(
        self, store: Store, timeline: Timeline, limits: Limits, new_id: Callable[[Kind], str]
    ) -> None:
        self._store = store
        self._new_file_id = partial(new_id, "file")
        self._timeline = timeline
        self.limits = limits
        self._joining: set[str] = set()
        for statement in _TABLES:
            store.execute(statement)

    def start(self) -> None:
        """Remove the parts of no pending upload, as a killed process leaves them, and watch over the others."""
        kept = {row[0] for row in self._store.execute("SELECT id FROM upload_parts")}
        for path in self._store.parts.iterdir():
            if path.name not in kept:
                path.unlink()
        rows = self._store.execute("SELECT document FROM uploads WHERE pending").fetchall()
        for (document,) in rows:
            upload = decode_upload(document)
            self._timeline.start(self._expire(upload))

    def create(self, asked: Announced) -> Upload:
        """Raises `Refusal` for what would be no file, once it were whole."""
        now, upload_id = self._timeline.now(), new_id("upload_")
        _file("", asked, now)
        upload = Upload(
            id=upload_id,
            bytes=asked.bytes,
            created_at=int(now),
            filename=asked.filename,
            purpose=asked.purpose,
            expires_at=int(now) + _LIFETIME,
        )
        self._store.execute(
            "INSERT INTO uploads (id, pending, announced, document) VALUES (?, 1, ?, ?)",
            (upload_id, msgspec.json.encode(asked), msgspec.json.encode(upload)),
        )
        self._timeline.start(self._expire(upload))
        return upload

    def pending(self, upload_id: str) -> Upload:
        """An upload that takes parts. Raises `Refusal` when there is none of this id, or it is over."""
        upload = self._upload(upload_id)
        if upload.status != "pending":
            raise _over(upload)
        if upload_id in self._joining:
            raise Refusal(409, f"Upload {upload_id} is being completed.")
        return upload

    async def keep_part(self, part_id: str) -> None:
        """Return when what was written is on the disk. Raises `NoRoomError`."""
        await asyncio.to_thread(self._store.disk.keep, self.part_path(part_id))

    def part_path(self, part_id: str) -> Path:
        """Where the bytes of a part are to be written, before it is added."""
        return self._store.parts / part_id

    def add_part(self, upload_id: str, part_id: str, size: int) -> UploadPart:
        """Raises `Refusal` when the upload ended meanwhile, or holds too much."""
        self.pending(upload_id)
        held, most = sum(size for _, size in self._parts(upload_id)), self.limits.max_assembled_bytes
        if held + size > most:
            raise Refusal(413, f"The parts of an upload may hold {most} bytes together.", param="data")
        self._store.execute(
            "INSERT INTO upload_parts (id, upload_id, bytes) VALUES (?, ?, ?)", (part_id, upload_id, size)
        )
        return UploadPart(id=part_id, created_at=int(self._timeline.now()), upload_id=upload_id)

    async def complete(self, upload_id: str, asked: Completion) -> Upload:
        """Join the parts to a file. Raises `Refusal` where they are not what was announced; they can be mended."""
        upload = self.pending(upload_id)
        paths = self._chosen(upload, asked.part_ids)
        file_id = self._new_file_id()
        target = self._store.content(file_id)
        self._joining.add(upload_id)
        try:
            digest = await asyncio.to_thread(_join, paths, target, self._store.disk)
            _compare(digest, asked.md5)
            upload.file = _file(file_id, self._announced(upload_id), self._timeline.now())
            if upload.file.purpose == "batch" and self.limits.check_uploads:
                await asyncio.to_thread(check_input_file, target, upload.file.filename)
            self._end(upload, "completed")
        except BaseException:
            self._store.drop_content(file_id)
            raise
        finally:
            self._joining.discard(upload_id)
            self._expire_if_due(upload_id)
        return upload

    def cancel(self, upload_id: str) -> Upload:
        """Raises `Refusal` when there is none of this id, or it is completed or expired."""
        upload = self._upload(upload_id)
        if upload.status == "cancelled":
            return upload
        upload = self.pending(upload_id)
        self._end(upload, "cancelled")
        return upload

    def _upload(self, upload_id: str) -> Upload:
        row = self._store.execute("SELECT document FROM uploads WHERE id = ?", (upload_id,)).fetchone()
        if row is None:
            raise Refusal(404, f"No such Upload object: {upload_id}", param="upload_id")
        return decode_upload(row[0])

    def _announced(self, upload_id: str) -> Announced:
        row = self._store.execute("SELECT announced FROM uploads WHERE id = ?", (upload_id,)).fetchone()
        return decode_announced(row[0])

    def _parts(self, upload_id: str) -> list[tuple[str, int]]:
        return self._store.execute(
            "SELECT id, bytes FROM upload_parts WHERE upload_id = ?", (upload_id,)
        ).fetchall()

    def _chosen(self, upload: Upload, part_ids: Sequence[str]) -> list[Path]:
        sizes = dict(self._parts(upload.id))
        if len(set(part_ids)) < len(part_ids):
            raise _bad_parts("Invalid 'part_ids': a part is named twice.")
        if unknown := [each for each in part_ids if each not in sizes]:
            raise _bad_parts(f"Invalid 'part_ids': there is no part {unknown[0]!r} in this upload.")
        total = sum(sizes[each] for each in part_ids)
        if total != upload.bytes:
            raise _bad_parts(
                f"The parts have {total} bytes together, and {upload.bytes} were announced for the upload."
            )
        return [self.part_path(each) for each in part_ids]

    def _end(self, upload: Upload, status: str) -> None:
        parts, upload.status = self._parts(upload.id), status
        with self._store.transaction():
            if upload.file:
                self._store.add_file(upload.file)
            self._store.execute(
                "UPDATE uploads SET pending = 0, document = ? WHERE id = ?",
                (msgspec.json.encode(upload), upload.id),
            )
            self._store.execute("DELETE FROM upload_parts WHERE upload_id = ?", (upload.id,))
        for part_id, _ in parts:
            self.part_path(part_id).unlink(missing_ok=True)

    async def _expire(self, upload: Upload) -> None:
        await self._timeline.sleep_until(upload.expires_at)
        self._expire_if_due(upload.id)

    def _expire_if_due(self, upload_id: str) -> None:
        upload = self._upload(upload_id)
        due = upload.status == "pending" and upload.expires_at <= self._timeline.now()
        if due and upload_id not in self._joining:
            self._end(upload, "expired")


def _file(file_id: str, asked: Announced, now: float) -> File:
    return described(
        file_id,
        filename=asked.filename,
        size=asked.bytes,
        purpose=asked.purpose,
        expires_after=asked.expires_after,
        now=now,
    )


def _join(parts: Sequence[Path], target: Path, disk: Disk) -> str:
    """Write the parts one after another; gives the md5 of the whole. Blocks."""
    digest = hashlib.md5(usedforsecurity=False)
    with target.open("wb", buffering=0) as whole:
        for part in parts:
            with part.open("rb", buffering=0) as file:
                while piece := file.read(_PIECE):
                    digest.update(piece)
                    write_whole(whole, piece)
    disk.keep(target)
    return digest.hexdigest()


def _compare(digest: str, md5: str | None) -> None:
    if md5 is not None and md5.lower() != digest:
        raise Refusal(400, f"The md5 of the parts is {digest}, not {md5}.", param="md5", code="invalid_value")


def _bad_parts(message: str) -> Refusal:
    return Refusal(400, message, param="part_ids", code="invalid_value")


def _over(upload: Upload) -> Refusal:
    return Refusal(400, f"Upload {upload.id} is {upload.status}, and takes no more parts.", param="upload_id")
