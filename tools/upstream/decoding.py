"""A document's bytes as a tree of dicts, lists, strings, numbers, booleans and None.

JSON is read as JSON, and anything else as YAML 1.2, from the events of libyaml. Neither available loader would do:
PyYAML's refuse a document that uses an anchor's name twice, which YAML allows and published documents do, and read
YAML 1.1 (`on` is a boolean, a date is not a string); ruamel.yaml, in pure Python, takes 3.3 s for a document of
2.8 MB where this takes 0.16 s.

An alias is the object it names, not a copy, so "a billion laughs" stay as small as they are written; code that
walks the tree must visit shared nodes once, see `nodes`.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml  # type: ignore[import-untyped]

from tools.upstream.refusal import Refused

_HALVES = "\ud800", "\udfff"
DEEPEST = 200
# Ten times what the largest document has.
MOST_EVENTS = 1_000_000

# The core schema of YAML 1.2.2, section 10.3.2; a plain scalar that is none of these is a string.
_NULL = re.compile(r"~|null|Null|NULL|")
_TRUE = re.compile(r"true|True|TRUE")
_FALSE = re.compile(r"false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]{1,30}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,3})?")


def decode(data: bytes) -> dict[str, Any]:
    """The document in *data*, JSON or YAML.

    Raises:
        Refused: It is neither, is cut off, or is not a mapping.

    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Refused(f"the document is not text in UTF-8 (byte {error.start})") from error
    document = _json(text) if text.lstrip()[:1] == "{" else _yaml(text)
    if not isinstance(document, dict):
        raise Refused("the document is not an OpenAPI document: it is not a mapping")
    if "\\ud" in text.lower():
        _refuse_halves(document)
    return document


def _refuse_halves(document: dict[str, Any]) -> None:
    """Raise Refused for half of a surrogate pair, which no file can hold."""
    for node in nodes(document):
        strings = [*node, *node.values()] if isinstance(node, dict) else node
        for text in strings:
            if isinstance(text, str) and any(_HALVES[0] <= character <= _HALVES[1] for character in text):
                raise Refused(f"the document has half of a surrogate pair in {text[:60]!a}")


def nodes(tree: Any) -> Iterator[Any]:
    """Every dict and list in *tree*, each once however often it is used."""
    seen: set[int] = set()
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if not isinstance(node, dict | list) or id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        waiting.extend(node.values() if isinstance(node, dict) else node)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError as error:
        raise Refused("the document is nested too deeply") from error
    except ValueError as error:
        raise Refused(f"the document is not valid JSON: {error}") from error


def _yaml(text: str) -> Any:
    try:
        return _Builder().build(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        reason = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be parsed"
        raise Refused(f"the document is neither JSON nor YAML: {reason}{where}") from error


_MERGE = object()
"""An unquoted `<<`: as a key, it merges."""


class _Builder:
    """A tree from YAML events. The stack holds each open container with the key that waits for its value."""

    _NO_KEY = object()

    def __init__(self) -> None:
        self._anchors: dict[str, Any] = {}
        self._stack: list[tuple[dict[str, Any] | list[Any], str | None]] = []
        self._keys: list[Any] = []
        self._root: Any = None

    def build(self, text: str) -> Any:
        for count, event in enumerate(yaml.parse(text, Loader=yaml.CLoader)):
            if count > MOST_EVENTS or len(self._stack) > DEEPEST:
                raise Refused("the document is nested too deeply or has too many parts")
            if isinstance(event, yaml.ScalarEvent):
                self._add(self._remember(event.anchor, _scalar(event)))
            elif isinstance(event, yaml.AliasEvent):
                self._add(self._aliased(event))
            elif isinstance(event, yaml.MappingStartEvent):
                self._open({}, event.anchor)
            elif isinstance(event, yaml.SequenceStartEvent):
                self._open([], event.anchor)
            elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
                container, anchor = self._stack.pop()
                self._keys.pop()
                self._add(self._remember(anchor, container))
            elif isinstance(event, yaml.DocumentStartEvent) and self._root is not None:
                raise Refused("there is more than one YAML document in the file")
        return self._root

    def _open(self, container: dict[str, Any] | list[Any], anchor: str | None) -> None:
        if anchor is not None:
            # Until it is closed, its name stands for nothing: no container may hold itself.
            self._anchors.pop(anchor, None)
        self._stack.append((container, anchor))
        self._keys.append(self._NO_KEY)

    def _remember(self, anchor: str | None, value: Any) -> Any:
        if anchor is not None:
            self._anchors[anchor] = value
        return value

    def _aliased(self, event: Any) -> Any:
        try:
            return self._anchors[event.anchor]
        except KeyError:
            line = event.start_mark.line + 1
            raise Refused(
                f"the YAML alias *{event.anchor} (line {line}) does not refer to a complete anchor"
            ) from None

    def _add(self, value: Any) -> None:
        if not self._stack:
            self._root = value
            return
        container = self._stack[-1][0]
        if isinstance(container, list):
            container.append("<<" if value is _MERGE else value)
        elif self._keys[-1] is self._NO_KEY:
            # JSON has only strings as keys; `200:` below `responses:` becomes one.
            self._keys[-1] = value if isinstance(value, str) or value is _MERGE else _key(value)
        else:
            key, self._keys[-1] = self._keys[-1], self._NO_KEY
            value = "<<" if value is _MERGE else value
            if key is _MERGE:
                _merge(container, value)
            else:
                container[key] = value


def _key(value: Any) -> str:
    if isinstance(value, dict | list):
        raise Refused("the document has a mapping or a list for a key")
    return json.dumps(value)


def _merge(container: dict[str, Any], value: Any) -> None:
    """YAML 1.1's merge key, which some tools still write: what is there already wins."""
    for other in value if isinstance(value, list) else [value]:
        if isinstance(other, dict):
            for key, item in other.items():
                container.setdefault(key, item)


def _scalar(event: Any) -> Any:
    text: str = event.value
    if not event.implicit[0]:
        return text
    if text == "<<":
        return _MERGE
    if _NULL.fullmatch(text):
        return None
    if _TRUE.fullmatch(text) or _FALSE.fullmatch(text):
        return text[0] in "tT"
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text
