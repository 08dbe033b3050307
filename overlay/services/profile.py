"""`ServiceProfile`: one service's differences from OpenAI."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

import attrs

from overlay.services.limits import Limits

Operation: TypeAlias = Literal[
    "create", "retrieve", "list", "cancel", "upload", "file", "files", "content", "delete"
]
"""Of batches: create, retrieve, list, cancel; of files: upload, file (its record), files, content, delete."""
CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
RESPONSES, EMBEDDINGS, MODERATIONS = "/v1/responses", "/v1/embeddings", "/v1/moderations"


@attrs.frozen(kw_only=True)
class Sent:
    """A request on its way out, as a dialect sees and changes it."""

    operation: Operation
    method: str
    path: str
    """Below the base URL, percent-encoded: `/batches/batch_1`."""
    query: Mapping[str, Any] = attrs.field(factory=dict[str, Any])
    json: Any = None
    """The body, decoded; None where there is none, or where it is a form."""


@attrs.frozen(kw_only=True)
class Dialect:
    """What data cannot say: pure functions at the two ends of a call."""

    request: Callable[[Sent], Sent] = lambda sent: sent
    """A request in the API's own words → the same in the service's."""
    answer: Callable[[Sent, Any], Any] = lambda _, answer: answer
    """The answer to a request (as it was sent), as decoded JSON → the same in the API's own words."""


@attrs.frozen(kw_only=True)
class ServiceProfile:
    """One service: how it is reached, and what it does otherwise than OpenAI, whose ways are the defaults.

    To change one, or to describe a service of your own: `attrs.evolve(service_named("groq"), windows=("24h",))`.
    """

    name: str
    """What `service=` and `--service` call it."""
    provider: str = ""
    """What the GenAI conventions of OpenTelemetry call it, where they have another name than `name`."""
    title: str = ""
    """What people call it."""
    source: str = ""
    """The address of the page that says so."""
    read: str = ""
    """When that page was read: `2026-11`."""

    base_url: str | None = None
    """None: each user has their own, and must give it."""
    hosts: tuple[str, ...] = ()
    """Hosts by which a base URL is recognised; `.example.com` stands for every host below it."""
    key_variable: str = "OPENAI_API_KEY"
    """The environment variable of the key."""
    key_header: str = "Authorization"
    """The header of a key. In `Authorization` it is a bearer token, as a JWT is in any case."""

    purpose: str = "batch"
    """What an input file is uploaded for."""
    expiry_fields: tuple[str, str] = ("expires_after[anchor]", "expires_after[seconds]")
    """The form fields of an upload that say when the file expires."""
    upload_redirects: bool = False
    """Whether an upload is redirected to a storage, which takes the content without the key."""

    endpoints: tuple[str, ...] | None = None
    """The endpoints that a batch may name, the usual one first; None: not restricted."""
    optional_in_lines: frozenset[str] = frozenset()
    """Which of a line's `method` and `url` may be missing."""
    refuses_as_openai: bool = False
    """Whether it is known to refuse the bodies that OpenAI refuses; else they are warned of."""
    one_model: bool = True
    """Whether all lines of a file must ask for the same model."""
    limits: Limits = attrs.field(factory=Limits)
    live_batches: int | None = None
    """How many batches may run at a time, where that is said."""
    windows: tuple[str, ...] = ("24h",)
    """The completion windows that it documents, the usual one first."""
    names_model: bool = False
    """Whether a create names the model, beside the lines."""

    statuses: Mapping[str, str] = attrs.field(factory=dict[str, str])
    """Words of a batch's status, in lower case, that mean something else here than elsewhere → the API's own."""
    routes: Mapping[Operation, str] = attrs.field(factory=dict[Operation, str])
    """Operations with another method or path: `{"cancel": "DELETE /batches/{id}"}`."""
    dialect: Dialect | None = None
    """What data cannot say."""
    slash_in_ids: bool = False
    """Whether a `/` in an id stays one in paths; else it is sent as %2F."""

    lists: bool = True
    """Whether batches can be listed. Where not, nobody can tell what became of an unanswered create."""
    cancels: bool = True
    deletes: bool = True
    """Whether files can be deleted."""
    lists_files: bool = True
    gives_input: bool = True
    """Whether the content of an input file can be downloaded again."""
    bare_lists: bool = False
    """Whether lists are arrays, with nothing around them."""
    keeps_metadata: bool | None = None
    """Whether a batch shows the metadata that it was created with; None: it will be seen."""
    answers_other_ids: bool = False
    """Whether a retrieved batch may have another id than the one that was asked for: the one of the provider
    behind a gateway."""
    idempotency_field: str | None = None
    """The field of a create by which a repeated one finds the batch of the first."""
    results_kept: str | None = None
    """How long results can be downloaded, in words."""
    notes: tuple[str, ...] = ()
    """What else to know, a sentence each."""

    @property
    def window(self) -> str:
        """The usual completion window."""
        return self.windows[0] if self.windows else "24h"

    @property
    def usual_endpoint(self) -> str:
        """The endpoint of a line that names none."""
        return self.endpoints[0] if self.endpoints else CHAT

    @property
    def translates(self) -> bool:
        """Whether its requests or answers need more than the API's own words."""
        return bool(self.routes or self.dialect or self.statuses or self.slash_in_ids)

    def __str__(self) -> str:
        return self.title or self.name
