"""What a decoded JSON value is; its counterpart for objects stands in `overlay.lines`."""

from typing import Any, TypeGuard


def is_list(value: object) -> TypeGuard[list[Any]]:
    """`isinstance`, for type checkers a list of whatever it may hold."""
    return isinstance(value, list)
