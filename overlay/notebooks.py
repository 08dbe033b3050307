"""Objects as a notebook shows them: tables in HTML, in which nothing that a service sent is taken for HTML."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from overlay.errors import one_line
from overlay.hidden import without_secrets

_KEPT = 500
"""Characters of a cell."""


def facts_html(title: str, facts: Iterable[tuple[str, object]]) -> str:
    """A title, and names with their values, without those that are None."""
    rows = "".join(
        f'<tr><th style="text-align: left">{_cell(name)}</th><td style="text-align: left">{_cell(value)}</td></tr>'
        for name, value in facts
        if value is not None
    )
    return f"<div><b>{_cell(title)}</b><table>{rows}</table></div>"


def rows_html(header: Sequence[str], rows: Iterable[Sequence[object]], note: str = "") -> str:
    """A table, and what is said below it."""
    top = "".join(f'<th style="text-align: left">{_cell(name)}</th>' for name in header)
    cells = (
        "".join(f'<td style="text-align: left; white-space: nowrap">{_cell(each)}</td>' for each in row)
        for row in rows
    )
    below = f"<div>{_cell(note)}</div>" if note else ""
    return f"<table><tr>{top}</tr>{''.join(f'<tr>{row}</tr>' for row in cells)}</table>{below}"


def described(kind: str, facts: Iterable[tuple[str, object]]) -> str:
    """An object in one line, with what there is to say of it: `Batch(id='batch_1', status='completed')`."""
    told = ", ".join(
        f"{name}={str(value) if isinstance(value, datetime) else value!r}"
        for name, value in facts
        if value is not None
    )
    return one_line(without_secrets(f"{kind}({told})"))


def _cell(value: object) -> str:
    import html  # noqa: PLC0415 - two thousand entities, only for notebooks

    if value is None:
        return ""
    if isinstance(value, datetime):
        value = f"{value.astimezone():%Y-%m-%d %H:%M:%S}"
    if isinstance(value, int) and not isinstance(value, bool):
        value = f"{value:,}"
    text = without_secrets(one_line(str(value)))
    return html.escape(text if len(text) <= _KEPT else text[:_KEPT] + "…")
