"""Show bound verbs as the methods that they are: an extension of griffe, for the reference of the API.

`create = blocking(batches.create)` is an attribute to whoever only reads the source. Its signature and docstring
are those of the flow that is bound, without the settings that the client adds, and with what the driver returns.
"""

from __future__ import annotations

from typing import Any

import griffe

_RETURNS = {
    "blocking": "{0}",
    "awaiting": "{0}",
    "paging": "Listing[{0}]",
    "apaging": "AsyncListing[{0}]",
    "running": "JobResults",
    "arunning": "AsyncJobResults",
}
"""What a method gives, by what binds it and by what its flow ends with."""
_AWAITED = {"awaiting"}


def _within(annotation: Any, outer: str) -> str:
    """`Batch` of `Flow[Batch]`."""
    text = str(annotation)
    head, _, rest = text.partition("[")
    return rest.removesuffix("]") if head.rpartition(".")[2] == outer else text


class Bindings(griffe.Extension):
    """Makes functions of bound attributes once a package is loaded."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Look at every class of the package."""
        self._visit(pkg, pkg)

    def _visit(self, here: Any, package: griffe.Module) -> None:
        for name, member in list(here.members.items()):
            if member.is_alias:
                continue
            if member.is_module or member.is_class:
                self._visit(member, package)
            elif here.is_class and member.is_attribute and isinstance(member.value, griffe.ExprCall):
                bound = self._bound(name, member, package)
                if bound is not None:
                    here.set_member(name, bound)

    def _bound(self, name: str, attribute: Any, package: griffe.Module) -> griffe.Function | None:
        binder = str(attribute.value.function).rpartition(".")[2]
        if binder not in _RETURNS or len(attribute.value.arguments) != 1:
            return None
        path = attribute.value.arguments[0].canonical_path
        flow: Any = package[path.removeprefix(f"{package.path}.")]
        ends_with = _within(flow.returns, "Flow")
        if binder in {"paging", "apaging"}:
            ends_with = _within(ends_with, "Page")
        own = griffe.Parameter("self", kind=griffe.ParameterKind.positional_or_keyword)
        shown = griffe.Function(
            name,
            lineno=attribute.lineno,
            endlineno=attribute.endlineno,
            parameters=griffe.Parameters(own, *list(flow.parameters)[1:]),
            returns=_RETURNS[binder].format(ends_with),
            docstring=flow.docstring,
        )
        if binder in _AWAITED:
            shown.labels.add("async")
        return shown
