"""What clients ask of uploads: the bodies of their requests, decoded and checked."""

from typing import Any

import msgspec

from overlay.server.engine.creation import read_parameters, read_text
from overlay.server.refusals import Refusal, missing_parameter
from overlay.server.settings import Limits


class Announced(msgspec.Struct):
    """The body of POST /v1/uploads."""

    bytes: int
    filename: str
    mime_type: str
    purpose: str
    expires_after: Any = None


decode_announced = msgspec.json.Decoder(Announced).decode


def read_announced(body: bytes, limits: Limits) -> Announced:
    """Decode and check. Raises `Refusal`."""
    asked = read_parameters(body, Announced.__struct_fields__)
    size, most = asked.get("bytes"), limits.max_assembled_bytes
    if size is None:
        raise missing_parameter("bytes")
    if type(size) is not int:
        raise Refusal(
            400, "Invalid type for 'bytes': expected an integer.", param="bytes", code="invalid_type"
        )
    if not 1 <= size <= most:
        raise Refusal(
            400,
            f"Invalid 'bytes': expected a whole number from 1 to {most}.",
            param="bytes",
            code="invalid_value",
        )
    filename, mime_type = read_text(asked, "filename"), read_text(asked, "mime_type")
    if not filename:
        raise Refusal(400, "Invalid 'filename': expected a name.", param="filename", code="invalid_value")
    return Announced(size, filename, mime_type, read_text(asked, "purpose"), asked.get("expires_after"))


class Completion(msgspec.Struct):
    """The body of POST /v1/uploads/{upload_id}/complete."""

    part_ids: list[str]
    md5: str | None
    """In hexadecimal, of the whole file."""


def read_completion(body: bytes) -> Completion:
    """Decode and check. Raises `Refusal`."""
    asked = read_parameters(body, Completion.__struct_fields__)
    if asked.get("part_ids") is None:
        raise missing_parameter("part_ids")
    try:
        part_ids = msgspec.convert(asked["part_ids"], list[str])
    except msgspec.ValidationError:
        raise Refusal(
            400,
            "Invalid type for 'part_ids': expected an array of strings.",
            param="part_ids",
            code="invalid_type",
        ) from None
    return Completion(part_ids, read_text(asked, "md5") if asked.get("md5") is not None else None)
