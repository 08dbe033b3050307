"""How far a batch is, beside what clients are told of it."""

import msgspec


class Progress(msgspec.Struct):
    """What the service knows of a batch and does not tell. Moments are seconds since 1970."""

    born: float
    entered: float
    """When the batch came into its present status."""
    window: float
    """Seconds from `born` until it expires."""
    keep_output: int | None = None
    """Seconds for which output and error files are kept, or None for ever."""
    outcome: str = "completed"
    """What comes after `finalizing`."""
    model: str | None = None
    """The one that its lines name, once they have been read."""
    prompt_tokens: int = 0
    inputs: int = 0
    token_mark: str = ""
    """By which the token that the batch was created with is known again; empty where none is sent on."""
    output_id: str = ""
    error_id: str = ""
    failures: dict[str, int] = msgspec.field(default_factory=dict[str, int])
    """Lines that failed, by the code of their failure."""


decode_progress = msgspec.json.Decoder(Progress).decode
