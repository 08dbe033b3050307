"""Lines that leave to the service what it knows: the method, the url, and the model of a batch that names one."""

from pathlib import Path
from typing import Any, cast

import msgspec

from overlay.lines import is_object
from overlay.server.disk import Disk, room


def fill_lines(path: Path, endpoint: str, model: str | None, disk: Disk) -> None:
    """Write the file anew with what its lines lack. Raises `NoRoomError`. Blocks.

    Lines that are no JSON objects stay as they are, for the check of the batch to find. A second time changes
    nothing, so a service that was stopped in between may do it again.
    """
    whole = path.with_name(path.name + ".filled")
    with room(), path.open("rb") as lines, whole.open("wb") as filled:
        for line in lines:
            filled.write(_filled(line, endpoint, model))
    disk.keep(whole)
    whole.replace(path)


def _filled(line: bytes, endpoint: str, model: str | None) -> bytes:
    try:
        request = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return line
    if not is_object(request):
        return line
    request = {"method": "POST", "url": endpoint, **request}
    body: Any = request.get("body")
    if model is not None and isinstance(body, dict):
        request["body"] = {"model": model, **cast("dict[str, Any]", body)}
    return msgspec.json.encode(request) + b"\n"
