"""Addresses of files: one file, a folder, a pattern, here or on a file system that pyarrow or fsspec knows."""

from __future__ import annotations

import fnmatch
import posixpath
from pathlib import Path
from typing import Any

import attrs

from overlay.errors import ConfigurationError, StorageError
from overlay.lines import storage_errors
from overlay.tables.arrow import fs as arrow_fs, pa
from overlay.tables.needed import needed

SUFFIXES = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".arrows": "arrow",
}
"""What a file's name says of its format."""
_COMPRESSED = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2", ".lz4": "lz4"}
_GLOB = frozenset("*?[")
_SHOWN = ".csv, .tsv, .parquet, .jsonl, .arrow or .feather"


@attrs.frozen
class Place:
    """A file on a file system."""

    name: str
    """As the caller would write it."""
    system: Any
    path: str
    format: str
    compression: str | None

    def open(self) -> Any:
        """To be read anywhere in it."""
        return self.system.open_input_file(self.path)

    def stream(self) -> Any:
        """To be read from its beginning, unpacked."""
        return self.system.open_input_stream(self.path, compression=self.compression)


def is_address(text: str) -> bool:
    """Whether a path names another file system than this machine's."""
    return "://" in text


def format_of(path: str) -> tuple[str, str | None]:
    """A file's format and compression, by its name. Raises ConfigurationError for a name that tells none."""
    rest, last = posixpath.splitext(path.lower())
    compression = _COMPRESSED.get(last)
    suffix = posixpath.splitext(rest)[1] if compression else last
    found = SUFFIXES.get(suffix)
    if found is None or (compression and found in {"parquet", "arrow"}):
        raise ConfigurationError(f"{path}: a table's name ends in {_SHOWN}, the texts also with .gz or .zst")
    return found, compression


def places(given: str) -> list[Place]:
    """The files that an address names, in the order of their names.

    Raises StorageError if there are none, ConfigurationError if the file system or the format is unknown.
    """
    with storage_errors(given):
        system, path = file_system(given)
        names = _names(system, path, given)
    remote = given.partition("://")[0] + "://" if is_address(given) else ""
    return [Place(given if each == path else remote + each, system, each, *format_of(each)) for each in names]


def file_system(given: str) -> tuple[Any, str]:
    """The file system of an address, and the path there."""
    if not is_address(given):
        return arrow_fs.LocalFileSystem(), str(Path(given).expanduser().absolute())
    scheme = given.partition("://")[0]
    if not _GLOB.intersection(given):
        try:
            found: tuple[Any, str] = arrow_fs.FileSystem.from_uri(given)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError):
            pass  # one that fsspec may know
        else:
            return found
    fsspec = needed("fsspec", f"reading {scheme}://")
    try:
        system, path = fsspec.core.url_to_fs(given)
    except ImportError as error:
        raise ConfigurationError(f"{given}: {error}") from None
    except ValueError:
        raise ConfigurationError(f"{given}: neither pyarrow nor fsspec knows {scheme}://") from None
    return arrow_fs.PyFileSystem(arrow_fs.FSSpecHandler(system)), path


def _names(system: Any, path: str, given: str) -> list[str]:
    info = system.get_file_info(path)
    if info.type == arrow_fs.FileType.File:
        return [path]
    if info.type == arrow_fs.FileType.Directory:
        found = [each for each in _below(system, path) if _is_table(each, path)]
    elif _GLOB.intersection(path):
        base = path[: min(path.index(each) for each in _GLOB if each in path)].rpartition("/")[0]
        found = [each for each in _below(system, base or "/") if _matches(each, path)]
    else:
        raise StorageError(f"{given}: no such file", path=given)
    if not found:
        raise StorageError(f"{given}: there are no tables ({_SHOWN})", path=given)
    return sorted(found)


def _below(system: Any, folder: str) -> list[str]:
    chosen = arrow_fs.FileSelector(folder, recursive=True, allow_not_found=True)
    return [each.path for each in system.get_file_info(chosen) if each.type == arrow_fs.FileType.File]


def _is_table(path: str, folder: str) -> bool:
    """Not what other programs leave beside their tables, such as _SUCCESS and .crc files."""
    below = posixpath.relpath(path, folder).split("/")
    if any(part.startswith((".", "_")) for part in below):
        return False
    try:
        format_of(path)
    except ConfigurationError:
        return False
    return True


def _matches(path: str, pattern: str) -> bool:
    """As a shell has it: a star does not reach over a slash, two of them do."""
    if "**" in pattern:
        return fnmatch.fnmatchcase(path, pattern.replace("**/", "*"))
    return path.count("/") == pattern.count("/") and fnmatch.fnmatchcase(path, pattern)
