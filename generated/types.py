# Written by openapi-python-client from openapi.yaml; `make generate` rebuilds it. Edits are lost.
"""What generated models and operations have in common.

An absent value is ``None``, as a JSON null is: ``UNSET`` is ``None`` and ``Unset`` is its type. A field that may be
absent is therefore ``X | None`` to a reader, and a model holds nothing that cannot be pickled.
"""

from collections.abc import Mapping, MutableMapping
from http import HTTPStatus
from typing import IO, TYPE_CHECKING, BinaryIO, Generic, TypeAlias, TypeVar

from attrs import define

# ``Unset`` stands in annotations, where a type checker wants None, and in ``isinstance``, which wants a class.
if TYPE_CHECKING:
    Unset: TypeAlias = None
else:
    Unset = type(None)

UNSET: None = None

# What httpx takes as one part of ``files=``: https://www.python-httpx.org/advanced/clients/#multipart-file-encoding
Content = IO[bytes] | bytes | str
FileTypes = (
    tuple[str | None, Content, str | None]
    | tuple[str | None, Content, str | None, Mapping[str, str]]
)
RequestFiles = list[tuple[str, FileTypes]]


@define
class File:
    """One file of a multipart body: where to read it, and the name and media type to send with it."""

    payload: BinaryIO
    file_name: str | None = None
    mime_type: str | None = None

    def to_tuple(self) -> FileTypes:
        """The file in the order in which httpx wants it."""
        return (self.file_name, self.payload, self.mime_type)


Parsed = TypeVar("Parsed")


@define
class Response(Generic[Parsed]):
    """An answer as it came, and as its documented type where it has one."""

    status_code: HTTPStatus
    content: bytes
    headers: MutableMapping[str, str]
    parsed: Parsed | None


__all__ = ["UNSET", "File", "FileTypes", "RequestFiles", "Response", "Unset"]
