"""What a maintainer adds to ``openapi.yaml`` by hand, kept where `make spec` does not undo it.

``openapi.local.yaml`` is an OpenAPI Overlay 1.0 (https://spec.openapis.org/overlay/v1.0.0), as far as it is needed:
targets are names, `$.components.schemas.Batch.properties` or `$.paths['/batches'].post`, and an action updates or
removes what is there.
"""

import copy
import re
from typing import Any

from tools.upstream.refusal import Refused

_NAME = re.compile(r"""\.([A-Za-z_][\w-]*)|\[\s*'([^']*)'\s*\]|\[\s*"([^"]*)"\s*\]""")


def with_local(specification: dict[str, Any], overlay: dict[str, Any]) -> dict[str, Any]:
    """The specification with the overlay's actions applied. Raises Refused for one that cannot be."""
    if not str(overlay.get("overlay", "")).startswith("1."):
        raise Refused("openapi.local.yaml does not say `overlay: 1.0.0`")
    actions = overlay.get("actions", [])
    if not isinstance(actions, list):
        raise Refused("openapi.local.yaml: actions is not a list")
    result = copy.deepcopy(specification)
    for number, action in enumerate(actions, 1):
        if not isinstance(action, dict) or not isinstance(action.get("target"), str):
            raise Refused(f"openapi.local.yaml, action {number}: it has no target")
        _apply(result, action, f"openapi.local.yaml, action {number}")
    return result


def _apply(result: dict[str, Any], action: dict[str, Any], place: str) -> None:
    names = _names(action["target"], place)
    if action.get("remove") is True:
        holder = _at(result, names[:-1], place)
        if not names or names[-1] not in holder:
            raise Refused(f"{place}: there is nothing at {action['target']} to remove")
        del holder[names[-1]]
        return
    update = action.get("update")
    if not isinstance(update, dict):
        raise Refused(f"{place}: it has neither `update`, a mapping, nor `remove: true`")
    _merge(_at(result, names, place), update)


def _names(target: str, place: str) -> list[str]:
    names: list[str] = []
    at = 1
    while at < len(target):
        found = _NAME.match(target, at)
        if found is None:
            break
        names.append(next(group for group in found.groups() if group is not None))
        at = found.end()
    if not target.startswith("$") or at != len(target):
        raise Refused(f"{place}: the target {target} is not made of names, as $.components.schemas.Batch is")
    return names


def _at(result: dict[str, Any], names: list[str], place: str) -> dict[str, Any]:
    node: Any = result
    for name in names:
        node = node.get(name) if isinstance(node, dict) else None
    if not isinstance(node, dict):
        raise Refused(f"{place}: there is no mapping at its target, {'.'.join(names)}")
    return node


def _merge(node: dict[str, Any], update: dict[str, Any]) -> None:
    """Merge as the standard says: mappings into mappings, lists behind lists, anything else in place."""
    for name, value in update.items():
        here = node.get(name)
        if isinstance(here, dict) and isinstance(value, dict):
            _merge(here, value)
        elif isinstance(here, list) and isinstance(value, list):
            here.extend(part for part in value if part not in here)
        else:
            node[name] = copy.deepcopy(value)
