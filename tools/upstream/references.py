"""Following `$ref` inside a document.

https://spec.openapis.org/oas/v3.1.0#reference-object: siblings of a `$ref` are ignored unless the caller says
otherwise; a reference into another document is refused, since nothing here fetches one.
"""

from typing import Any
from urllib.parse import unquote

from tools.upstream.decoding import nodes
from tools.upstream.refusal import Refused

# A slip or two is upstream's to fix; a document with more was cut off, as a YAML text can be and still be YAML.
SLIPS = 3


class References:
    """The references of one document."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document

    def resolve(self, node: Any) -> tuple[Any, str | None]:
        """What *node* stands for, and the last reference to it; None if it is not a reference.

        Raises:
            Refused: The reference leads nowhere, out of the document, or back to itself.

        """
        pointer: str | None = None
        seen: set[str] = set()
        while isinstance(node, dict) and isinstance(node.get("$ref"), str):
            pointer = node["$ref"]
            if pointer in seen:
                raise Refused(f"the reference {pointer} leads back to itself")
            seen.add(pointer)
            if not self.known(pointer):
                raise Refused(f"the document has an unresolved reference: {pointer}")
            node = self._find(pointer)
        return node, pointer

    def mapping(self, node: Any) -> dict[str, Any]:
        """What *node* stands for where that must be a mapping; an empty one if it is something else."""
        found, _ = self.resolve(node)
        return found if isinstance(found, dict) else {}

    def known(self, pointer: str) -> bool:
        """Whether the document has what *pointer* names."""
        try:
            self._find(pointer)
        except (KeyError, IndexError, ValueError, TypeError):
            return False
        return True

    def refuse_cut_off(self, *, complete: bool) -> None:
        """Refuse a document that lacks so much that it was cut off; *complete* if its text ends as one does."""
        # Under `properties`, a property may have the name "$ref"; then its value is a mapping.
        used = {node["$ref"] for node in nodes(self._document) if isinstance(node, dict) and _refers(node)}
        lost = sorted(pointer for pointer in used if pointer.startswith("#") and not self.known(pointer))
        if len(lost) > (SLIPS if complete else 0):
            raise Refused(
                f"the document is cut off: it refers to {len(lost)} parts that it does not have, such as {lost[0]}"
            )

    def _find(self, pointer: str) -> Any:
        if not pointer.startswith("#/"):
            raise ValueError(pointer)
        node: Any = self._document
        for part in pointer[2:].split("/"):
            key = unquote(part).replace("~1", "/").replace("~0", "~")
            node = node[int(key)] if isinstance(node, list) else node[key]
        return node


def items(value: Any) -> list[Any]:
    """The items of what should be a list; none if it is something else."""
    return value if isinstance(value, list) else []


def _refers(node: dict[str, Any]) -> bool:
    return isinstance(node.get("$ref"), str)
