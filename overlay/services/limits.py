"""How large an input file may be."""

from __future__ import annotations

import attrs

from overlay.lines import LINE_BYTES, NESTING


@attrs.frozen(kw_only=True)
class Limits:
    """How large an input file may be; None lifts a limit. The defaults are OpenAI's; other services
    differ.
    """

    requests: int | None = 50_000
    bytes: int | None = 200_000_000
    """The guide says 200 MB. Read as decimal, which is the smaller: such a file passes under either
    reading."""
    embedding_inputs: int | None = 50_000
    """Over all requests to `/v1/embeddings`: each text in a list counts."""
    line_bytes: int = LINE_BYTES
    """The bytes of one line. By default our own limit: what is read into memory at once."""
    nesting: int = NESTING
    """Our own limit: how deep arrays and objects may be nested."""
    custom_id: int | None = None
    """Characters of a custom_id."""
