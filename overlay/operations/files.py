"""Send from disk, fetch to disk: one flow for each thing that can be done with a file.

Everything passes through the disk: memory stays flat, a broken download resumes where it stopped, and what is
at the final path is always complete. `delete` is the only place from which a file at the service is deleted.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

import attrs

from overlay import models
from overlay.errors import (
    APIError,
    APIStatusError,
    BadRequestError,
    ConfigurationError,
    FileGoneError,
    InvalidInputError,
    InvalidResponseError,
    NotFoundError,
    Problem,
)
from overlay.flows.extras import checked_fields, with_extra
from overlay.flows.steps import Fetch, Flow, Put, Work, call, pause
from overlay.generated.api.files import create_file, delete_file, retrieve_file
from overlay.generated.models import CreateFileRequest, DeleteFileResponse
from overlay.generated.types import File as Part
from overlay.lines import open_lines, short_name
from overlay.models import File, Page
from overlay.operations.listing import file_page
from overlay.operations.offers import require
from overlay.pages import Moment, checked_limit, window
from overlay.wire import retry
from overlay.wire.clock import Seconds, seconds
from overlay.wire.connection import Settings
from overlay.wire.part_file import PartFile
from overlay.wire.uploading import UploadRedirectedError

_log = logging.getLogger("overlay")

_PROGRESS = 64 * 1024
"""Once a try has come this many bytes further, the next one counts as the first again."""
_GONE = frozenset({404, 410})


def upload(
    settings: Settings,
    path: str | os.PathLike[str],
    *,
    purpose: str | None = None,
    filename: str | None = None,
    expires_after: Seconds | None = None,
    extra_body: Mapping[str, Any] | None = None,
    extra_query: Mapping[str, Any] | None = None,
    extra_headers: Mapping[str, str] | None = None,
) -> Flow[File]:
    """Send a file, streamed from the disk, and return the service's record of it.

    `purpose` is by default what the service calls the input of a batch: `batch` at OpenAI.
    `filename` is the name to store it under, by default its own. `expires_after` (a timedelta or seconds from
    3,600 to 2,592,000) says when the service should delete it.

    `extra_body` holds more fields of the form; it, `extra_query` and `extra_headers` are sent beside what this SDK
    knows.

    Raises StorageError if it cannot be read, InvalidInputError if it is empty or changes meanwhile.
    """
    flow = _upload(
        settings,
        Path(path),
        purpose=purpose or settings.service.purpose,
        filename=filename,
        expires_after=expires_after,
        extra=checked_fields(extra_body, "extra_body"),
    )
    return with_extra(flow, "create_file", query=extra_query, headers=extra_headers)


def _upload(
    settings: Settings,
    source: Path,
    *,
    purpose: str,
    filename: str | None,
    expires_after: Seconds | None,
    extra: Mapping[str, Any],
) -> Flow[File]:
    with (yield Work(partial(open_lines, source, buffer_bytes=0))) as handle:
        before = _inspect(source, handle)
        body = CreateFileRequest(
            file=Part(payload=handle, file_name=filename or source.name, mime_type="application/jsonl"),
            purpose=purpose,
        )
        for name, value in extra.items():
            body[name] = value
        if expires_after is not None:
            # The API takes the object's members as separate form fields, not as one JSON field.
            anchor, span = settings.service.expiry_fields
            body[anchor] = "created_at"
            body[span] = int(seconds(expires_after))
        try:
            sent = yield from _sent(settings, source, body)
        except (ConfigurationError, BadRequestError):
            # A body that is not as long as announced cannot be sent, and a torn one may be refused.
            if (yield Work(partial(_changed, before, handle))):
                raise _changed_error(source) from None
            raise
        changed = yield Work(partial(_changed, before, handle))
    if changed:
        yield from delete(settings, sent.id)
        raise _changed_error(source)
    if isinstance(sent.bytes_, int) and 0 < sent.bytes_ != before.st_size:
        # Gateways write the lines anew, with other names of models or ids.
        _log.warning(
            "%s: %s bytes were sent, and the service's file %s has %s",
            source,
            f"{before.st_size:,}",
            sent.id,
            f"{sent.bytes_:,}",
        )
    settings.note_upload(sent.id, sent.status)
    return sent


def _sent(settings: Settings, source: Path, body: CreateFileRequest) -> Flow[File]:
    try:
        received = yield from call(settings, create_file, policy=retry.UPLOAD, profile="upload", body=body)
    except UploadRedirectedError as error:
        # Left before anything else can fail: the address is a secret, and errors keep what they were raised in.
        redirected = error
    else:
        return models.file(received)
    return (yield from _send_on(settings, source, redirected))


def _send_on(settings: Settings, source: Path, redirected: UploadRedirectedError) -> Flow[File]:
    """Send the content of an upload to where the service wants it. To do so again does no harm."""
    if redirected.file_id is None:
        raise InvalidResponseError(
            "the upload was redirected to a storage, and nothing says what the file's id will be"
        )
    attempt = 0
    while True:
        try:
            yield Put(redirected.target, source)
            break
        except APIError as error:
            delay = retry.delay(error, attempt)
            attempt += 1
            if delay is None or attempt >= min(retry.UPLOAD.tries, settings.max_retries + 1):
                raise
            why = str(error)
        yield from pause(why, delay)
    return (yield from retrieve(settings, redirected.file_id))


def _changed(before: os.stat_result, handle: BinaryIO) -> bool:
    after = os.fstat(handle.fileno())
    return (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns)


def _changed_error(source: Path) -> InvalidInputError:
    return InvalidInputError(source, [Problem(None, "changed during the upload; nothing was created")])


def _inspect(path: Path, handle: BinaryIO) -> os.stat_result:
    found = os.fstat(handle.fileno())
    if not found.st_size:
        raise InvalidInputError(path, [Problem(None, "the file is empty")])
    return found


def retrieve(
    settings: Settings,
    file_id: str,
    *,
    extra_query: Mapping[str, Any] | None = None,
    extra_headers: Mapping[str, str] | None = None,
) -> Flow[File]:
    """The service's record of a file. Raises NotFoundError if there is none with this id.

    `extra_query` and `extra_headers` are sent beside what this SDK knows.
    """
    flow = _record(settings, file_id)
    return with_extra(flow, "retrieve_file", query=extra_query, headers=extra_headers)


def _record(settings: Settings, file_id: str) -> Flow[File]:
    file_id = models.checked_id(file_id, "file")
    received = models.file((yield from call(settings, retrieve_file, file_id=file_id)))
    if received.id != file_id:
        raise InvalidResponseError(f"asked for file {file_id}, got {received.id}")
    return received


def page(
    settings: Settings,
    *,
    after: str | None = None,
    limit: int | None = None,
    purpose: str | None = None,
    created_after: Moment | None = None,
    created_before: Moment | None = None,
    extra_query: Mapping[str, Any] | None = None,
    extra_headers: Mapping[str, str] | None = None,
) -> Flow[Page[File]]:
    """The project's files, newest first at OpenAI: iterate over all of them, or over `.pages()`.

    `after` is the id to start after, `limit` the size of a page. `purpose` (`batch`, `batch_output`, …) is
    applied by the service; `created_after` (inclusive) and `created_before` (exclusive), datetimes or
    ISO 8601 strings, UTC if they name no zone, are applied here, and end the list early if it was seen to run
    newest first. A file that cannot be read is left out, logged, and counted in its page's `unreadable`.

    Raises InvalidResponseError if the answer is no list.
    """
    span = window(created_after, created_before)
    if after is not None:
        after = models.checked_id(after, "file")
    flow = file_page(settings, after=after, limit=checked_limit(limit), purpose=purpose, span=span)
    return (yield from with_extra(flow, "list_files", query=extra_query, headers=extra_headers))


def delete(
    settings: Settings,
    file_id: str,
    *,
    extra_query: Mapping[str, Any] | None = None,
    extra_headers: Mapping[str, str] | None = None,
) -> Flow[None]:
    """Delete a file. Raises NotFoundError if there is none with this id, UnsupportedError.

    `extra_query` and `extra_headers` are sent beside what this SDK knows.
    """
    flow = _delete(settings, file_id)
    return with_extra(flow, "delete_file", query=extra_query, headers=extra_headers)


def _delete(settings: Settings, file_id: str) -> Flow[None]:
    file_id = models.checked_id(file_id, "file")
    require(settings, settings.service.deletes, "delete files")
    received = yield from call(settings, delete_file, settled=NotFoundError, file_id=file_id)
    if isinstance(received, DeleteFileResponse) and received.deleted is False:
        raise InvalidResponseError(f"the service says that it did not delete file {file_id}")


def download(
    settings: Settings,
    file_id: str,
    path: str | os.PathLike[str],
) -> Flow[Path]:
    """Fetch a file's content to `path`, which is replaced once the download is complete, and return the path.

    A broken download resumes where it stopped if the service allows it. A failed one leaves a hidden part file
    beside `path`, which the next one continues.

    Raises FileGoneError if the file was deleted or has expired, StorageError if it cannot be written.
    """
    return fetch(settings, file_id, Path(path), lasting=True)


def fetch(
    settings: Settings, file_id: str, target: Path, *, lasting: bool, broken: APIError | None = None
) -> Flow[Path]:
    """Like `download`. A file that is not `lasting` need not survive a loss of power, and is there much sooner.

    `broken` is the error that ended an earlier try.
    """
    yield from fetch_measured(settings, file_id, target, lasting=lasting, broken=broken)
    return target


def fetch_measured(
    settings: Settings, file_id: str, target: Path, *, lasting: bool, broken: APIError | None = None
) -> Flow[bool]:
    """Like `fetch`, and says whether the service tells how long the file is: only then is it surely whole."""
    source = content_path(file_id)
    part = target.with_name(f".{short_name(target.name)}.{short_name(quote(file_id, safe=''))}.part")
    part_file = yield Work(partial(PartFile, part))
    tries = _Tries()
    try:
        while True:
            if broken is not None:
                yield from _wait_to_retry(settings, broken, part_file, tries)
            part_file.offset = yield Work(lambda: part_file.size)
            try:
                yield Fetch(source, part_file)
                measured = yield from _verify(settings, file_id, part_file, tries)
                break
            except APIError as error:
                broken = error
        yield Work(partial(part_file.settle, target, lasting=lasting))
    finally:
        part_file.close()
    return measured


def content_path(file_id: str) -> str:
    """The path of a file's content at the service. Raises ConfigurationError."""
    return f"/files/{quote(models.checked_id(file_id, 'file'), safe='')}/content"


