"""Strings that match a regular expression, of the kind that schemas have: characters, classes, groups, repeats.

The expression is read into a small tree, and the tree spells a string. Anchors and lookarounds are read over, as
whoever asks tries the result anyway; back references and flags are not understood.
"""

import string
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

_WORD = string.ascii_letters + string.digits + "_"
_PRINTABLE = string.ascii_letters + string.digits + " " + string.punctuation
_SETS = {
    "d": string.digits,
    "w": _WORD,
    "s": " ",
    "D": "".join(each for each in _PRINTABLE if each not in string.digits),
    "W": "".join(each for each in _PRINTABLE if each not in _WORD),
    "S": _PRINTABLE.replace(" ", ""),
}
_CONTROLS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "v": "\v", "0": "\0"}
_DIGITS_AFTER = {"x": 2, "u": 4}
_UNBOUNDED = 1 << 30
_MOST_TRIES = 40
_MOST_OF_RANGE = 1000
# Repeated parts in one string: `(a{1000}){1000000}` is more than fits in memory.
_MOST_PARTS = 100_000


class PatternError(ValueError):
    """The expression is not understood, or is too much."""


class Speller:
    """Picks characters: those of "echo", in turn, where it may, and from the third try on any."""

    def __init__(self, draw: Random, spare: int, *, varied: bool) -> None:
        self.draw = draw
        self.spare = spare
        """How many repeats beyond the least are still to be handed out."""
        self._varied = varied
        self._place = 0
        self._left = _MOST_PARTS

    def character(self, allowed: str) -> str:
        letter = "echo"[self._place % 4]
        self._place += 1
        if not self._varied:
            for each in (letter, letter.upper()):
                if each in allowed:
                    return each
        return self.draw.choice(allowed)

    def repeats(self, least: int, most: int) -> int:
        more = min(self.spare, most - least)
        self.spare -= more
        self._left -= least + more
        if self._left < 0:
            raise PatternError("what matches it is too long")
        return least + more


class Node:
    def spell(self, speller: Speller) -> str:
        del speller
        return ""


@dataclass
class _Characters(Node):
    allowed: str

    def spell(self, speller: Speller) -> str:
        return self.allowed if len(self.allowed) == 1 else speller.character(self.allowed)


@dataclass
class _Sequence(Node):
    parts: list[Node]

    def spell(self, speller: Speller) -> str:
        return "".join([each.spell(speller) for each in self.parts])


@dataclass
class _Alternatives(Node):
    options: list[Node]

    def spell(self, speller: Speller) -> str:
        return speller.draw.choice(self.options).spell(speller)


@dataclass
class _Repeat(Node):
    part: Node
    least: int
    most: int

    def spell(self, speller: Speller) -> str:
        return "".join([self.part.spell(speller) for _ in range(speller.repeats(self.least, self.most))])


def matching(pattern: str, least: int, most: int, draw: Random) -> Iterator[str]:
    """Strings of `least` to `most` characters that should match. Raises `PatternError`."""
    tree = _Reader(pattern).read()
    spare = 0
    for attempt in range(_MOST_TRIES):
        text = tree.spell(Speller(draw, spare, varied=attempt > 1))
        if least <= len(text) <= most:
            # Where the pattern leaves room, it is filled with words of ours.
            ours = (f"echo: {text}", f"{text}echo", f"{text}echo-{attempt}")
            yield from [each for each in ours if len(each) <= most]
            yield text
            spare = (spare + 3) % 24
        elif len(text) < least:
            spare += least - len(text)
        else:
            spare = max(0, spare - (len(text) - most))


