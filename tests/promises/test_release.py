"""A release: one place says its version, what is tried covers every extra, and a failure ends it."""

import io
import re
import stat
import sys
import tomllib
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from overlay.version import VERSION
from tools.release import __main__ as release, pythons
from tools.release.trials import DEMO_EXTRAS, EXTRAS, Trial, TrialError, run, trials

PROJECT = Path(__file__).parents[2]
CHANGELOG = (PROJECT / "CHANGELOG.md").read_text()
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text())
GITHUB = PROJECT / ".github"


def yaml(path):
    return YAML(typ="safe").load(io.StringIO(path.read_text()))


def test_one_place_says_the_version():
    assert PYPROJECT["project"]["dynamic"] == ["version"]
    assert PYPROJECT["tool"]["hatch"]["version"]["path"] == "overlay/version.py"
    release.check_version(None, CHANGELOG)


@pytest.mark.parametrize(
    ("tag", "changelog", "why"),
    [
        (f"v{VERSION}", "## 9.9.9, 2026-11-27\n", "CHANGELOG.md begins with 9.9.9"),
        (None, "nothing\n", "CHANGELOG.md begins with nothing"),
        ("v9.9.9", f"## {VERSION}, 2026-11-27\n", "the tag is v9.9.9"),
        (f"v{VERSION}", f"## {VERSION}\n", "has no date"),
    ],
)
def test_a_tag_the_version_and_the_changelog_agree(tag, changelog, why):
    with pytest.raises(release.ReleaseError, match=re.escape(why)):
        release.check_version(tag, changelog)


def test_a_dated_changelog_is_ready():
    assert release.check_version(f"v{VERSION}", f"# Changelog\n\n## {VERSION}, 2026-11-27\n") is None


def test_every_extra_is_tried():
    assert EXTRAS.keys() == PYPROJECT["project"]["optional-dependencies"].keys() - {"dev"}
    planned = trials(
        Path("w.whl"), Path("s.tar.gz"), version="1", extras=sorted(EXTRAS), demo=Path("demo.py")
    )
    assert {each for trial in planned for each in trial.extras} == EXTRAS.keys()
    assert [trial.name for trial in planned if not trial.extras] == ["wheel", "sdist"]
    assert planned[-1].requirement.endswith(f"w.whl[{','.join(DEMO_EXTRAS)}]")
    for trial in planned:
        compile(trial.code, trial.name, "exec")


def fake_python(folder, script):
    """A program that is called like a Python, and the environments that it makes have a copy of it."""
    path = folder / "python3.12"
    path.write_text(f"#!{sys.executable}\nimport shutil, sys\nfrom pathlib import Path\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


MAKES_ENVIRONMENTS = """
if sys.argv[1:3] == ["-m", "venv"]:
    (Path(sys.argv[3]) / "bin").mkdir(parents=True)
    shutil.copy(__file__, Path(sys.argv[3]) / "bin" / "python")
"""


def test_a_trial_installs_checks_and_runs(tmp_path):
    log = tmp_path / "log"
    python = fake_python(
        tmp_path, f"{MAKES_ENVIRONMENTS}\nopen({str(log)!r}, 'a').write(repr(sys.argv[1:]) + '\\n')"
    )
    run(Trial("extra cli", Path("w.whl"), ("cli",), "the code"), python, tmp_path / "environment")
    made, installed, checked, ran = map(eval, log.read_text().splitlines())
    assert made[:2] == ["-m", "venv"]
    assert installed[-1] == f"{Path('w.whl').resolve()}[cli]"
    assert checked[-1] == "check"
    assert ran == ["-I", "-c", "the code"]


def test_a_trial_that_fails_says_what_it_said(tmp_path):
    fails = "if '-I' in sys.argv: print('no module of that name'); sys.exit(3)"
    python = fake_python(tmp_path, f"{MAKES_ENVIRONMENTS}\n{fails}")
    with pytest.raises(TrialError, match=r"^wheel: .* ended with 3:\nno module of that name"):
        run(Trial("wheel", Path("w.whl"), code="import overlay"), python, tmp_path / "environment")


def test_pythons_are_those_that_start(tmp_path, monkeypatch):
    (shims := tmp_path / "shims").mkdir()
    fake_python(shims, "sys.exit(127)")
    (own := tmp_path / "pyenv" / "versions" / "3.12.9" / "bin").mkdir(parents=True)
    good = fake_python(own, "print('3.12')")
    monkeypatch.setenv("PATH", str(shims))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    assert pythons.found() == {"3.12": good}
    assert pythons.version_of(tmp_path / "nothing") is None


def test_without_a_python_there_is_no_release(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(pythons, "found", dict)
    assert release.main(["--dist", str(tmp_path)]) == 1
    assert "none of Python 3.11, 3.12, 3.13 is here" in capsys.readouterr().err


def test_only_the_step_that_publishes_may_ask_for_an_identity():
    workflow = yaml(GITHUB / "workflows" / "release.yml")
    assert workflow["permissions"] == {}
    jobs = workflow["jobs"]
    assert jobs["build"]["permissions"] == {"contents": "read"}
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
    assert jobs["publish"]["environment"] == "pypi"
    assert jobs["publish"]["needs"] == "build"
    publishing = jobs["publish"]["steps"][-1]
    assert publishing["uses"].startswith("pypa/gh-action-pypi-publish@")
    assert publishing["with"] == {"attestations": True}
    assert "secrets." not in (GITHUB / "workflows" / "release.yml").read_text()
    tried = next(
        step for step in jobs["build"]["steps"] if step.get("uses", "").startswith("actions/setup-python")
    )
    assert tuple(tried["with"]["python-version"].split()) == pythons.VERSIONS


@pytest.mark.parametrize("name", ["bug", "service", "wish"])
def test_issue_forms_are_whole(name):
    form = yaml(GITHUB / "ISSUE_TEMPLATE" / f"{name}.yml")
    assert {"name", "description", "body"} <= form.keys()
    fields = [each for each in form["body"] if each["type"] != "markdown"]
    ids = [each["id"] for each in fields]
    assert len(ids) == len(set(ids))
    assert all(each["attributes"]["label"] for each in fields)
    assert any(each["validations"]["required"] for each in fields)
