"""What a job of uploaded shards and its workers tell each other: small rows, whatever the size of the requests.

The requests of such a job never pass through the process that owns its ledger. Workers upload them, fetch the
answers and keep both in a place that all of them reach; the ledger alone creates batches.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

import attrs
import msgspec

from overlay.jobs.records import Unit
from overlay.results.matching import Match
from overlay.results.result import Result

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class _Requests:
    """What is told of a file of requests."""

    sha256: str
    """Of the file. By it, the workers' place knows its copy."""
    endpoint: str
    model: str | None
    requests: int
    size: int
    """In bytes."""
    tokens: int
    """Estimated prompt tokens."""
    inputs: int = 0
    """Texts to embed."""


def facts_of(unit: Unit) -> dict[str, Any]:
    """What is told of the requests of a unit."""
    return {
        "sha256": unit.sha256,
        "endpoint": unit.endpoint,
        "model": unit.model,
        "requests": unit.requests,
        "size": unit.bytes,
        "tokens": unit.tokens,
        "inputs": unit.inputs,
    }


@attrs.frozen(kw_only=True)
class UploadedShard(_Requests):
    """Requests that a worker has uploaded as the input file of one batch."""

    file_id: str
    file_created_at: int | None
    """In seconds since 1970, by the service's clock."""
    first_key: str = ""
    last_key: str = ""


@attrs.frozen(kw_only=True)
class ShardTask(_Requests):
    """What a worker is to do for one shard. Doing it twice costs nothing, and leaves at most a file too many.

    - `join`: fetch the answers of its batch, if it had one, and keep them; upload what is to be sent again.
    - `upload`: upload its requests once more, since their file is gone.
    - `split`: upload them in parts of at most `most_tokens`.
    """

    kind: Literal["join", "upload", "split"]
    shard: int
    generation: int
    part: int
    batch_id: str | None = None
    file_id: str | None = None
    """Its input file, by which its requests may be had where their copy is lost."""
    again: bool = False
    """Whether requests whose failure may pass are to be sent again."""
    whole: bool = False
    """Whether the job is open, so that answers that name no request stop it."""
    match: Match = "custom_id"
    given_up: str | None = None
    """Why its requests without an answer are given up, if they are."""
    most_tokens: int | None = None


@attrs.frozen(kw_only=True)
class ShardOutcome:
    """What came of a task."""

    shard: int
    generation: int
    part: int
    ok: int = 0
    missing: int = 0
    strays: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    staged: str | None = None
    """Where its answers are, in the workers' place; None if there are none."""
    problem: str | None = None
    uploaded: list[UploadedShard] = attrs.field(factory=list[UploadedShard])
    """What is to be sent again, or the shard itself, or its parts."""
    result_files: list[str] = attrs.field(factory=list[str])
    """The ids of its result files at the service."""
    error: str | None = None
    """What stopped the worker."""
    scope: Literal["passing", "shard", "everything"] = "shard"
    """Whether the error may pass, concerns this shard, or all of them."""


Row: TypeAlias = UploadedShard | ShardTask | ShardOutcome


def row_text(row: Row) -> str:
    """A row as text, as which every engine carries it."""
    return msgspec.json.encode(row).decode()


@contextmanager
def leaving(rows: Iterable[T]) -> Generator[Iterable[T]]:
    """Rows that workers give: whoever stops in the middle lets go of their tasks at once, in its own thread."""
    try:
        yield rows
    finally:
        if isinstance(rows, Generator):
            rows.close()


read_uploaded = msgspec.json.Decoder(UploadedShard).decode
read_task = msgspec.json.Decoder(ShardTask).decode
read_outcome = msgspec.json.Decoder(ShardOutcome).decode


class Place(Protocol):
    """Where workers keep requests and answers."""

    def keep(self, sha256: str, path: Path) -> None:
        """Keep a copy of a file of requests."""
        ...

    def fetch(self, sha256: str, path: Path) -> None:
        """Bring that copy to `path`. Raises StorageError if it is gone, or another."""
        ...

    def write(self, results: Iterator[Result]) -> str | None:
        """Keep results, and give the name that they have there; None if there are none."""
        ...
