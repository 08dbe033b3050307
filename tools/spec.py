"""Update openapi.yaml from the batch section of an upstream document, and report what has changed.

Structure comes from the document: its operations on batches and files, and all they refer to, in the one form that
the generator can handle. Names and descriptions stay those of the present openapi.yaml.
"""

import argparse
import hashlib
import io
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tools.upstream import promises
from tools.upstream.assembling import assemble
from tools.upstream.bodies import bodies
from tools.upstream.changes import Change, compare, escaped, pending
from tools.upstream.decoding import decode
from tools.upstream.fetching import fetch
from tools.upstream.local import with_local
from tools.upstream.present import checked
from tools.upstream.refusal import Refused
from tools.upstream.speakable import refuse_unspeakable
from tools.upstream.uncarried import uncarried
from tools.upstream.unstated import compare_unstated, unstated
from tools.upstream.wording import wordless
from tools.upstream.writing import ORIGIN, dump, write

PROJECT = Path(__file__).resolve().parents[1]
UNCHANGED, REFUSED, CHANGED = 0, 2, 10
"""1 is what a Python process ends with that crashes."""

UNDECIDED = "To be decided, and said again until it is:"
_EXIT_CODES = """\
exit codes:
  0   nothing has changed
  2   the document was refused, and nothing was written
  10  openapi.yaml was rewritten; run `make generate` next
"""


def convert(data: bytes, present: dict[str, Any], promised: promises.Promises) -> dict[str, Any]:
    """The specification made from the upstream document in *data* and the *present* specification.

    Raises:
        Refused: The document cannot be used; the message says why in one sentence.

    """
    complete = data.rstrip(b" \t\r").endswith((b"\n", b"}"))
    try:
        result = assemble(decode(data), present, promised, complete=complete)
    except RecursionError as error:
        raise Refused("the document is nested too deeply") from error
    refuse_unspeakable(result)
    return result


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # whatever the terminal can show
    try:
        return _run(_parser().parse_args(arguments))
    except Refused as error:
        print(f"refused: {escaped(str(error))}", file=sys.stderr)
    except Exception as error:  # noqa: BLE001 - whatever it is, nothing was written, and that is said
        words = escaped(f"{type(error).__name__}: {error}")[:300]
        print(f"refused: the document leads to a fault of ours ({words})", file=sys.stderr)
    return REFUSED


def _run(chosen: argparse.Namespace) -> int:
    # Where there is no specification yet, names and descriptions come from the project's own.
    source = chosen.output if chosen.output.exists() else PROJECT / "openapi.yaml"
    present = _present(source)
    promised = promises.read(chosen.overlay, present, chosen.tests)
    data = fetch(chosen.upstream)
    result = convert(data, present, promised)
    if chosen.local is not None and chosen.local.exists():
        result = with_local(result, decode(chosen.local.read_bytes()))
        refuse_unspeakable(result)
    origin = present.get(ORIGIN)
    known = origin if isinstance(origin, dict) else {}
    text = dump({**result, ORIGIN: origin} if origin else result)
    # This file itself says nothing of its document.
    noted = known if _is_itself(chosen.upstream, chosen.output) else unstated(decode(data))
    unsaid = compare_unstated(known, noted)
    as_before = chosen.output.exists() and chosen.output.read_bytes() == text.encode()
    changed = not as_before or bool(unsaid)
    if changed:
        text = dump({**result, ORIGIN: _origin(data, chosen.upstream, origin, chosen.output, noted)})
    changes = [*compare(present, result, promised), *unsaid] if changed else []
    open_questions = [*pending(result, promised), *uncarried(decode(data))]
    if chosen.json:
        print(json.dumps([vars(each) for each in (*changes, *open_questions)], ensure_ascii=True))
    elif changed:
        _report(changes, wordless(result))
    else:
        print("nothing has changed")
    if open_questions and not chosen.json:
        print(UNDECIDED)
        print(*(f"  {each}" for each in open_questions), sep="\n")
    if changed:
        write(chosen.output, text)
    sliced = bodies(decode(data))
    schemas = json.dumps(sliced, separators=(",", ":"), sort_keys=True) + "\n"
    if chosen.bodies is not None and sliced["endpoints"] and _text_of(chosen.bodies) != schemas:
        write(chosen.bodies, schemas)
        print("The schemas of requests' bodies were rewritten.", file=sys.stderr)
        changed = True
    return CHANGED if changed else UNCHANGED


def _is_itself(upstream: str, output: Path) -> bool:
    return "://" not in upstream and output.exists() and Path(upstream).resolve() == output.resolve()


def _origin(data: bytes, upstream: str, before: Any, output: Path, noted: dict[str, Any]) -> dict[str, Any]:
    """Where the specification is from; as it was, if the document is the one of before, or this file itself."""
    digest = hashlib.sha256(data).hexdigest()
    if isinstance(before, dict) and (_is_itself(upstream, output) or before.get("sha256") == digest):
        return before
    address = upstream if "://" in upstream else Path(upstream).name
    return {"address": address, "date": datetime.now(UTC).date().isoformat(), "sha256": digest, **noted}


def _text_of(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def _present(path: Path) -> dict[str, Any]:
    try:
        return checked(decode(path.read_bytes()))
    except (OSError, Refused) as error:
        raise Refused(
            f"{path.name}, which supplies names and descriptions, cannot be read: {error}"
        ) from error


def _report(changes: list[Change], undescribed: list[str]) -> None:
    for change in changes:
        print(f"  {change}")
    if not changes:
        print("  only the form of openapi.yaml has changed")
    if undescribed:
        print(f"Without a description in openapi.yaml: {escaped(', '.join(undescribed))}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.spec",
        description=__doc__,
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "upstream", metavar="UPSTREAM", help="an OpenAPI 3 document, YAML or JSON: a path or an https URL"
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=PROJECT / "openapi.yaml",
        metavar="FILE",
        help="the file to rewrite, which supplies names and descriptions (default: the project's openapi.yaml)",
    )
    parser.add_argument(
        "--bodies",
        type=Path,
        metavar="FILE",
        help="where the schemas of requests' bodies go (default: nowhere)",
    )
    parser.add_argument(
        "--local", type=Path, metavar="FILE", help="an OpenAPI Overlay of your own additions (default: none)"
    )
    parser.add_argument("--json", action="store_true", help="print the report as one JSON document")
    parser.add_argument(
        "--overlay",
        type=Path,
        default=PROJECT / "overlay",
        metavar="FOLDER",
        help="the package whose promises are checked (default: the project's overlay)",
    )
    parser.add_argument(
        "--tests",
        type=Path,
        default=PROJECT / "tests",
        metavar="FOLDER",
        help="tests of that package; what they read is promised too (default: the project's tests)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
