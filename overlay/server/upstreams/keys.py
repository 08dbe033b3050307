"""The key that the servers behind are sent.

The service's own comes from a variable or from a file, which is read again when it is told to, and when a server
refuses what it said. A token that came with a request is kept in memory alone. Of it the state remembers a salted
hash, by which the same token is known again after a restart.
"""

import hashlib
import hmac
import logging
import secrets
from pathlib import Path

logger = logging.getLogger("overlay.server")


class OwnKey:
    """`value` is the key, or None where the service has none of its own."""

    def __init__(self, value: str | None = None, *, file: Path | None = None) -> None:
        """Raises `ValueError` for a file that holds no key, and `OSError`."""
        self._file = file
        self.value = read_key(file) if file is not None else value

    def __repr__(self) -> str:
        return f"OwnKey(file={self._file!r}, known={self.value is not None})"

    def reload(self) -> bool:
        """Read the file again; returns whether the key is another one. An unreadable file changes nothing."""
        if self._file is None:
            return False
        try:
            value = read_key(self._file)
        except (OSError, ValueError) as error:
            logger.warning("the key of the upstream stays as it was: %s", error)
            return False
        changed, self.value = value != self.value, value
        return changed


def read_key(path: Path) -> str:
    """Raises `OSError`, and `ValueError` for what is not one word of ASCII."""
    try:
        key = path.read_text(encoding="ascii").strip()
    except UnicodeDecodeError:
        key = ""
    if not key or len(key.split()) > 1:
        raise ValueError(f"{path} does not hold a key: one line of ASCII")
    return key


def mark_of(token: str) -> str:
    """What may be stored of a token."""
    salt = secrets.token_hex(16)
    return f"{salt}${_digest(salt, token)}"


def is_marked(token: str, mark: str) -> bool:
    """Whether it is the token of that mark."""
    salt, _, digest = mark.partition("$")
    return bool(digest) and hmac.compare_digest(_digest(salt, token), digest)


def _digest(salt: str, token: str) -> str:
    return hashlib.sha256(f"{salt}{token}".encode()).hexdigest()