@attrs.define
class _Tries:
    """The tries of one download: how many in a row came no further than an earlier one, and how far that came."""

    count: int = 0
    best: int = 0
    longer: int = 0
    """How many bytes arrived at last, where that was more than the file's record says."""

    def saw(self, size: int) -> None:
        """A try has left the part with so many bytes. Only what lies beyond the best so far is progress: a service
        without ranges begins anew each time.
        """
        if size - self.best >= _PROGRESS:
            self.count, self.best = 0, size


def _wait_to_retry(settings: Settings, error: APIError, part_file: PartFile, tries: _Tries) -> Flow[None]:
    """Decide whether to try again, and wait for it. Raises the error, or FileGoneError, if not."""
    if isinstance(error, APIStatusError) and error.status_code in _GONE:
        raise FileGoneError(
            f"the file's content is gone: {error.message}",
            **{name: getattr(error, name) for name in _STATUS_FIELDS},
        )
    size = yield Work(lambda: part_file.size)
    if size > part_file.offset:
        tries.saw(size)
    unusable_part = isinstance(error, APIStatusError) and error.status_code == 416 and part_file.offset  # noqa: PLR2004
    if unusable_part:
        yield Work(part_file.clear)
    delay = 0.0 if unusable_part else retry.delay(error, tries.count)
    tries.count += 1
    if delay is None or tries.count >= min(retry.READ.tries, settings.max_retries + 1):
        raise error
    yield from pause(str(error), delay)


