"""What a check comes to."""

from __future__ import annotations

from typing import Literal

import attrs

State = Literal["ok", "note", "differs", "wrong"]


@attrs.frozen
class Finding:
    """One sentence on one subject."""

    subject: str
    """`key`, `address`, `list of batches`, …"""
    state: State
    """`ok`; `note`, to know; `differs`, from what the profile says; `wrong`, so that jobs cannot work."""
    words: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.words}"


def ok(subject: str, words: str) -> Finding:
    """All is well."""
    return Finding(subject, "ok", words)


def note(subject: str, words: str) -> Finding:
    """Something to know."""
    return Finding(subject, "note", words)


def wrong(subject: str, words: str) -> Finding:
    """Something that must be mended."""
    return Finding(subject, "wrong", words)


def compared(subject: str, seen: object, expected: object) -> Finding:
    """What was seen, against what the profile says."""
    if seen == expected:
        return ok(subject, f"{seen}, as its profile says")
    return Finding(subject, "differs", f"{seen}; its profile says {expected}")
