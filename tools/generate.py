"""Write ``generated/`` from ``openapi.yaml``, or check that the two match.

The folder is disposable: it is generated beside its place, marked, and then moved there whole. So a generator
that fails leaves the present folder untouched, and a file that is no longer generated does not stay.
"""

import argparse
import ast
import filecmp
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TypeGuard

from tools.upstream.canonical import referred, schemas_of
from tools.upstream.decoding import decode
from tools.upstream.writing import dump

PROJECT = Path(__file__).resolve().parents[1]
COMMAND = "make generate"
HEADER = f"# Written by openapi-python-client from openapi.yaml; `{COMMAND}` rebuilds it. Edits are lost.\n"
GENERATOR = "openapi-python-client"
FORMATTER = "ruff"
SECONDS = 120


class GenerateError(Exception):
    """The generator is missing, failed, or warned; the message says which."""


def generate(output: Path, *, project: Path = PROJECT) -> None:
    """Generate the client for the specification of *project* in *output*, which must not exist yet.

    Raises:
        GenerateError: The generator or the formatter is not installed, or something was left out.

    """
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    generator = shutil.which(GENERATOR, path=path)
    # If its formatter is missing, the generator only warns, among other warnings: check first.
    if generator is None or shutil.which(FORMATTER, path=path) is None:
        raise GenerateError(f"{GENERATOR} and {FORMATTER} must be installed: pip install -e '.[dev]'")
    with tempfile.TemporaryDirectory() as folder:
        described = Path(folder) / "openapi.yaml"
        described.write_text(_with_described_parameters(project / "openapi.yaml"), encoding="utf-8")
        _run(generator, described, output, project=project, path=path)
    for module in sorted(output.rglob("*.py")):
        module.write_text(HEADER + imported_once(module.read_text(encoding="utf-8")), encoding="utf-8")
    (output / "py.typed").write_text("", encoding="utf-8")
    _refuse_what_does_not_run(output, project)


def _with_described_parameters(specification: Path) -> str:
    """The specification, with descriptions of parameters where the generator looks for them: in their schemas."""
    document = decode(specification.read_bytes())
    for operation in (each for item in document["paths"].values() for each in item.values()):
        for parameter in operation.get("parameters", []):
            if "description" not in parameter:
                continue
            if "$ref" not in parameter["schema"]:
                parameter["schema"] = {"description": parameter["description"], **parameter["schema"]}
            for name in referred(parameter["schema"]):
                # Beside a reference the generator passes over it, and takes that of the enum.
                schemas_of(document)[name].setdefault("description", parameter["description"])
    return dump(document)


def _run(generator: str, specification: Path, output: Path, *, project: Path, path: str) -> None:
    command = [
        generator,
        "generate",
        f"--path={specification}",
        f"--config={project / 'generator-config.yml'}",
        f"--custom-template-path={project / 'tools' / 'templates'}",
        f"--output-path={output}",
        "--meta=none",
        "--fail-on-warning",
    ]
    done = subprocess.run(  # noqa: S603 - the command is built here
        command,
        env={**os.environ, "PATH": path, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise GenerateError(f"{GENERATOR} refused openapi.yaml:\n{done.stdout}{done.stderr}".rstrip())


def _refuse_what_does_not_run(output: Path, project: Path) -> None:
    """Raise GenerateError if a module cannot be imported, or a model does not read what it writes."""
    done = subprocess.run(  # noqa: S603 - the command is built here
        [sys.executable, "-B", "-m", "tools.generated_check", str(output), str(project / "openapi.yaml")],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    if done.returncode != 0:
        last = done.stderr.strip().splitlines() or ["it ended without a word"]
        raise GenerateError(f"what {GENERATOR} made of openapi.yaml does not run: {last[-1]}")


def imported_once(source: str) -> str:
    """The module with the imports of its siblings moved from its functions, where each call runs them, to its end.

    The generator makes models import each other where they are used, since the imports may be circular. At the
    end of a module its own class exists already, so a cycle does no harm; and reading a batch takes half the time.
    """
    lines = source.splitlines(keepends=True)
    functions = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef))
    found = {node.lineno: node for function in functions for node in function.body if _is_sibling(node)}
    for node in sorted(found.values(), key=lambda node: node.lineno, reverse=True):
        del lines[node.lineno - 1 : node.end_lineno]
    imports = {f"{ast.unparse(node)}  # noqa: E402\n" for node in found.values()}
    return "".join([*lines, "\n", *sorted(imports)] if imports else lines)


def _is_sibling(node: ast.stmt) -> TypeGuard[ast.ImportFrom]:
    return isinstance(node, ast.ImportFrom) and node.level > 0


def differences(left: Path, right: Path) -> list[str]:
    """Files, by their paths in both folders, that differ between *left* and *right*."""
    names = {
        str(path.relative_to(folder))
        for folder in (left, right)
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    _, changed, missing = filecmp.cmpfiles(left, right, sorted(names), shallow=False)
    return sorted(changed + missing)


def replace(target: Path, *, project: Path = PROJECT) -> None:
    """Replace what is at *target* with a freshly generated client."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as folder:
        fresh = Path(folder) / target.name
        generate(fresh, project=project)
        if target.exists():
            target.rename(Path(folder) / "old")
        fresh.rename(target)


def check(target: Path, *, project: Path = PROJECT) -> list[str]:
    """Files of *target* that do not match the specification; none if it is up to date."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder) / target.name
        generate(fresh, project=project)
        return differences(fresh, target)


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 done or up to date, 1 out of date, 2 the generator failed."""
    parser = argparse.ArgumentParser(prog="python -m tools.generate", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 if generated/ is out of date"
    )
    chosen = parser.parse_args(arguments)
    target = PROJECT / "generated"
    try:
        if not chosen.check:
            replace(target)
            return 0
        stale = check(target)
    except GenerateError as error:
        print(error, file=sys.stderr)
        return 2
    if stale:
        print(f"generated/ does not match openapi.yaml; `{COMMAND}` rebuilds it:", file=sys.stderr)
        print(*(f"  {name}" for name in stale), sep="\n", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
