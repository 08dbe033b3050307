"""The tokens that `overlay serve` accepts, from a file that is read again on SIGHUP."""

from __future__ import annotations

import hmac
import logging
from pathlib import Path

from overlay.errors import ConfigurationError

logger = logging.getLogger("overlay.server")


class AcceptedTokens:
    """Whether a token is one of those in the file, which are separated by white space."""

    def __init__(self, path: Path) -> None:
        """Raises `ConfigurationError` for a file that cannot be read, or holds none."""
        self._path = path
        self._known = _read(path)

    def __call__(self, token: str) -> bool:
        given = token.encode()
        return any(hmac.compare_digest(given, each) for each in self._known)

    def reload(self) -> None:
        """Read the file again; one that cannot be read changes nothing."""
        try:
            self._known = _read(self._path)
        except ConfigurationError as error:
            logger.warning("tokens stay as they were: %s", error)
        else:
            logger.info("--token-file was read again: %d tokens are accepted", len(self._known))


def _read(path: Path) -> list[bytes]:
    try:
        accepted = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"--token-file {path}: {getattr(error, 'strerror', 'not text')}") from None
    if not accepted:
        raise ConfigurationError(f"--token-file {path}: contains no token")
    return [each.encode() for each in accepted]
