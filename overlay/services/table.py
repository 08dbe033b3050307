"""What differs between services, as rows and sentences for people to read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import attrs

from overlay.services.choosing import known_services
from overlay.services.limits import Limits
from overlay.services.profile import ServiceProfile

HEADER = ("name", "service", "base URL", "key", "requests", "MB", "windows", "read", "source")


def rows() -> Iterator[tuple[str, ...]]:
    """One row a service, below `HEADER`."""
    for each in known_services().values():
        yield (
            each.name,
            str(each),
            each.base_url or "your own",
            each.key_variable,
            _number(each.limits.requests),
            _number(each.limits.bytes, 1_000_000),
            _span(each.windows),
            each.read,
            each.source,
        )


def markdown() -> str:
    """The table for a document, each service's name with a link to the page that says so."""
    lines = [
        "| `service=` | service | key | requests | MB | windows | what else differs |",
        "|---|---|---|---|---|---|---|",
    ]
    for each in known_services().values():
        sized = [_number(each.limits.requests), _number(each.limits.bytes, 1_000_000), _span(each.windows)]
        service = f"[{each}]({each.source}), {each.read}"
        cells = [f"`{each.name}`", service, f"`{each.key_variable}`", *sized, " ".join(_beside(each)) or "-"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def differences(profile: ServiceProfile) -> Iterator[tuple[str, str]]:
    """What a service does otherwise than OpenAI: a name and some words each."""
    usual = known_services()["openai"]
    for name, words in _WORDS.items():
        value = getattr(profile, name)
        if value != getattr(usual, name) and value is not None and (said := words(value)):
            yield name.replace("_", " "), said
    yield from _limits(profile.limits)
    for sentence in profile.notes:
        yield "note", sentence


def _limits(limits: Limits) -> Iterator[tuple[str, str]]:
    usual = Limits()
    for each in attrs.fields(Limits):
        value = getattr(limits, each.name)
        if value != getattr(usual, each.name):
            yield f"limit: {each.name.replace('_', ' ')}", "none" if value is None else f"{value:,}"


def _beside(profile: ServiceProfile) -> Iterator[str]:
    """Sentences on what the table's columns do not show."""
    shown = {"base_url", "hosts", "key_variable", "windows"}
    for name, words in _SENTENCES.items():
        value = getattr(profile, name)
        if name not in shown and value != getattr(known_services()["openai"], name):
            yield words(value)
    most = profile.limits.custom_id
    if most is not None:
        yield f"custom_id: at most {most} characters."
    if profile.limits.line_bytes != Limits().line_bytes:
        yield f"{_number(profile.limits.line_bytes, 1_000_000)} MB a line."
    yield from profile.notes


def _number(value: int | None, unit: int = 1) -> str:
    return "any" if value is None else f"{value // unit:,}"


def _span(windows: tuple[str, ...]) -> str:
    few = 4
    return ", ".join(windows) if len(windows) <= few else f"{windows[0]}, … {windows[-1]}"


def _names(values: Iterable[str]) -> str:
    return ", ".join(values)


_WORDS: dict[str, Callable[[Any], str]] = {
    "base_url": str,
    "hosts": _names,
    "key_variable": str,
    "key_header": str,
    "purpose": str,
    "expiry_fields": _names,
    "upload_redirects": lambda _: "to a storage, which is sent the content without the key",
    "endpoints": _names,
    "optional_in_lines": lambda names: f"{_names(sorted(names))}",
    "one_model": lambda _: "lines may ask for different models",
    "live_batches": lambda most: f"at most {most:,} at a time",
    "windows": _names,
    "names_model": lambda _: "a create names the model",
    "statuses": lambda words: _names(f"{word} is {plain}" for word, plain in words.items()),
    "routes": lambda routes: _names(f"{name}: {route}" for name, route in routes.items()),
    "slash_in_ids": lambda _: "stays a / in paths",
    "lists": lambda _: "batches cannot be listed: what became of an unanswered create cannot be found out",
    "cancels": lambda _: "batches cannot be cancelled",
    "deletes": lambda _: "files cannot be deleted",
    "lists_files": lambda _: "files cannot be listed",
    "gives_input": lambda _: "an input file cannot be downloaded again: give requests=",
    "bare_lists": lambda _: "are arrays, with nothing around them",
    "keeps_metadata": lambda keeps: "yes" if keeps else "no",
    "answers_other_ids": lambda _: "a batch may be answered under the provider's id",
    "idempotency_field": str,
    "results_kept": str,
    "source": str,
    "read": str,
}
_SENTENCES: dict[str, Callable[[Any], str]] = {
    "purpose": lambda purpose: f"Uploads have the purpose `{purpose}`.",
    "key_header": lambda header: f"A key goes into `{header}`.",
    "upload_redirects": lambda _: "Uploads are redirected to a storage.",
    "endpoints": lambda paths: f"Endpoints: {_names(f'`{path}`' for path in paths)}.",
    "live_batches": lambda most: f"At most {most:,} batches at a time.",
    "cancels": lambda _: "No cancel.",
    "deletes": lambda _: "Files cannot be deleted.",
    "lists": lambda _: "No list of batches.",
    "idempotency_field": lambda field: f"A create is made safe by `{field}`.",
    "answers_other_ids": lambda _: "A batch may be answered under its provider's id.",
}
