"""The mark on a batch that says whose it is: one pair of metadata, written at its create.

    overlay = <nonce>                                                             of client.batches.create
    overlay = <nonce>/<home>/<job>/<shard>.<generation>.<part>/<bytes>.<digest>   of a job

Bytes and digest (SHA-256, its first 16 digits) are those of the input file, so that whoever recovers the job
elsewhere knows that it is that file. The nonce is new for each create, so that a batch found in the list is
known to be the one that an unanswered create made, and no other. One pair holds it all: 15 are left to the
caller. Jobs begun by version 0.1 wrote three pairs, `overlay_job`, `overlay_shard` and `overlay_generation`,
which are still read.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Any

import attrs

from overlay.lines import is_object

KEY = "overlay"
_LEGACY_KEYS = ("overlay_job", "overlay_shard", "overlay_generation")
OUR_KEYS = frozenset({KEY, *_LEGACY_KEYS})
"""The keys of metadata that are not the caller's."""
_MARK = re.compile(
    r"(?P<nonce>[0-9a-f]{16})"
    r"(?:/(?P<home>[0-9a-f]{12})/(?P<job>[A-Za-z0-9][A-Za-z0-9._-]{0,63})"
    r"/(?P<shard>\d{1,9})\.(?P<generation>\d{1,9})\.(?P<part>\d{1,9})"
    r"(?:/(?P<bytes>\d{1,15})\.(?P<digest>[0-9a-f]{16}))?)?"
)
_DIGEST = 16
"""How many digits of a digest stand in a mark."""
_NUMBER = re.compile(r"\d{1,9}")
HOME_ID = re.compile(r"[0-9a-f]{12}")


@attrs.frozen
class Mark:
    """What a batch's metadata says of its origin. `nonce` and `home` are None on batches of version 0.1."""

    nonce: str | None
    home: str | None = None
    job: str | None = None
    shard: int = 0
    generation: int = 0
    part: int = 0
    input: tuple[int, str] | None = None
    """Size in bytes of the input file, and the beginning of its SHA-256; None where the mark does not say."""

    @property
    def key(self) -> tuple[int, int, int]:
        return self.shard, self.generation, self.part

    def pair(self) -> dict[str, str]:
        """The mark as metadata."""
        place = f"/{self.home}/{self.job}/{self.shard}.{self.generation}.{self.part}" if self.job else ""
        told = "/{}.{}".format(*self.input) if self.input else ""
        return {KEY: f"{self.nonce}{place}{told}"}


def input_of(size: int, sha256: str) -> tuple[int, str]:
    """What a mark says of an input file of this size and digest (in hex)."""
    return size, sha256[:_DIGEST]


def new_nonce() -> str:
    return secrets.token_hex(8)


def new_home() -> str:
    """An id for a home folder."""
    return secrets.token_hex(6)


def mark_of(metadata: object) -> Mark | None:
    """The mark that metadata carries; None where there is none of ours, or one that cannot be read."""
    if not is_object(metadata):
        return None
    value = metadata.get(KEY)
    found = _MARK.fullmatch(value) if isinstance(value, str) else None
    if found is not None:
        shard, generation, part = (int(found[name] or 0) for name in ("shard", "generation", "part"))
        told = (int(found["bytes"]), found["digest"]) if found["bytes"] else None
        return Mark(found["nonce"], found["home"], found["job"], shard, generation, part, told)
    return _legacy(metadata)


def _legacy(metadata: Mapping[str, Any]) -> Mark | None:
    job, shard, generation = (metadata.get(key) for key in _LEGACY_KEYS)
    if not (isinstance(job, str) and isinstance(shard, str) and isinstance(generation, str)):
        return None
    if not (_NUMBER.fullmatch(shard) and _NUMBER.fullmatch(generation)):
        return None
    return Mark(None, None, job, int(shard), int(generation))


def legacy_pairs(job: str, shard: int, generation: int) -> dict[str, str]:
    """What version 0.1 wrote on a batch."""
    return dict(zip(_LEGACY_KEYS, (job, str(shard), str(generation)), strict=True))


def callers_own(metadata: object) -> dict[str, Any]:
    """Metadata without the pairs that are ours."""
    return (
        {key: value for key, value in metadata.items() if key not in OUR_KEYS} if is_object(metadata) else {}
    )
