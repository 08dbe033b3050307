"""What one module of the overlay says, from its syntax: imports, names it mentions, models it extends."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Module:
    """One module; `path` is for people (`overlay/models.py`) and `name` for imports (`overlay.models`)."""

    path: str
    name: str
    imported: set[tuple[str, str]] = field(default_factory=set)
    """What it imports and is not generated: a module, and a name in it, which may be a module too."""
    generated: set[str] = field(default_factory=set)
    """Generated models and modules of operations that it imports, by their bare names."""
    mentioned: set[str] = field(default_factory=set)
    """Attributes, keywords of calls, and strings that could be names."""
    added: list[tuple[str, set[str]]] = field(default_factory=list)
    """For each generated model that a class extends, the names that the class adds."""


def read_module(path: Path, package: Path) -> Module | None:
    """The module at *path* in the folder *package*; None where it cannot be parsed."""
    relative = path.relative_to(package.parent)
    parts = relative.with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return None
    module = Module(relative.as_posix(), name)
    aliases: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            module.imported.update((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            _read_import(module, node, _source(node, parts), f"{package.name}.generated", aliases)
        elif isinstance(node, ast.Attribute):
            module.mentioned.add(node.attr)
            if model := _model(node, aliases):
                module.generated.add(model)
        elif isinstance(node, ast.keyword) and node.arg:
            module.mentioned.add(node.arg)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            module.mentioned.add(node.value)
    module.added = list(_added(tree, aliases))
    return module


def _source(node: ast.ImportFrom, parts: tuple[str, ...]) -> str:
    """The module that a `from` names, a relative one made absolute."""
    above = parts[: -node.level] if node.level else ()
    return ".".join([*above, *([node.module] if node.module else [])])


def _read_import(
    module: Module, node: ast.ImportFrom, source: str, generated: str, aliases: dict[str, str]
) -> None:
    for alias in node.names:
        dotted = f"{source}.{alias.name}"
        if not f"{dotted}.".startswith(f"{generated}."):
            module.imported.add((source, alias.name))
        elif alias.name == "models":
            # The module of all models: `models.Batch` is one of them.
            aliases[alias.asname or alias.name] = "*"
        else:
            module.generated.add(alias.name)
            aliases[alias.asname or alias.name] = alias.name


def _model(node: ast.expr, aliases: dict[str, str]) -> str | None:
    """The generated model that an expression names."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return node.attr if aliases.get(node.value.id) == "*" else None
    name = aliases.get(node.id) if isinstance(node, ast.Name) else None
    return None if name == "*" else name


def _added(tree: ast.Module, aliases: dict[str, str]) -> Iterator[tuple[str, set[str]]]:
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    for node in classes.values():
        for base in node.bases:
            if model := _model(base, aliases):
                # A mixin of the same module adds its names too.
                mixins = [
                    classes[one.id] for one in node.bases if isinstance(one, ast.Name) and one.id in classes
                ]
                yield model, {name for one in (node, *mixins) for name in _names(one)}


def _names(node: ast.ClassDef) -> Iterator[str]:
    for line in node.body:
        if isinstance(line, ast.FunctionDef | ast.AsyncFunctionDef):
            found = [line.name]
        elif isinstance(line, ast.Assign):
            found = [target.id for target in line.targets if isinstance(target, ast.Name)]
        elif isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
            found = [line.target.id]
        else:
            found = []
        yield from (name for name in found if not name.startswith("_"))
