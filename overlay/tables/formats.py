"""Files of rows, read batch by batch: Parquet, Arrow, CSV and JSON lines."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from itertools import islice
from typing import Any

import attrs
import msgspec

from overlay.errors import ConfigurationError, InvalidInputError, OverlayError, Problem
from overlay.lines import BOM, LINE_BYTES, MIB, is_object, split
from overlay.tables.arrow import Batch, Schema, csv as arrow_csv, pa, parquet
from overlay.tables.places import Place

_BATCH = 4096
_BLOCKS = (4 * MIB, 64 * MIB, 512 * MIB)
"""How much of a CSV is read at once: a row must fit."""
_ROW = re.compile(r"(?:In CSV column #(?P<column>\d+): )?(?:Row #(?P<row>\d+): )?(?P<reason>.*)", re.DOTALL)


@attrs.frozen
class Piece:
    """Some rows of a table, or before the first of them its schema alone."""

    schema: Schema
    batch: Batch | None = None
    loose: frozenset[str] = frozenset()
    """Columns of text whose types are still to be found."""


def pieces(place: Place, options: Mapping[str, Any]) -> Iterator[Piece | list[dict[str, Any]]]:
    """The rows of a file: batches of Arrow, or rows as dicts; at least one, which may be empty.

    `options` are pyarrow's for CSV, by their names. Raises InvalidInputError, with the line where there is one.
    """
    try:
        yield from _READERS[place.format](place, options)
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise InvalidInputError(place.name, [Problem(None, _told(place, error))]) from None
    except OSError as error:
        if error.errno is not None or isinstance(error, OverlayError):
            raise  # a disk's, or a network's
        # What Parquet's reader and those of packed files raise for bytes that make no sense to them.
        raise InvalidInputError(place.name, [Problem(None, _told(place, error))]) from None


def _told(place: Place, error: Exception) -> str:
    kind = {"parquet": "a Parquet file", "arrow": "an Arrow file"}.get(place.format, "readable")
    return f"not {kind}, or not a whole one: {str(error).splitlines()[0]}"


def _parquet(place: Place, _: Mapping[str, Any]) -> Iterator[Piece]:
    with place.open() as file, parquet.ParquetFile(file, pre_buffer=False) as table:
        yield Piece(table.schema_arrow)
        for batch in table.iter_batches(batch_size=_BATCH, use_threads=False):
            yield Piece(batch.schema, batch)


def _arrow(place: Place, _: Mapping[str, Any]) -> Iterator[Piece]:
    with place.open() as file:
        try:
            reader = pa.ipc.open_file(file)
        except pa.ArrowInvalid:
            file.seek(0)
            reader = pa.ipc.open_stream(file)
            yield from read(reader)
            return
        yield Piece(reader.schema)
        for number in range(reader.num_record_batches):
            yield Piece(reader.schema, reader.get_batch(number))


def read(reader: Any) -> Iterator[Piece]:
    """What a reader of record batches gives."""
    yield Piece(reader.schema)
    for batch in reader:
        yield Piece(reader.schema, batch)


def _json_lines(place: Place, _: Mapping[str, Any]) -> Iterator[list[dict[str, Any]]]:
    decode = msgspec.json.Decoder().decode
    with place.stream() as stream, io.BufferedReader(_Raw(stream), MIB) as file:
        rows: list[dict[str, Any]] = []
        size = 0
        for number, line in enumerate(split(file, LINE_BYTES), 1):
            text = line.removeprefix(BOM) if number == 1 else line
            if not text.strip():
                continue
            try:
                row = decode(text)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise InvalidInputError(place.name, [Problem(number, f"not JSON: {error}")]) from None
            if not is_object(row):
                raise InvalidInputError(place.name, [Problem(number, "not a JSON object")])
            rows.append(row)
            size += len(line)
            if len(rows) == _BATCH or size > _BLOCKS[0]:
                yield rows
                rows, size = [], 0
        yield rows


class _Raw(io.RawIOBase):
    """A file of pyarrow's, for Python's own buffer."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.name = "table"

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _csv(place: Place, options: Mapping[str, Any]) -> Iterator[Piece]:
    given: dict[str, Any] = {"delimiter": "\t"} | dict(options) if place.format == "tsv" else dict(options)
    asked: Any = given.pop("block_size", None)
    blocks = list(_BLOCKS) if asked is None else [asked]
    while True:
        settings = _Csv.of(given, blocks.pop(0))
        done = False
        try:
            for piece in settings.read(place):
                done = done or piece.batch is not None
                yield piece
        except pa.ArrowInvalid as error:
            if "straddling" in str(error) and blocks and not done:
                continue
            raise InvalidInputError(place.name, [settings.problem(place, str(error))]) from None
        return


