"""The options of a command from a TOML file, under the names that they have on the command line, which wins."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from overlay.lines import is_array

_OPTION = "--config"


def read_config(context: typer.Context, path: Path | None) -> Path | None:
    """For the option itself: make what stands in the file the defaults of the command's other options.

    Paths in the file are relative to it. Raises `typer.BadParameter` for what is no TOML, for names that are no
    options, with the nearest that is one, and for values of another type.
    """
    if path is None or context.resilient_parsing:
        return path
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _refused(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _refused(f"{path}: {error}") from None
    options = _options(context)
    defaults: dict[str, Any] = {}
    for key, value in found.items():
        parameter = options.get(key) or options.get(key.replace("_", "-"))
        if parameter is None:
            raise _refused(f"{path}: {_unknown(key, options)}")
        # Options that all commands have may stand before the name of this one.
        if getattr(context.obj, parameter.name, None) is None:
            defaults[parameter.name] = _read(parameter, value, path, key)
    context.default_map = defaults
    return path


def _options(context: typer.Context) -> dict[str, Any]:
    """By their long names, without the dashes."""
    return {
        name.removeprefix("--"): parameter
        for parameter in context.command.params
        for name in parameter.opts
        if name.startswith("--") and name not in {_OPTION, "--help"}
    }


def _unknown(key: str, options: dict[str, Any]) -> str:
    near = difflib.get_close_matches(key.replace("_", "-"), options, n=1, cutoff=0.5)
    if near:
        return f"there is no option {key!r}; did you mean {near[0]!r}?"
    return f"there is no option {key!r}; there are {', '.join(sorted(options))}"


def _read(parameter: Any, value: Any, path: Path, key: str) -> Any:
    """A value as the command line would have it. Raises `typer.BadParameter`."""
    if parameter.is_flag:
        if not isinstance(value, bool):
            raise _refused(f"{path}: {key} is true or false, not {value!r}")
        return value
    values: Sequence[Any] = value if is_array(value) else [value]
    if is_array(value) and not parameter.multiple:
        raise _refused(f"{path}: {key} has one value, not a list")
    for each in values:
        if isinstance(each, bool) or not isinstance(each, str | int | float):
            raise _refused(f"{path}: {key} is a text or a number, not {each!r}")
    texts = [str(each) for each in values]
    if any("\0" in each for each in texts):
        # A command line cannot hold it, and paths must not.
        raise _refused(f"{path}: {key} holds a NUL character")
    if parameter.type.name == "path":
        # `/absolute` stays so.
        texts = [str(path.absolute().parent / each) for each in texts]
    return texts if parameter.multiple else texts[0]


def _refused(message: str) -> typer.BadParameter:
    return typer.BadParameter(message, param_hint=_OPTION)
