"""Secrets that must not be shown: whatever a client has sent as its token, in every spelling that services quote.

A service may echo the key that it rejects, in an error, a batch or a result, which is then shown by code that knows
no client: so what is to be hidden is known to the whole process. Nothing of it is ever written anywhere.
"""

from __future__ import annotations

import re

_REMEMBERED = 256
_LEAST_LENGTH = 8
"""A shorter one is not a secret, and may be part of a word."""

_secrets: dict[str, re.Pattern[str]] = {}
"""The latest, by their own text."""


def hide(secret: str) -> None:
    """Let a secret never be shown from now on."""
    if len(secret) < _LEAST_LENGTH or secret in _secrets:
        return
    while len(_secrets) >= _REMEMBERED:
        _secrets.pop(next(iter(_secrets)), None)
    _secrets[secret] = re.compile("".join(map(_spellings, secret)))


def without_secrets(text: str) -> str:
    """The text with `[token]` in place of every secret."""
    for pattern in tuple(_secrets.values()):
        text = pattern.sub("[token]", text)
    return text


def _spellings(character: str) -> str:
    """A pattern for a character: as it is, and in JSON, in a URL and in HTML, escaped once or several times.

    Every repetition is bounded, so that a long text is searched in one pass.
    """
    number = f"{ord(character):02x}"
    forms = [
        rf"\\{{1,4}}u00{number}",
        f"%(?:25){{0,3}}{number}",
        f"&(?:amp;){{0,3}}#0{{0,6}}{ord(character)};?",
        f"&(?:amp;){{0,3}}#x0{{0,6}}{number};?",
    ]
    if not character.isalnum():
        forms.append("&(?:amp;){0,3}[a-z]{2,8};")  # &sol; &plus; &equals; and so on
    return rf"(?:\\{{0,4}}{re.escape(character)}|(?i:{'|'.join(forms)}))"
