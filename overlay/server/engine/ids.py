"""Ids of batches and files, as different services make them."""

import secrets
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable

from overlay.server.objects import new_id
from overlay.server.settings import Ids, Kind

# So many bytes are 300 characters of base64, the last of them padding.
_LONG = 224
_PREFIXES: dict[Kind, str] = {"batch": "batch_", "file": "file-"}
_FOLDERS: dict[Kind, str] = {"batch": "batches/", "file": "files/"}


def ids(form: Ids) -> Callable[[Kind], str]:
    """What makes a new id for a batch or a file each time it is called."""
    if callable(form):
        return form
    return _FORMS[form]


_FORMS: dict[str, Callable[[Kind], str]] = {
    "openai": lambda kind: new_id(_PREFIXES[kind]),
    "uuid": lambda _: str(uuid.uuid4()),
    "dashed": lambda kind: f"{kind}-{uuid.uuid4()}",
    "long": lambda _: urlsafe_b64encode(secrets.token_bytes(_LONG)).decode(),
    "path": lambda kind: _FOLDERS[kind] + secrets.token_hex(6),
}
