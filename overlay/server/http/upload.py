"""A multipart form with one file in it, or one part of a file, written to disk as it arrives.

python-multipart finds the parts; the bytes go straight from its callbacks to the file, in the event loop, because
handing each piece to a thread costs more than writing it to the page cache.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from overlay.server.disk import write_whole
from overlay.server.refusals import Refusal

_LARGEST_FIELD = 1 << 16
_LARGEST_HEADER = 1 << 13
_MOST_PARTS = 32
# What a form may hold beside its file.
_REST = 1 << 20


class Form:
    """`fields` by name; the part called `name` is in `path`, with `filename` and `size`."""

    def __init__(self, path: Path, largest: int, name: str = "file") -> None:
        self.path = path
        self.name = name
        self.fields: dict[str, str] = {}
        self.filename: str | None = None
        self.size = 0
        self._largest = largest
        self._file: BinaryIO | None = None
        self._header = b""
        self._value = b""
        self._disposition = b""
        self._name = ""
        self._in_file = False
        self._text = bytearray()
        self._parts = 0
        self._ended = False

    async def read(self, content_type: str | None, stream: AsyncIterator[bytes]) -> None:
        """Raises `Refusal` for what is not a form, or is too large."""
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if kind != b"multipart/form-data" or not boundary:
            raise Refusal(400, "The request must be a multipart/form-data form.")
        try:
            with self.path.open("wb", buffering=0) as self._file:
                parser = MultipartParser(
                    boundary,
                    {
                        "on_part_begin": self._begin,
                        "on_header_field": self._on_header,
                        "on_header_value": self._on_value,
                        "on_header_end": self._on_header_end,
                        "on_headers_finished": self._on_headers,
                        "on_part_data": self._on_data,
                        "on_part_end": self._end,
                        "on_end": self._on_end,
                    },
                )
                received = 0
                async for piece in stream:
                    received += len(piece)
                    if received > self._largest + _REST:
                        raise Refusal(413, f"The form is larger than {self._largest + _REST} bytes.")
                    if piece:
                        parser.write(piece)
        except FormParserError:
            raise Refusal(400, "The multipart form of the request could not be read.") from None
        if not self._ended:
            raise Refusal(400, "The multipart form of the request ends too early.")

    def _begin(self) -> None:
        self._disposition = b""
        self._text.clear()
        self._in_file = False
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise Refusal(413, f"The form has more than {_MOST_PARTS} parts.")

    def _on_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]
        self._check_header()

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        self._check_header()

    def _check_header(self) -> None:
        if len(self._header) + len(self._value) > _LARGEST_HEADER:
            raise Refusal(413, "A header within the form is too large.")

    def _on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def _on_headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        if self._name == self.name:
            if self.filename is not None:
                raise Refusal(400, "The form has more than one file.", param=self.name)
            self._in_file = True
            self.filename = options.get(b"filename", b"").decode("utf-8", "replace")

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self.size += end - start
            if self.size > self._largest:
                raise Refusal(413, f"The file is larger than {self._largest} bytes.", param=self.name)
            assert self._file
            write_whole(self._file, memoryview(data)[start:end])
        else:
            self._text += data[start:end]
            if len(self._text) > _LARGEST_FIELD:
                raise Refusal(413, "A field of the form is too large.", param=self._name)

    def _end(self) -> None:
        if not self._in_file:
            self.fields[self._name] = self._text.decode("utf-8", "replace")

    def _on_end(self) -> None:
        self._ended = True
