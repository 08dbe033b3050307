"""Pictures in requests: a file becomes a data URL, and an address stays what it is."""

from __future__ import annotations

import base64
import stat
from pathlib import Path
from typing import TypeAlias

from overlay.errors import ConfigurationError
from overlay.requests.reasons import quoted

Image: TypeAlias = str | Path | bytes
"""A path, an http or data URL, or the content of a file."""
_LARGEST = 20_000_000
"""Bytes: the guide on images, "Image input requirements"."""
_PASSED_ON = ("https://", "http://", "data:image/")
_KINDS = ((b"\x89PNG\r\n\x1a\n", "png"), (b"\xff\xd8\xff", "jpeg"), (b"GIF87a", "gif"), (b"GIF89a", "gif"))
"""How files of the kinds that models see begin; a WebP has its name at byte 8."""


def image_url(image: object) -> str:
    """What a request says for an image: an http or data URL as it is; a path, or the file's bytes, as a data URL.

    Raises ConfigurationError if it is no image that models take (PNG, JPEG, WebP, GIF), or larger than 20 MB.
    """
    if isinstance(image, bytes):
        return _data_url(image, "the image")
    if isinstance(image, str) and image.lower().startswith(_PASSED_ON):
        return image
    if not isinstance(image, (str, Path)):
        raise ConfigurationError(f"an image is a path, a URL or bytes, not a {type(image).__name__}")
    path = Path(image)
    return _data_url(_content(path), quoted(str(path)))


def _content(path: Path) -> bytes:
    try:
        # Looked at before it is opened: opening a pipe blocks.
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            raise ConfigurationError(f"{quoted(str(path))} is no file")
        if about.st_size > _LARGEST:
            raise ConfigurationError(_too_large(quoted(str(path)), about.st_size))
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the path
        if isinstance(error, ConfigurationError):
            raise
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(f"the image {quoted(str(path))} cannot be read: {reason}") from error


def _data_url(content: bytes, name: str) -> str:
    kind = next((kind for start, kind in _KINDS if content.startswith(start)), None)
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        kind = "webp"
    if kind is None:
        raise ConfigurationError(f"{name} is no PNG, JPEG, WebP or GIF")
    if len(content) > _LARGEST:
        raise ConfigurationError(_too_large(name, len(content)))
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _too_large(name: str, size: int) -> str:
    return f"{name} is an image of {size / 1e6:,.1f} MB; the most that a request may hold is 20 MB"
