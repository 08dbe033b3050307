"""What one module of the overlay says, from its syntax: imports, names it mentions, models it extends."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Attribute:
    """An attribute that is read or set: its owner's name, and the owner's types where annotated."""

    name: str
    owner: str
    types: frozenset[str] | None


@dataclass
class Module:
    """One module; `path` is for people (`overlay/models.py`) and `name` for imports (`overlay.models`)."""

    path: str
    name: str
    imported: set[tuple[str, str]] = field(default_factory=set)
    """What it imports that is not generated: a module, and a name in it, which may be a module too."""
    generated: set[str] = field(default_factory=set)
    """Generated models and modules of operations that it imports, by their bare names."""
    attributes: set[Attribute] = field(default_factory=set)
    words: set[str] = field(default_factory=set)
    """Keywords of calls, and strings that could be names."""
    added: dict[str, tuple[str, set[str]]] = field(default_factory=dict)
    """By the name of each class that extends a generated model: the model, and the names that the class adds."""


def read_module(path: Path, folder: Path, generated: str) -> Module | None:
    """The module at *path* in the package *folder*, given the package *generated*; None if it is not Python."""
    relative = path.relative_to(folder.parent)
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
            _read_import(module, node, _source(node, parts), generated, aliases)
        elif isinstance(node, ast.keyword) and node.arg:
            module.words.add(node.arg)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            module.words.add(node.value)
    module.generated.update(model for node in ast.walk(tree) if (model := _attribute_model(node, aliases)))
    module.attributes.update(_attributes(tree, {}))
    module.added.update(_added(tree, aliases))
    return module


def _attributes(node: ast.AST, types: dict[str, frozenset[str]]) -> Iterator[Attribute]:
    """The attributes used below *node*; in its scope names have the *types*."""
    if isinstance(node, ast.ClassDef):
        types = {**types, "self": frozenset({node.name})}
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        annotated = {one.arg: _identifiers(one.annotation) for one in arguments if one.annotation}
        local = [one for one in ast.walk(node) if isinstance(one, ast.AnnAssign)]
        types = {**types, **annotated}
        types.update(
            {one.target.id: _identifiers(one.annotation) for one in local if isinstance(one.target, ast.Name)}
        )
    elif isinstance(node, ast.Attribute):
        owner = node.value.id if isinstance(node.value, ast.Name) else getattr(node.value, "attr", "")
        yield Attribute(node.attr, owner, types.get(owner) if isinstance(node.value, ast.Name) else None)
    for child in ast.iter_child_nodes(node):
        yield from _attributes(child, types)


def _identifiers(annotation: ast.expr) -> frozenset[str]:
    """Every name in an annotation: `models.Batch | None` as `models`, `Batch`."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return frozenset(re.findall(r"\w+", annotation.value))
    nodes = list(ast.walk(annotation))
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    return frozenset(names | {node.attr for node in nodes if isinstance(node, ast.Attribute)})


def _source(node: ast.ImportFrom, parts: tuple[str, ...]) -> str:
    """The module that a `from` names, made absolute."""
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


def _attribute_model(node: ast.AST, aliases: dict[str, str]) -> str | None:
    """The generated model that an expression like `models.Batch` names."""
    if (
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and aliases.get(node.value.id) == "*"
    ):
        return node.attr
    return None


def _added(tree: ast.Module, aliases: dict[str, str]) -> Iterator[tuple[str, tuple[str, set[str]]]]:
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    for node in classes.values():
        # A mixin of the same module adds its names too.
        mixins = [
            classes[base.id] for base in node.bases if isinstance(base, ast.Name) and base.id in classes
        ]
        names = {name for one in (node, *mixins) for name in _names(one)}
        for base in node.bases:
            imported = aliases.get(base.id) if isinstance(base, ast.Name) else None
            model = _attribute_model(base, aliases) or imported
            if model and model != "*":
                yield node.name, (model, names)


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
