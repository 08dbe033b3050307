"""Output and error files with lines that are not as they should be.

    service.faults.add("GET /files/*/content", OtherIds(to="number"), times=None)

Each is a pure function of a file's content. Files that hold no results, such as input files, stay as they are. For
a file that ends too early at the end of a line, there is `Cut(lines=2, framing="close")`.
"""

from typing import Any, Literal

import msgspec

from overlay.lines import is_object
from overlay.server.faults.effect import EffectValue

_MARK = b"\xef\xbb\xbf"


class OtherIds(EffectValue, frozen=True, tag="other_ids"):
    """Change the `custom_id` of lines to null, to the line's `number` or to another `text`, or leave it out.

    With `every=2` every other line is changed, the first one included.
    """

    to: Literal["null", "number", "text", "absent"] = "null"
    every: int = 1

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"every is at least 1, not {self.every}")


class ByteOrderMark(EffectValue, frozen=True, tag="byte_order_mark"):
    """Begin the file with a byte order mark."""


LineEffect = OtherIds | ByteOrderMark


def spoiled(effect: LineEffect, content: bytes) -> bytes:
    """The content of a file, spoiled if it holds results."""
    lines = content.split(b"\n")
    if not is_object(first := _decoded(lines[0])) or not first.keys() >= {"custom_id", "response"}:
        return content
    if isinstance(effect, ByteOrderMark):
        return _MARK + content
    for place in range(0, len(lines), effect.every):
        if is_object(line := _decoded(lines[place])):
            lines[place] = msgspec.json.encode(_renamed(line, place + 1, effect.to))
    return b"\n".join(lines)


def _decoded(line: bytes) -> Any:
    try:
        return msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _renamed(line: dict[str, Any], number: int, to: str) -> dict[str, Any]:
    if to == "absent":
        return {name: value for name, value in line.items() if name != "custom_id"}
    other = {"null": None, "number": number, "text": f"other-{line['custom_id']}"}
    return line | {"custom_id": other[to]}
