"""What type checkers accept of the public surface, and what they refuse."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
RIGHT = ROOT / "tests" / "typing" / "api.py"
# Each line but the first ones is a mistake.
WRONG = """\
from overlay import AsyncClient, Client, Result, Token
async def mistakes(client: Client, awaited: AsyncClient, result: Result) -> None:
    client.batches.create(input_file_id="f", endpoit="/v1/responses")
    client.batches.create(endpoint="/v1/responses")
    client.batches.create("f", "/v1/responses")
    client.batches.create(input_file_id="f", endpoint="/v1/responses", metadata={"a": 1})
    client.batches.retrieve(7)
    client.batches.wait("b", timout=5)
    client.batches.wait("b", on_change=5)
    client.batches.list(limit="5")
    client.batches.results("b", order=True)
    client.files.upload("a", purpse="batch")
    client.files.download("a")
    client.batches.no_such_verb("b")
    client.batches.retrieve("b").no_such_field
    await client.batches.retrieve("b")
    awaited.batches.retrieve("b").status
    await awaited.batches.create(input_file_id="f", endpoit="/v1/responses")
    [each for each in awaited.batches.list()]
    Client(tokn="sk-1")
    Client("sk-1")
    Client(token=7)
    Client(timeout="60")
    Token("sk-1")
    result.text.strip()
    from overlay import Clinet
    from overlay.server import Servce
"""


def test_mistakes_are_refused_and_nothing_else(tmp_path):
    wrong = tmp_path / "wrong.py"
    wrong.write_text(WRONG)
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--no-pretty",
        "--no-error-summary",
        "--hide-error-context",
    ]
    done = subprocess.run(
        [*command, "--cache-dir", tmp_path / "cache", "--config-file", ROOT / "pyproject.toml", RIGHT, wrong],
        cwd=ROOT,
        env=os.environ | {"MYPY_FORCE_COLOR": "0"},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    errors = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert [line for line in errors if not line.startswith(str(wrong))] == []
    refused = {int(line.removeprefix(f"{wrong}:").partition(":")[0]) for line in errors}
    assert sorted(refused) == list(range(3, len(WRONG.splitlines()) + 1)), done.stdout
    assert 'Unexpected keyword argument "endpoit"' in done.stdout
