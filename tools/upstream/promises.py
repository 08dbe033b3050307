"""What the overlay builds on: the fields its modules use, and the names it adds to the generated models.

Read from the overlay's source, so that it cannot go stale, and by name, since Python's types are not known without
running it. A module names the models that it imports or extends, what the operations that it imports send and
answer, and what all these contain; it uses `Batch.status` when it names batches and has a `status`, as an
attribute of something that is not annotated as anything else, a keyword, or a string. A module that names no model
may still be handed one by a module that does: then the attribute must be that of a `batch`. So occasionally one
module too many is reported. What the tests read is promised too, and found in the same way.
"""

import builtins
import keyword
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.upstream.canonical import closure, names, operations_of, referred, schemas_of
from tools.upstream.overlay_source import Module, read_module


@dataclass
class Promises:
    """The overlay's modules, by what they use of the specification; empty without an overlay."""

    modules: list[Module] = field(default_factory=list)
    names: dict[str, set[str]] = field(default_factory=dict)
    """The models that a module names, with everything they contain, by the module's path."""
    knows: dict[str, set[str]] = field(default_factory=dict)
    """The same, plus what the modules that it imports know."""
    holders: dict[str, set[str]] = field(default_factory=dict)
    """The fields that hold a model, by the model's name."""

    @property
    def imported(self) -> set[str]:
        """Names of generated models and operations that some module imports."""
        return {name for module in self.modules for name in module.generated}

    def readers(self, model: str, name: str) -> list[str]:
        """The modules that use a field of *model*; *name* is its name on the wire."""
        return [module.path for module in self.modules if self._uses(module, model, _spellings(name))]

    def senders(self, operation: str, name: str) -> list[str]:
        """The modules that call *operation* and give it a parameter called *name*."""
        callers = [module for module in self.modules if module_name(operation) in module.generated]
        return [module.path for module in callers if _spellings(name) & module.words]

    def importers(self, name: str) -> list[str]:
        """The modules that import an operation or a model."""
        return [module.path for module in self.modules if {name, module_name(name)} & module.generated]

    def adder(self, model: str, name: str) -> str | None:
        """The module that adds *name* to *model*."""
        for module in self.modules:
            if any(
                extended == model and _python_name(name) in added for extended, added in module.added.values()
            ):
                return module.path
        return None

    def _uses(self, module: Module, model: str, spellings: set[str]) -> bool:
        named = model in self.names[module.path]
        if named and spellings & module.words:
            return True
        classes = {model, *_extensions(self.modules, model)}
        variables = {module_name(name) for name in classes} | self.holders.get(model, set())
        for attribute in module.attributes:
            if attribute.name in spellings and model in self.knows[module.path]:
                if attribute.types is not None:
                    used = bool(classes & attribute.types)
                else:
                    # If a module does not say which models it handles, the variable's name must.
                    used = named or attribute.owner in variables
                if used:
                    return True
        return False


def read(overlay: Path, specification: dict[str, Any], tests: Path | None = None) -> Promises:
    """The promises of the package in the folder *overlay*, and what *tests* read of them.

    *specification* is the ``openapi.yaml`` that both are built on.
    """
    modules = list(_modules(overlay, overlay))
    for module in _modules(tests, overlay) if tests else ():
        # Tests hold bodies of requests and answers, which are strings that read nothing.
        module.words.clear()
        modules.append(module)
    named = _named(modules, specification)
    return Promises(modules, named, _known(modules, named), _holders(specification))


def _modules(folder: Path, overlay: Path) -> Iterator[Module]:
    for path in sorted(folder.rglob("*.py")):
        # overlay/generated is a link to generated/, which is output, not input.
        if path.relative_to(folder).parts[0] != "generated":
            module = read_module(path, folder, f"{overlay.name}.generated")
            if module is not None:
                yield module


def module_name(operation: str) -> str:
    """The generated module of an operation: `create_batch` for `createBatch`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower()


def _extensions(modules: Iterable[Module], model: str) -> set[str]:
    return {name for module in modules for name, (extended, _) in module.added.items() if extended == model}


def _named(modules: Iterable[Module], specification: dict[str, Any]) -> dict[str, set[str]]:
    schemas = schemas_of(specification)
    of_operations = {
        module_name(name): set(names(stated)) for name, stated in operations_of(specification).items()
    }
    extending = {module.name: module for module in modules if module.added}
    named: dict[str, set[str]] = {}
    for module in modules:
        direct = module.generated | {model for model, _ in module.added.values()}
        for name in module.generated:
            direct |= of_operations.get(name, set())
        for source, name in module.imported:
            if whole := extending.get(f"{source}.{name}"):
                direct |= {model for model, _ in whole.added.values()}
            elif (part := extending.get(source)) and name in part.added:
                direct.add(part.added[name][0])
        named[module.path] = closure(direct, schemas)
    return named


def _holders(specification: dict[str, Any]) -> dict[str, set[str]]:
    holders: dict[str, set[str]] = {}
    for schema in schemas_of(specification).values():
        for key, stated in schema.get("properties", {}).items():
            for model in referred(stated):
                holders.setdefault(model, set()).add(key)
    return holders


def _known(modules: Iterable[Module], named: dict[str, set[str]]) -> dict[str, set[str]]:
    paths = {module.name: module.path for module in modules}
    imports = {
        # `from overlay import files` imports the module files, not everything in the package.
        module.path: {paths.get(f"{source}.{name}") or paths.get(source) for source, name in module.imported}
        for module in modules
    }
    knows = {path: set(models) for path, models in named.items()}
    changed = True
    while changed:
        changed = False
        for path, others in imports.items():
            before = len(knows[path])
            knows[path].update(*(knows[other] for other in others if other))
            changed |= len(knows[path]) != before
    return knows


def _spellings(name: str) -> set[str]:
    """A field's name as it may appear in Python: that of its attribute, or that on the wire, as a string."""
    return {name, _python_name(name)}


def _python_name(name: str) -> str:
    """The attribute of a field: generated code writes `object` as `object_`, but leaves `id` alone."""
    reserved = {*dir(builtins), "datetime", "false", "self", "true"} - {"id"}
    return f"{name}_" if keyword.iskeyword(name) or name in reserved else name
