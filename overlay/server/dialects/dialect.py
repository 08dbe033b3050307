"""What a service may do otherwise than OpenAI."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from overlay.server.dialects.refusals import as_openai
from overlay.server.settings import Limits, Traits

Json = dict[str, Any]
Times = Literal["seconds", "iso", "digits", "milliseconds"]
Counts = Literal["always", "null", "absent"]
Lists = Literal["openai", "unsaid", "bare", "pages"]


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """One service's ways; the defaults are OpenAI's."""

    name: str
    bases: tuple[str, ...] = ("/v1",)
    """What stands before `/batches` in a path; the first is the one in `Service.base_url`."""
    keys: tuple[str, ...] = ("authorization",)
    """Headers that a key may come in; in `authorization` it is a bearer token."""
    moved: Mapping[str, str] = field(default_factory=dict[str, str])
    """Operations under another method or path: `"DELETE /batches/{id}": "POST /batches/{id}/cancel"`."""
    missing: frozenset[str] = frozenset()
    """Operations that there are not."""

    purposes: frozenset[str] | None = frozenset({"batch"})
    """What an upload may say that it is for, when it is for a batch; None takes every word."""
    pending: float = 0.0
    """Seconds until a new file can be used."""
    pending_said: bool = True
    """Whether the file's status says so meanwhile; else only a create finds out."""
    redirected: bool = False
    """Whether an upload is sent on to a storage, which takes the content without a token."""
    rewrites: bool = False
    """Whether input files are stored in other words, and so in another size."""

    limits: Limits = field(default_factory=Limits)
    traits: Traits = field(default_factory=Traits)
    window: str | None = None
    """The completion window of a batch that names none."""
    strict: bool = False
    """Whether a parameter that is not known is refused; else it is passed over."""
    metadata: bool = True
    """Whether a batch's metadata is kept."""
    idempotency_key: str | None = None
    """The parameter of a create by which a repeated one finds the first one's batch."""
    asks: Callable[[Json], Json] | None = None
    """The body of a create, with the API's own names."""

    words: Mapping[str, str] = field(default_factory=dict[str, str])
    """Statuses under other names."""
    upper: bool = False
    """Whether statuses are in upper case."""
    times: Times = "seconds"
    counts: Counts = "always"
    """What `request_counts` is until a batch is validated."""
    errors: Literal["list", "text", "texts"] = "list"
    """What a batch says of its problems: OpenAI's list, one text, or an array of texts."""
    error_file: str | None = None
    """What `error_file_id` is where there is none."""
    created: Callable[[Json], Json] | None = None
    """What the answer to a create is made of the batch: an envelope, for one."""
    batch: Callable[[Json], Json] | None = None
    """The batch in another shape."""
    file: Callable[[Json], Json] | None = None
    uploaded: Callable[[Json], Json] | None = None
    """What the answer to an upload is made of the file."""
    provider_ids: bool = False
    """Whether the answer to a retrieve has the id that the batch has at the provider behind a gateway."""
    output_route: bool = False
    """Whether `GET /batches/{id}/output` is the content of the output file."""
    lists: Lists = "openai"
    """OpenAI's pages; the same without `has_more`; one bare array; pages by number."""
    refuses: Callable[[int, Json], tuple[int, Any]] = as_openai
    """The status and the body of an error."""

    def within(self, given: Limits | None) -> Limits:
        """The service's limits, with those of `given` that are not OpenAI's."""
        if given is None:
            return self.limits
        usual = Limits()
        changed = {each.name: getattr(given, each.name) for each in fields(Limits)}
        return replace(
            self.limits, **{name: value for name, value in changed.items() if value != getattr(usual, name)}
        )