class _Reader:
    """Recursive descent: alternatives of sequences of repeated atoms."""

    def __init__(self, pattern: str) -> None:
        self._rest = pattern
        self._at = 0

    def read(self) -> Node:
        tree = self._alternatives()
        if self._at < len(self._rest):
            raise PatternError(f"unexpected {self._peek()!r}")
        return tree

    def _peek(self, ahead: int = 0) -> str:
        return self._rest[self._at + ahead : self._at + ahead + 1]

    def _next(self) -> str:
        if not (character := self._peek()):
            raise PatternError("it ends too early")
        self._at += 1
        return character

    def _take(self, text: str) -> bool:
        found = self._rest.startswith(text, self._at)
        self._at += len(text) * found
        return found

    def _alternatives(self) -> Node:
        options = [self._sequence()]
        while self._take("|"):
            options.append(self._sequence())
        return options[0] if len(options) == 1 else _Alternatives(options)

    def _sequence(self) -> Node:
        parts: list[Node] = []
        while self._peek() not in {"", "|", ")"}:
            parts.append(self._repeated(self._atom()))
        return _Sequence(parts)

    def _atom(self) -> Node:
        character = self._next()
        if character in "^$":
            return Node()
        if character == "(":
            return self._group()
        if character == "[":
            return _Characters(self._class())
        if character == ".":
            return _Characters(_PRINTABLE)
        if character == "\\":
            if self._peek() in {"b", "B"}:
                self._at += 1
                return Node()
            return _Characters(self._escaped())
        if character in "*+?":
            raise PatternError("nothing to repeat")
        return _Characters(character)

    def _group(self) -> Node:
        looks = any(self._take(start) for start in ("?=", "?!", "?<=", "?<!"))
        if not looks and not self._take("?:") and (self._take("?P<") or self._take("?<")):
            while self._next() != ">":
                pass
        elif not looks and self._peek() == "?":
            raise PatternError("flags")
        inside = self._alternatives()
        if not self._take(")"):
            raise PatternError("a group that does not end")
        return Node() if looks else inside

    def _repeated(self, atom: Node) -> Node:
        start = self._at
        if self._take("*"):
            least, most = 0, _UNBOUNDED
        elif self._take("+"):
            least, most = 1, _UNBOUNDED
        elif self._take("?"):
            least, most = 0, 1
        elif self._peek() == "{" and (bounds := self._bounds()):
            least, most = bounds
        else:
            self._at = start
            return atom
        if not self._take("?"):  # lazy or not, the same strings match
            self._take("+")
        return _Repeat(atom, least, most)

    def _bounds(self) -> tuple[int, int] | None:
        end = self._rest.find("}", self._at)
        low, comma, high = self._rest[self._at + 1 : max(end, 0)].partition(",")
        if not low.isdecimal() or not (high.isdecimal() or not high):
            return None  # a brace like any other character
        self._at = end + 1
        return int(low), int(high) if high else _UNBOUNDED if comma else int(low)

    def _class(self) -> str:
        negated = self._take("^")
        allowed: dict[str, None] = {}
        first = True
        while first or self._peek() != "]":
            start = self._class_part()
            if len(start) == 1 and self._peek() == "-" and self._peek(1) not in {"]", ""}:
                self._at += 1
                stop = self._class_part()
                if len(stop) != 1 or stop < start:
                    raise PatternError("a range of no characters")
                start = "".join(map(chr, range(ord(start), min(ord(stop), ord(start) + _MOST_OF_RANGE) + 1)))
            allowed.update(dict.fromkeys(start))
            first = False
        self._at += 1
        found = "".join(each for each in _PRINTABLE if each not in allowed) if negated else "".join(allowed)
        if not found:
            raise PatternError("a class of no characters")
        return found

    def _class_part(self) -> str:
        character = self._next()
        if character == "\\":
            return "\b" if self._take("b") else self._escaped()
        return character

    def _escaped(self) -> str:
        character = self._next()
        if character in _SETS:
            return _SETS[character]
        if character in _CONTROLS:
            return _CONTROLS[character]
        if digits := _DIGITS_AFTER.get(character):
            code = self._rest[self._at : self._at + digits]
            self._at += digits
            try:
                return chr(int(code, 16))
            except ValueError as error:
                raise PatternError("an escape without its digits") from error
        if character.isalnum():
            raise PatternError(f"the escape \\{character}")
        return character
