"""The check that a file of purpose `batch` undergoes when it is uploaded, before anything is made of it.

It is coarser than that of a batch (in validation.py): a name, and lines that are JSON, whatever is in them. That an
empty file and malformed JSON are refused here already is known second-hand only, and in which words is not known.

The name is refused for another extension, not for the lack of one: HTTP libraries call bytes that have no name
`upload`, a published recording shows a file of that name accepted, and curator and instructor send no other.
"""

from pathlib import Path

import msgspec

from overlay.server.refusals import Refusal

_SUFFIX = ".jsonl"


def check_input_file(path: Path, filename: str) -> None:
    """Raises `Refusal` for the content at `path`, uploaded as `filename`, where no batch could be made of it.

    Blocks; run it in a thread.
    """
    if Path(filename).suffix not in {_SUFFIX, ""}:
        raise _unfit("Must be .jsonl")
    empty = True
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue  # for the batch to fail of: whether the real upload minds is not known
            empty = False
            try:
                msgspec.json.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                raise _unfit(f"Line {number} is not valid JSON.") from None
    if empty:
        raise _unfit("The file is empty.")


def _unfit(why: str) -> Refusal:
    return Refusal(400, f"Invalid file format for Batch API. {why}")