_STATUS_FIELDS = ("status_code", "request_id", "code", "type", "param", "body", "is_json")


def _verify(settings: Settings, file_id: str, part_file: PartFile, tries: _Tries) -> Flow[bool]:
    """Compare the size that arrived with that announced by the answer, or else by the file's record; False if
    neither says.

    Fewer bytes than the record has are a cut. If more arrive twice, and as many each time, the record is of
    another form of the file, as at gateways that write lines anew, and says nothing.
    """
    size = yield Work(lambda: part_file.size)
    expected = part_file.total
    if expected is None:
        # An answer that ends when the connection does looks complete wherever it is cut.
        try:
            record = yield from retrieve(settings, file_id)
            expected = record.bytes_ if isinstance(record.bytes_, int) and record.bytes_ > 0 else None
        except APIError:
            expected = None
    if expected is not None and size != expected:
        if size > expected:
            if part_file.total is None and size == tries.longer:
                _log.warning(
                    "file %s: %s bytes arrived twice; its record, which says %s, is not believed",
                    file_id,
                    f"{size:,}",
                    f"{expected:,}",
                )
                return False
            tries.longer = size
            yield Work(part_file.clear)
        raise InvalidResponseError(f"file {file_id}: {size:,} of {expected:,} bytes arrived")
    return expected is not None
