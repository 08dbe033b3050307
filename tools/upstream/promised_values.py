"""Values that the overlay acts on: a document that no longer has one breaks it.

A status is compared, a purpose and an anchor are sent. They stand in the overlay as words, which nothing else ties
to the enum that they are from; so it is said here which enums those are.
"""

from typing import Any

from tools.upstream.promises import Promises

_ENUMS = frozenset({"BatchStatus", "CreateFileRequestPurpose", "BatchFileExpirationAfterAnchor"})
_BUILT_PATHS = {"downloadFile": "operations/files.py"}
"""Operations whose generated code is not used: a module builds the path itself."""


def lost_values(lost: set[Any], enum: str, promises: Promises) -> dict[str, str]:
    """Those of the lost values of an enum that the overlay uses, with the modules that do."""
    if enum not in _ENUMS:
        return {}
    users = {
        str(value): ", ".join(module.path for module in promises.modules if value in module.words)
        for value in sorted(lost, key=str)
    }
    return {value: modules for value, modules in users.items() if modules}


def builders(operation: str, promises: Promises) -> list[str]:
    """The modules that build the path of an operation themselves."""
    path = _BUILT_PATHS.get(operation)
    return [module.path for module in promises.modules if path and module.path.endswith(path)]