@attrs.frozen
class _Csv:
    """How a CSV is read."""

    read_options: Any
    parse: Any
    convert: dict[str, Any]

    @classmethod
    def of(cls, given: Mapping[str, Any], block: int) -> _Csv:
        """By pyarrow's own names. Raises ConfigurationError for another name, and for a value that it refuses."""
        kinds = (arrow_csv.ReadOptions, arrow_csv.ParseOptions, arrow_csv.ConvertOptions)
        # A cell may hold line ends. An empty cell is null, and a quoted one is a text of no letters.
        usual: tuple[dict[str, Any], ...] = (
            {"block_size": block, "use_threads": False},
            {"newlines_in_values": True},
            {"strings_can_be_null": True, "null_values": [""], "quoted_strings_can_be_null": False},
        )
        for name, value in given.items():
            at = next((at for at, kind in enumerate(kinds) if hasattr(kind, name)), None)
            if at is None or name.startswith("_"):
                raise ConfigurationError(
                    f"csv={{{name!r}: ...}}: pyarrow's CSV reader has no such option; it has delimiter, "
                    "quote_char, encoding and others"
                )
            usual[at][name] = value
        read, parse, convert = usual
        try:
            arrow_csv.ConvertOptions(**convert)
            return cls(arrow_csv.ReadOptions(**read), arrow_csv.ParseOptions(**parse), convert)
        except (TypeError, ValueError, pa.ArrowException) as error:
            raise ConfigurationError(f"csv={dict(given)!r}: {error}") from None

    def read(self, place: Place) -> Iterator[Piece]:
        names = self._names(place)
        typed = dict(self.convert.get("column_types") or {})
        loose = frozenset(names) - typed.keys()
        convert = {**self.convert, "column_types": {**dict.fromkeys(loose, pa.string()), **typed}}
        with place.stream() as stream, closing(self._open(stream, convert)) as reader:
            for piece in read(reader):
                yield attrs.evolve(piece, loose=loose)

    def _open(self, stream: Any, convert: Mapping[str, Any]) -> Any:
        return arrow_csv.open_csv(
            stream,
            read_options=self.read_options,
            parse_options=self.parse,
            convert_options=arrow_csv.ConvertOptions(**convert),
        )

    def _names(self, place: Place) -> list[str]:
        """The columns, read from the file's beginning."""
        with place.stream() as stream, closing(self._open(stream, self.convert)) as reader:
            return list(reader.schema.names)

    def problem(self, place: Place, text: str) -> Problem:
        """What pyarrow says, with the line in place of a count of rows."""
        text = text.removeprefix("CSV parse error: ")
        found = _ROW.fullmatch(text)
        assert found is not None
        reason = found["reason"].replace("CSV conversion error to ", "not a ").splitlines()[0]
        reason = reason[:1].lower() + reason[1:]
        if "invalid UTF8" in text:
            reason = (
                'not UTF-8; name the encoding, as in csv={"encoding": "latin-1"} or --csv encoding=latin-1'
            )
        elif _is_utf16(place):
            reason = 'UTF-16, not UTF-8; say so with csv={"encoding": "utf-16"} or --csv encoding=utf-16'
        elif "straddling" in text:
            reason = (
                f"a row is longer than {self.read_options.block_size // MIB:,} MiB; is a quote left open?"
            )
        elif "Empty CSV" in text:
            reason = "the file is empty"
        if found["column"]:
            reason = f"column {int(found['column']) + 1}: {reason}"
        return Problem(self._line(place, int(found["row"])) if found["row"] else None, reason)

    def _line(self, place: Place, row: int) -> int | None:
        """The line on which a row begins: cells may hold line ends."""
        encoding = self.read_options.encoding
        with place.stream() as stream:
            text = io.TextIOWrapper(
                io.BufferedReader(_Raw(stream), MIB), encoding=encoding, errors="replace", newline=""
            )
            rows = csv.reader(
                text, delimiter=self.parse.delimiter, quotechar=self.parse.quote_char or None, strict=False
            )
            try:
                for _ in islice(rows, row - 1):
                    pass
            except csv.Error:
                return None
            return rows.line_num + 1


def _is_utf16(place: Place) -> bool:
    with place.stream() as stream:
        return bytes(stream.read(2)) in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE}


_READERS: dict[str, Any] = {
    "parquet": _parquet,
    "arrow": _arrow,
    "csv": _csv,
    "tsv": _csv,
    "jsonl": _json_lines,
}
