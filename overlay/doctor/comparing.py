"""What was seen of a service, against what its profile says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from overlay.doctor.findings import Finding, compared, note, wrong
from overlay.doctor.recording import Exchange, Recording
from overlay.lines import is_array, is_object
from overlay.services import ServiceProfile
from overlay.statuses import is_known

if TYPE_CHECKING:
    from overlay.doctor.live import Seen

_INTERESTING = ("openai-version", "openai-processing-ms", "x-request-id", "retry-after", "server", "via")


def compare(profile: ServiceProfile, seen: Seen, recording: Recording) -> Iterator[Finding]:
    """What differs, and what is as expected."""
    yield from _shapes(profile, recording)
    if seen.file is not None:
        yield note("file", f"status {seen.file.status}, purpose {seen.file.purpose}, {seen.file.bytes} bytes")
        record = recording.last("POST", "/files") or recording.last("GET", f"/files/{seen.file.id}")
        yield from _times("file", record)
    if seen.created is not None:
        yield from _metadata(profile, seen)
        yield from _times("batch", recording.last("POST", _path_of(profile, "create", "/batches")))
        for name in ("endpoint", "completion_window", "input_file_id"):
            if getattr(seen.created, name) is None:
                yield note("create", f"its answer does not say {name}")
    yield from _statuses(seen)
    if seen.listed_after is not None:
        yield note("lateness", f"the list showed the batch {seen.listed_after:.1f} s after its create")
    yield from _order(seen)
    yield from _headers(recording)


def _path_of(profile: ServiceProfile, operation: Any, usual: str) -> str:
    route = profile.routes.get(operation)
    return route.split(" ", 1)[1] if route else usual


def _shapes(profile: ServiceProfile, recording: Recording) -> Iterator[Finding]:
    page = recording.last("GET", _path_of(profile, "list", "/batches"))
    if page is not None:
        yield compared("list of batches", _list_shape(page.body), _expected_list(profile))
        if is_object(page.body) and "has_more" not in page.body and "total" not in page.body:
            yield note("list of batches", "it does not say whether more follows")
    made = recording.last("POST", _path_of(profile, "create", "/batches"))
    if made is not None and is_object(made.body) and "id" not in made.body:
        yield note("create", f"its answer is in an envelope: {', '.join(made.body)}")


def _list_shape(body: Any) -> str:
    if is_array(body):
        return "a bare array"
    return f"an object with {', '.join(sorted(body))}" if is_object(body) else type(body).__name__


def _expected_list(profile: ServiceProfile) -> str:
    if profile.bare_lists:
        return "a bare array"
    return "an object with data, first_id, has_more, last_id, object"


def _times(what: str, exchange: Exchange | None) -> Iterator[Finding]:
    body = exchange.body if exchange is not None else None
    inside = body.get("job", body.get("data", body)) if is_object(body) else None
    value = inside.get("created_at") if is_object(inside) else None
    words = "seconds" if isinstance(value, int) and not isinstance(value, bool) else repr(value)
    yield note(what, f"created_at is {words}" if value is not None else "it does not say when it was created")


def _metadata(profile: ServiceProfile, seen: Seen) -> Iterator[Finding]:
    latest = seen.ended or seen.created
    shown: object = latest.metadata if latest is not None else None
    keeps = is_object(shown) and shown.get("doctor") == "live"
    if profile.keeps_metadata is None:
        yield note("metadata", "it is kept" if keeps else "it is not kept: lost creates are harder to find")
    else:
        yield compared("metadata", "kept" if keeps else "lost", "kept" if profile.keeps_metadata else "lost")


def _statuses(seen: Seen) -> Iterator[Finding]:
    said = [each for each in dict.fromkeys(seen.statuses) if each]
    if said:
        yield note("statuses", ", ".join(said))
    for each in said:
        if not is_known(each):
            yield wrong("statuses", f"nobody here knows what {each!r} means")


def _order(seen: Seen) -> Iterator[Finding]:
    ids = seen.custom_ids
    if ids and None in ids:
        yield wrong("custom_id", "it is not in every answer: results can be matched by order at best")
    elif ids:
        in_order = ids == sorted(ids, key=str)
        yield note(
            "order", "results came in the requests' order" if in_order else "results came in another order"
        )


def _headers(recording: Recording) -> Iterator[Finding]:
    found = {name for each in recording.exchanges for name in each.headers}
    shown = [name for name in _INTERESTING if name in found]
    yield note("headers", f"it sends {', '.join(shown)}" if shown else "none of those that help support")
