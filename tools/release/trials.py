"""What is tried of a distribution, each in a fresh environment that has nothing else."""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PLAIN = """
import overlay
from pathlib import Path
assert overlay.__version__ == {version!r}, overlay.__version__
assert Path(overlay.__file__).is_relative_to(sys.prefix), overlay.__file__
assert all(getattr(overlay, name) is not None for name in overlay.__all__)
with overlay.Client(token="t") as client:
    assert client.batches and client.files and client.jobs
"""
EXTRAS = {
    "check": "import jsonschema_rs, overlay.requests.schema_check",
    "cli": "import sys\nfrom overlay.cli import main\nsys.argv = ['overlay', 'services']\nmain()",
    "dask": "import dask.dataframe, distributed, overlay.engines.dask",
    "object-store": "from overlay.jobs.object_store.objects import Objects\nObjects('s3://bucket/jobs')._store",
    "otel": "import overlay; overlay.Client(token='t', telemetry=True)",
    "prices": (
        "from overlay.costs.prices import PriceList\n"
        "assert PriceList('https://api.openai.com/v1').price('gpt-4o-mini') is not None"
    ),
    "ray": "import ray.data, overlay.engines.ray",
    "serve": (
        "from overlay import Client\n"
        "from overlay.server import Service\n"
        "with Service() as service, Client(token='t', base_url=service.base_url) as client:\n"
        "    assert list(client.batches.list()) == []"
    ),
    "spark": "import pyspark.sql, overlay.engines.spark",
    "tables": "from overlay.tables.arrow import pa\nassert pa.table({'a': [1]}).num_rows == 1",
}
"""What is run of each extra once it is installed. All but `dev`, which is for those who work on the project."""
DEMO_EXTRAS = ("cli", "serve", "tables")
_KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "PIP_", "SSL_CERT", "HTTP", "http", "NO_PROXY", "no_proxy")
_PATIENCE = 1800


class TrialError(Exception):
    """A distribution that does not do what it should; the message says which, where, and what it said."""


@dataclass(frozen=True)
class Trial:
    """A distribution, with extras or without, and what is run of it."""

    name: str
    distribution: Path
    extras: tuple[str, ...] = ()
    code: str = ""
    command: tuple[str | Path, ...] = ()

    @property
    def requirement(self) -> str:
        """What pip is asked for."""
        extras = f"[{','.join(self.extras)}]" if self.extras else ""
        return f"{self.distribution.resolve()}{extras}"


def trials(
    wheel: Path, sdist: Path, *, version: str, extras: Sequence[str], demo: Path | None
) -> list[Trial]:
    """All that is tried with one Python."""
    plain = f"import sys{PLAIN.format(version=version)}"
    planned = [Trial("wheel", wheel, code=plain), Trial("sdist", sdist, code=plain)]
    planned += [Trial(f"extra {name}", wheel, (name,), EXTRAS[name]) for name in extras]
    if demo is not None:
        planned.append(Trial("demo", wheel, DEMO_EXTRAS, command=(demo, "--most", "200")))
    return planned


def run(trial: Trial, python: Path, folder: Path) -> None:
    """Make an environment in a folder, install, and run. Raises TrialError."""
    here = folder / "bin" / "python"
    _step(trial, [python, "-m", "venv", folder], folder.parent)
    pip: list[str | Path] = [here, "-m", "pip", "--disable-pip-version-check"]
    _step(trial, [*pip, "install", "--quiet", trial.requirement], folder)
    _step(trial, [*pip, "check"], folder)
    if trial.code:
        _step(trial, [here, "-I", "-c", trial.code], folder)
    if trial.command:
        _step(trial, [here, "-P", *trial.command], folder)


def _step(trial: Trial, words: Sequence[str | Path], folder: Path) -> None:
    """One command, without what this process's environment says of Python and of us."""
    env = {name: value for name, value in os.environ.items() if name.startswith(_KEPT)}
    try:
        done = subprocess.run(  # noqa: S603 - pip, and what is to be tried
            words, check=False, capture_output=True, text=True, cwd=folder, env=env, timeout=_PATIENCE
        )
    except subprocess.TimeoutExpired:
        raise TrialError(f"{trial.name}: no end after {_PATIENCE} s: {_shown(words)}") from None
    if done.returncode:
        said = (done.stdout + done.stderr).strip()[-4000:]
        raise TrialError(f"{trial.name}: {_shown(words)} ended with {done.returncode}:\n{said}")


def _shown(words: Sequence[str | Path]) -> str:
    shown = " ".join(str(word) for word in words[:6])
    return shown.replace(sys.prefix, "")[:200].replace("\n", " ")
